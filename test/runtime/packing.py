"""Prints, for each program given and N = 1, 2, 17, 64, 96, how far the training step's arena is above what lives at once, and
whether a step of 5 x 64 images takes at most half of the memory that PyTorch takes at its best (docs/measurements/training.md)."""

import json
import subprocess
import sys

HALF_OF_PYTORCH = 185e6  # of mnist_cnn, the less hungry of the two models

for program in sys.argv[1:]:
    for rows in (1, 2, 17, 64, 96):
        command = ["moec", "inspect", program, "--batch", f"5x{rows}", "--json"]
        entries = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["entries"]
        train = next(entry for entry in entries if entry["name"] == "train")
        arena, live = train["memory"]["arena"], train["memory"]["live"]
        print(f"5x{rows}: {arena} bytes for {live} alive, {'ok' if arena <= 1.10 * live else 'too much'}")
        if rows == 64:
            total = train["memory"]["total"]
            print(f"5x{rows}: {total} bytes in all, {'ok' if total <= HALF_OF_PYTORCH else 'too much'}")
