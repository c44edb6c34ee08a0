"""Trains a small mixture of experts in a vision transformer at 28 pixels, from examples/models/gmoe.mlir.

    gmoe.py BIN MODEL.mlir FOLDER

The classes are bright squares at places of their own (runs.py). The loss falls and the classes are found, with rows dropped or not;
the loss of balance is part of the loss; every parameter is trained, those of each expert too; and decay reaches all of them.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import numpy
from safetensors.numpy import load_file

from runs import make_set

BIN, MODEL, FOLDER = (pathlib.Path(a).absolute() for a in sys.argv[1:])
shutil.rmtree(FOLDER, ignore_errors=True)
images = make_set(FOLDER / "images")
PROGRAM = FOLDER / "gmoe.moe"
subprocess.run([BIN / "moec", "compile", MODEL, "-o", PROGRAM, "-Dchannels=1", "-Dsize=28", "-Dpatch=7", "-Ddim=32", "-Dheads=4",
                "-Dclasses=10", "-Dexperts=4", "-Ddense=1", "-Dpairs=1", "-Dlast=1"], check=True)


def train(name, steps, *more):
    options = {"data.path": images, "data.angles": "[0,10,20]", "train.steps": steps, "train.batch_per_domain": 16,
               "optimizer.lr": "2e-3", "eval.every": 50, "eval.batch": 16}
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    subprocess.run([str(a) for a in (BIN / "moert", "train", PROGRAM, "--out", FOLDER / name, "--threads", 2, *sets, *more)],
                   check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in open(FOLDER / name / "metrics.jsonl")]
    return lines, load_file(FOLDER / name / "last/model.safetensors")


_, began = train("began", 1, "--set", "optimizer.lr=1e-30")  # as good as no step
lines, last = train("trained", 150)
assert lines[-1]["loss.erm"] < 0.7 < 2 < lines[0]["loss.erm"], lines
done = subprocess.run([BIN / "moert", "eval", PROGRAM, "--checkpoint", FOLDER / "trained/last", "--json"],
                      check=True, capture_output=True, text=True)
scores = {e["entry"]: [d["out_acc"] for d in e["domains"] if not d["held_out"]] for e in json.loads(done.stdout)["entries"]}
assert set(scores) == {"main", "as_trained"} and min(map(min, scores.values())) > 0.8, scores
for line in lines:
    balance = [line[f"loss.blocks.{i}.mlp.balance"] for i in (1, 3)]
    assert min(balance) > 0 and abs(line["loss"] - line["loss.erm"] - sum(balance)) < 1e-5, line
for path, values in last.items():
    units = values if ".experts." in path else [values]
    assert all((unit != old).any() for unit, old in zip(units, began[path] if ".experts." in path else [began[path]])), path

# Decay is part of Adam's gradient and reaches everything: where it is nearly all of it, the first step is towards 0, and so is the
# second of what began as 0.
lr = 2e-3
_, once = train("decayed", 1, "--set", "optimizer.weight_decay=1000")
_, twice = train("decayed2", 2, "--set", "optimizer.weight_decay=1000")
for path, old in began.items():
    far = abs(old) > 2 * lr
    assert numpy.allclose(once[path][far], old[far] - lr * numpy.sign(old[far]), rtol=0, atol=1e-5), path
    moved = (abs(old) < 1e-20) & (abs(once[path]) > 0.5 * lr)
    assert far.any() or moved.any(), path
    assert (abs(twice[path][moved]) < 0.5 * lr).all(), path
