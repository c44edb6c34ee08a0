"""Compares what the example models cost, compiled, with the table in inputs/costs.txt: launches, distinct kernels, FLOPs,
memory, and what fusion took to get there. All of it is the same on every machine, so the figures are exact: a change of a
constant or a rule that costs a launch or a byte is seen, and whoever means it writes the table anew, by

    PATH=build/bin:$PATH python3 test/moec/costs.py --update
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "inputs" / "costs.txt"
HEAD = """# What the models of examples/models cost on cpu:x86-64-v3; see costs.py, which writes this file (--update).
# An image's FLOPs as models are counted, and as they are done, what is computed again included. Bytes of the arena
# (temporaries), of its lower bound, and of what is prepared. Fusion: ops, runs of the analysis, ops that those were given,
# edges searched.
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


def rows(model, folder):
    program, flow = folder / "program.moe", folder / "flow.mlir"
    run("moec", "compile", model, "--target=cpu:x86-64-v3", "-o", program)
    for batch in ("5x64", "1x64"):
        for entry in json.loads(run("moec", "inspect", program, "--batch", batch, "--json").stdout)["entries"]:
            memory = entry["memory"]
            yield (f"{model.stem} {entry['name']} {batch}: launches {entry['launches']} "
                   f"prepare {entry['prepare_launches']} kernels {entry['kernels']} "
                   f"flops {entry['flops_per_image']:.0f} executed {entry['executed_flops_per_image']:.0f} "
                   f"arena {memory['arena']} live {memory['live']} prepared {memory['prepared']}")
    run("moec", "compile", model, "--target=cpu:x86-64-v3", "--to=rematerialize", "-o", flow)
    said = run("moe-opt", flow, "--moe-form-groups=report-work=true", "-o", "/dev/null").stderr
    for name, ops, analyses, given, steps in re.findall(
            r"fusion of '(\w+)': (\d+) ops, (\d+) analyses of (\d+) ops, (\d+) search steps", said):
        yield f"{model.stem} {name} fusion: ops {ops} analyses {analyses} given {given} steps {steps}"


found = []
with tempfile.TemporaryDirectory() as folder:
    for path in sorted((HERE.parent.parent / "examples" / "models").glob("*.mlir")):
        found += rows(path, pathlib.Path(folder))
if "--update" in sys.argv:
    TABLE.write_text(HEAD + "\n".join(found) + "\n")
    sys.exit()
expected = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
for line in sorted(set(expected) - set(found)):
    print("expected", line)
for line in sorted(set(found) - set(expected)):
    print("found   ", line)
if expected != found:
    sys.exit("where this is meant, 'python3 test/moec/costs.py --update' writes the table anew")
