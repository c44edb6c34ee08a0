"""What buffers of a model are while it trains: they follow the steps, outside of the gradient, and a refused step leaves them.

    buffers.py BIN MODEL.mlir FOLDER          (MODEL: inputs/routing/balancing_bias.mlir)
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
BUFFER, RATE = "mixture.bias", numpy.float32(1e-3)


def compiled(name, text):
    (FOLDER / f"{name}.mlir").write_text(text)
    subprocess.run([BIN / "moec", "compile", FOLDER / f"{name}.mlir", "-o", FOLDER / f"{name}.moe"], check=True)
    return FOLDER / f"{name}.moe"


def train(program, name, steps, code=0, **sets):
    options = {"data.path": images, "data.angles": "[0,10,20]", "train.steps": steps, "train.batch_per_domain": 8, "eval.every": steps,
               "eval.batch": 16, **sets}
    command = [BIN / "moert", "train", program, "--out", FOLDER / name, "--threads", 2]
    for key, value in options.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == code, done
    return load_file(FOLDER / name / "last/model.safetensors"), done.stderr


text = MODEL.read_text()
program = compiled("balanced", text)
info = json.loads(subprocess.run([BIN / "moec", "inspect", program, "--json"], check=True, capture_output=True, text=True).stdout)
assert info["buffers"] == [{"path": BUFFER, "shape": [4], "count": 4}] and all(p["path"] != BUFFER for p in info["parameters"])

# The first step: less for the experts that have more than their share, and more for those that have less.
one, _ = train(program, "one", 1)
counted, _ = train(compiled("counted", text.replace("%new    = add %bias, %step", "%new    = add %load, 0")), "counted", 1)
counts = counted[BUFFER]
assert counts.sum() == 2 * 8 * 16 * 2 and (counts == numpy.rint(counts)).all() and (counts >= 0).all(), counts
expected = RATE * numpy.sign(counts.mean() - counts)
assert (one[BUFFER] == expected).all() and (expected != 0).any(), (one[BUFFER], counts)

# Each step moves it by as much, or not at all; measuring on the way does not.
many, _ = train(program, "many", 20)
watched, _ = train(program, "watched", 20, **{"eval.every": 1})
steps = numpy.rint(many[BUFFER] / RATE)
assert numpy.allclose(many[BUFFER], steps * RATE, rtol=1e-5) and (abs(steps) <= 20).all() and (abs(steps) > 1).any(), many[BUFFER]
assert all((many[path] == watched[path]).all() for path in many)

# A step that is refused leaves it: with this rate the first step makes the parameters too large for the second.
last, said = train(program, "refused", 20, code=1, **{"optimizer.lr": 1e38})
step = json.loads((FOLDER / "refused/last/state.json").read_text())["step"]
assert "not finite" in said and step == 1, (said, step)
assert (last[BUFFER] == one[BUFFER]).all(), (last[BUFFER], one[BUFFER])

# So does one whose new buffer is not finite, and it leaves the parameters as well.
wrong = compiled("wrong", text.replace("%new    = add %bias, %step", "%none   = sub %step, %step\n  %new    = div %bias, %none"))
began, said = train(wrong, "wrong", 3, code=1)
assert "not finite" in said and (began[BUFFER] == 0).all(), (said, began[BUFFER])
initial, _ = train(program, "initial", 1, **{"optimizer.lr": 1e-30})
assert all(numpy.allclose(began[path], initial[path], rtol=0, atol=1e-20) for path in began if path != BUFFER)
