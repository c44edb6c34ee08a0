"""Holds docs/extending.md to what it shows: extending.py ROOT FOLDER. Blocks of code that name a file stand in that file of
examples/plugin or examples/target; the lines that begin with `$` run, in FOLDER and in this order, and give the lines behind them (`...` stands for
anything); each op of the example has 60 lines at most, definitions included, as the page says."""
import pathlib
import re
import subprocess
import sys

root, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
page = (root / "docs/extending.md").read_text()
example = root / "examples/plugin"
wrong = []

blocks = re.findall(r"^```\w+ (\S+)\n(.*?)^```", page, re.M | re.S)
for name, code in blocks:
    if not any(code in path.read_text() for path in root.glob(f"examples/*/{name}")):
        wrong.append(f"expected this in {name} of an example, found it in docs/extending.md alone:\n{code}")
if len(blocks) < 12:
    wrong.append(f"expected 8 blocks of code or more, found {len(blocks)}")

definitions = (example / "Extra.td").read_text()
for name in ("Softsign", "Roll", "LogSumExp"):
    lines = len((example / f"{name}.cpp").read_text().splitlines())
    for definition in re.findall(rf"^def Extra_{name}(?:Word|Op) .*?(?:^}}|>;)\n", definitions, re.M | re.S):
        lines += len(definition.splitlines())
    if not 40 <= lines <= 60:
        wrong.append(f"expected 40 to 60 lines of {name}.cpp and its definitions, found {lines}")

steps = []  # [command, the lines that it shows]
for line in page.splitlines():
    if line.startswith("    $ "):
        steps.append([line[6:], []])
    elif line.startswith("    ") and steps and not page.split(line)[0].count("```") % 2:
        steps[-1][1].append(line.strip())
script = "".join(f"echo '@@@ {i}'\n{{ {command}; }} 2>&1\n" for i, (command, _) in enumerate(steps))
run = subprocess.run(["bash", "-e"], input=script, cwd=folder, capture_output=True, text=True)
outputs = re.split(r"^@@@ \d+\n", run.stdout, flags=re.M)[1:]
if run.returncode or len(outputs) != len(steps):
    wrong.append(f"expected all commands to succeed, found that '{steps[len(outputs) - 1][0]}' failed:\n{outputs[-1]}{run.stderr}")
for (command, shown), output in zip(steps, outputs):
    pattern = r".*".join(r"\s+".join(re.escape(word) for word in line.replace("...", "\0").split()).replace("\0", ".*")
                             for line in shown)
    if not re.search(pattern, output, re.S):
        wrong.append(f"expected of '{command}'\n" + "\n".join(shown) + f"\nfound\n{output}")

print("\n".join(wrong), file=sys.stderr)
print(f"{len(blocks)} blocks, {len(steps)} commands")
sys.exit(1 if wrong else 0)
