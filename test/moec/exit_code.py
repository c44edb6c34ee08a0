"""exit_code.py CODE COMMAND...: succeeds where the command ends with that code; passes its output on."""
import subprocess
import sys

done = subprocess.run(sys.argv[2:])
if done.returncode != int(sys.argv[1]):
    sys.exit(f"expected exit code {sys.argv[1]}, found {done.returncode}")
