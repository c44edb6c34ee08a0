"""Runs both entries of each program in several ways, on the same made-up inputs, and fails where a byte differs."""

import json
import subprocess
import sys

WAYS = (["--threads", "1"], ["--threads", "2"], ["--threads", "3"], ["--threads", "2"], ["--threads", "2", "--poison"],
        ["--threads", "2", "--trap-nan"])

for program in sys.argv[1:]:
    for entry, batches in (("train", ("1x1", "2x3", "3x17")), ("main", ("1", "5", "17"))):
        for batch in batches:
            digests = {}
            for way in WAYS:
                command = ["moert", "bench", program, "--entry", entry, "--batch", batch, "--steps", "1", "--json", *way]
                result = subprocess.run(command, capture_output=True, text=True)
                if result.returncode:
                    sys.exit(f"{' '.join(command)}: {result.stderr}")
                digests[" ".join(way)] = json.loads(result.stdout)["digest"]
            if len(set(digests.values())) != 1:
                sys.exit(f"{program}, {entry} at {batch}: {digests}")
