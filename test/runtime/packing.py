"""Prints, for each program given and N = 1, 2, 17, 64, 96, how far the training step's arena is above what lives at once."""

import json
import subprocess
import sys

for program in sys.argv[1:]:
    for rows in (1, 2, 17, 64, 96):
        command = ["moec", "inspect", program, "--batch", f"5x{rows}", "--json"]
        entries = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["entries"]
        train = next(entry for entry in entries if entry["name"] == "train")
        arena, live = train["memory"]["arena"], train["memory"]["live"]
        print(f"5x{rows}: {arena} bytes for {live} alive, {'ok' if arena <= 1.10 * live else 'too much'}")
