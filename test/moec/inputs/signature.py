"""signature.py FOLDER: the inputs of each entry of some models, in the program (`moec inspect`), for `moert infer`, and for
`moec evaluate`: each takes the whole set, and each misses any one of it."""
import json
import pathlib
import subprocess
import sys

import numpy

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
SHAPES = {"image": (2, 1, 2, 2), "vin": (2, 3), "more": (2, 1, 4, 4)}
for name, shape in SHAPES.items():
    numpy.save(folder / f"{name}.npy", numpy.ones(shape, "f4"))
for name in ("label", "domain"):
    numpy.save(folder / f"{name}.npy", numpy.array([1, 0], "i4"))

BODY = """  %f = flatten %image
  %y = linear @head(%f) to 3
"""
MODELS = {  # the model's declared inputs, its body, and what main, train and gradients take
    "plain": ("%image: image[1, 2, 2]", BODY, ["image"], ["image", "label"]),
    "unused": ("%image: image[1, 2, 2], %vin: vector[3]", BODY, ["image", "vin"], ["image", "vin", "label"]),
    "unused first": ("%more: image[1, 4, 4], %vin: vector[3], %image: image[1, 2, 2]", BODY,
                     ["more", "vin", "image"], ["more", "vin", "image", "label"]),
    "domain": ("%image: image[1, 2, 2]", BODY + "  aux @d cross_entropy %y, domain, 0.1\n", ["image"], ["image", "label", "domain"]),
    "loss of weight 0": ("%image: image[1, 2, 2], %vin: vector[3]",
                         BODY + "  %v = linear @v(%vin) to 3\n  aux @d cross_entropy %v, domain, 0.0\n",
                         ["image", "vin"], ["image", "vin", "label"]),
    "a loss's alone": ("%image: image[1, 2, 2], %vin: vector[3]",
                       BODY + "  %v = linear @v(%vin) to 3\n  aux @d cross_entropy %v, domain, 0.5\n",
                       ["image", "vin"], ["image", "vin", "label", "domain"]),
    "folded away": ("%image: image[1, 2, 2], %vin: vector[3]",
                    BODY + "  %v = sub %vin, %vin\n  %w = stop_gradient %v\n  expose @w %w\n", ["image", "vin"], ["image", "vin", "label"]),
}
wrong = []


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def inputs(names):
    return [word for name in names for word in ("--input", f"{name}=@{folder}/{name}.npy")]


for title, (declared, body, main, train) in MODELS.items():
    model, program = folder / "m.mlir", folder / "m.moe"
    model.write_text(f"moe.model @m({declared}) {{\n{body}  return logits = %y\n}}\n")
    done = run("moec", "compile", model, "--gradients", "--target=cpu:x86-64-v3", "-o", program)
    assert done.returncode == 0, (title, done.stderr)
    recorded = {entry["name"]: [port["name"] for port in entry["inputs"]] for entry in
                json.loads(run("moec", "inspect", program, "--json").stdout)["entries"]}
    expected = {"main": main, "train": train, "gradients": train}
    if recorded != expected:
        wrong.append(f"{title}: expected inputs {expected}, found {recorded}")
    states = {state["path"]: state["shape"] for state in json.loads(run("moec", "inspect", program, "--json").stdout)["parameters"]}
    table, offset = {}, 0
    for path, shape in states.items():
        size = int(numpy.prod(shape)) * 4
        table[path] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(table).encode()
    parameters = folder / "p.safetensors"
    parameters.write_bytes(len(head).to_bytes(8, "little") + head + numpy.full(offset // 4, 0.1, "f4").tobytes())
    for entry, names in (("main", main), ("gradients", train)):
        tools = {"evaluate": ("moec", "evaluate", model, "--gradients"), "infer": ("moert", "infer", program)}
        for tool, command in tools.items():
            command = (*command, "--entry", entry, "--params", parameters, "--output-folder", folder / "out")
            done = run(*command, *inputs(names))
            if done.returncode:
                wrong.append(f"{title}, {tool} {entry}: {done.stderr}")
            for missing in names:
                done = run(*command, *inputs(name for name in names if name != missing))
                if done.returncode != 2 or f"expected --input {missing}=@" not in done.stderr:
                    wrong.append(f"{title}, {tool} {entry} without {missing}: {done.stderr} ({done.returncode})")
    done = run("moert", "bench", program, "--entry", "train", "--batch", "2x2", "--steps", "1")
    if done.returncode:
        wrong.append(f"{title}, bench train: {done.stderr}")
# A shape that is not the declared one is refused of an input that nothing uses too.
model.write_text(f"moe.model @m({MODELS['unused'][0]}) {{\n{BODY}  return logits = %y\n}}\n")
run("moec", "compile", model, "--target=cpu:x86-64-v3", "-o", program)
numpy.save(folder / "vin.npy", numpy.ones((2, 4), "f4"))
for command in (("moec", "evaluate", model), ("moert", "infer", program)):
    done = run(*command, "--params", parameters, "--output-folder", folder / "out", *inputs(["image", "vin"]))
    if done.returncode != 1 or "vin" not in done.stderr:
        wrong.append(f"{command}: a wrong shape of 'vin' is taken: {done.stderr} ({done.returncode})")
print("\n".join(wrong) or "ok")
sys.exit(bool(wrong))
