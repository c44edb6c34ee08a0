"""Compiled code against the f64 evaluator, through the whole pipeline: ops.py BIN FOLDER MODEL:SHAPE:CLASSES...

Each model is compiled with an entry that gives its gradients. Parameters are random, some labels unknown. Every output, which is
every loss and every gradient, must agree within 2e-5 of the largest element of the evaluator's.
"""
import json
import pathlib
import struct
import subprocess
import sys

import numpy as np

TOLERANCE = 2e-5
ROWS = 6


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def save(path, tensors):
    header, offset = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def check(bin, folder, model, shape, classes):
    random = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    program, parameters = folder / "program.moe", folder / "parameters.safetensors"
    run(bin / "moec", "compile", model, "--gradients", "-o", program)
    info = json.loads(run(bin / "moec", "inspect", program, "--json"))
    save(parameters, {
        p["path"]: (random.standard_normal(p["shape"]) / np.sqrt(np.prod(p["shape"][1:]))).astype(np.float32)
        for p in info["parameters"]})
    label = random.integers(0, classes, ROWS)
    label[1] = -1
    given = {"image": random.standard_normal([ROWS, *shape]).astype(np.float32), "label": label.astype(np.int32)}
    if "domain, " in pathlib.Path(model).read_text():
        given["domain"] = np.arange(ROWS, dtype=np.int32) % 2
    inputs = []
    for name, value in given.items():
        np.save(folder / f"{name}.npy", value)
        inputs += ["--input", f"{name}=@{folder}/{name}.npy"]
    (folder / "wanted").mkdir(exist_ok=True)
    (folder / "found").mkdir(exist_ok=True)
    run(bin / "moec", "evaluate", model, "--gradients", "--entry", "gradients", "--params", parameters, *inputs,
        "--output-folder", folder / "wanted")
    names = sorted(p.name[:-4] for p in (folder / "wanted").glob("*.npy"))
    outputs = []
    for name in names:
        outputs += ["--output", f"{name}=@{folder}/found/{name}.npy"]
    run(bin / "moert", "infer", program, "--entry", "gradients", "--params", parameters, *inputs, *outputs)
    worst, where = 0.0, ""
    for name in names:
        wanted, found = np.load(folder / "wanted" / f"{name}.npy"), np.load(folder / "found" / f"{name}.npy")
        if wanted.shape != found.shape or not np.isfinite(wanted).all():
            sys.exit(f"{model}: {name}: expected finite values of {wanted.shape}, found {found.shape}")
        error = np.abs(wanted - found).max() / max(np.abs(wanted).max(), 1e-6)
        if not error <= worst:
            worst, where = error, name
    print(f"{pathlib.Path(model).stem}: {len(names)} outputs, worst {worst:.1e} ({where})")
    if not worst <= TOLERANCE:
        sys.exit(f"{model}: {where} differs by {worst:.1e} of its largest element, more than {TOLERANCE:.0e}")


bin, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for item in sys.argv[3:]:
    model, shape, classes = item.split(":")
    check(bin, folder / pathlib.Path(model).stem, model, [int(n) for n in shape.split("x")], int(classes))
