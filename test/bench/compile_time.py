"""How long moec takes: hmoe_28, and ViT-S/16 at 224 pixels, at 12, 24 and 48 blocks, all entries.

    compile_time.py [--moec BIN]... [--rounds 5] [--phases]

Prints the median over rounds of the wall time and of the processor time, with their smallest, and what a doubling of the
blocks costs. Several --moec are run in turn, so that a shared machine slows them alike. --phases shows where the time goes.
"""
import argparse
import os
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {
    "hmoe_28": [ROOT / "examples/models/hmoe_28.mlir"],
    **{f"vit_s16, {depth} blocks": [ROOT / "examples/models/vit.mlir", f"-Ddepth={depth}"] for depth in (12, 24, 48)},
}


def run(moec, arguments, output):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([moec, "compile", *arguments, "-o", output], check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--moec", action="append", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--phases", action="store_true")
options = parser.parse_args()
compilers = options.moec or [ROOT / "build/bin/moec"]

print(f"{os.cpu_count()} processors, {options.rounds} rounds: seconds, median (smallest)\n")
with tempfile.TemporaryDirectory() as folder:
    output = os.path.join(folder, "program.moe")
    times = {(name, moec): [] for name in MODELS for moec in compilers}
    for _ in range(options.rounds):
        for (name, moec), runs in times.items():
            runs.append(run(moec, MODELS[name], output))
    for moec in compilers:
        print(moec)
        print(f"  {'model':22} {'wall':>14} {'processor':>16} {'of half as many':>16}")
        previous = None
        for name in MODELS:
            walls, used = zip(*times[name, moec])
            wall = statistics.median(walls)
            doubling = f"{wall / previous:.2f}" if previous else ""
            previous = wall if name.startswith("vit") else None
            print(f"  {name:22} {wall:6.2f} ({min(walls):5.2f}) {statistics.median(used):8.2f} ({min(used):5.2f}) {doubling:>16}")
        if options.phases:
            for name in MODELS:
                shown = subprocess.run([moec, "compile", *MODELS[name], "-o", output, "--timing"], check=True,
                                       capture_output=True, text=True).stderr
                rows = re.findall(r"^ {4}(\d+\.\d+) \( *[\d.]+%\)  (\w+)$", shown, re.M)
                print(f"  {name}: " + ", ".join(f"{phase} {seconds}" for seconds, phase in rows))
