"""A program's own record builds it again: what `moec inspect` shows as config, given as options, makes the same bytes.

    rebuild.py BIN FOLDER MODEL.mlir -DNAME=VALUE... [--gradients]

The same holds where another size changes than those that were given: the record with `classes` replaced is the program
of the first command with `classes` replaced. And `moert train`, given data of ten classes, suggests that command.
"""
import json
import pathlib
import re
import shlex
import struct
import subprocess
import sys

binaries, folder, model, *given = sys.argv[1:]
binaries, folder = pathlib.Path(binaries).resolve(), pathlib.Path(folder)
folder.mkdir(parents=True, exist_ok=True)


def compiled(name, *options):
    path = folder / name
    subprocess.run([binaries / "moec", "compile", model, "-o", path, "--target=cpu:x86-64-v3", *options], check=True)
    return path.read_bytes()


def recorded(name):
    shown = json.loads(subprocess.check_output([binaries / "moec", "inspect", folder / name, "--json"]))["config"]
    return {key: value for key, value in shown.items() if key not in ("objective", "source", "target")}


def options(config):
    return ["--gradients" if key == "gradients" else f"--{key}={value}" if key in ("batch-hint", "precision") else f"-D{key}={value}"
            for key, value in config.items()]


first = compiled("first.moe", *given)
config = recorded("first.moe")
assert compiled("again.moe", *options(config)) == first, config

ten = compiled("ten.moe", *(option for option in given if not option.startswith("-Dclasses=")), "-Dclasses=10")
assert ten != first
assert compiled("changed.moe", *options(config | {"classes": "10"})) == ten, config

images = folder / "data"
images.mkdir(exist_ok=True)
for part in ("train", "t10k"):
    (images / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 100, 28, 28) + bytes(100 * 784))
    (images / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 100) + bytes(i % 10 for i in range(100)))
refused = subprocess.run([binaries / "moert", "train", folder / "first.moe", "--out", folder / "run", "--steps", "1",
                          "--set", f"data.path={images}"], capture_output=True, text=True)
suggested = re.search("compile it for this data: (moec compile .*)", refused.stderr)
assert suggested, refused
subprocess.run(suggested.group(1).replace("moec", shlex.quote(str(binaries / "moec")), 1), shell=True, check=True)
assert (folder / "first.moe").read_bytes() == ten, suggested.group(1)

# Files that were named in the folder of the command are found from wherever the trainer is started.
(folder / "models").mkdir(exist_ok=True)
(folder / "else where").mkdir(exist_ok=True)
(folder / "models/it's.mlir").write_bytes(b"\xef\xbb\xbf" + pathlib.Path(model).read_bytes())  # a byte order mark
subprocess.run([binaries / "moec", "compile", "models/it's.mlir", "-o", "moved.moe", "--target=cpu:x86-64-v3", *given], check=True, cwd=folder)
before = json.loads(subprocess.check_output([binaries / "moec", "inspect", folder / "moved.moe", "--json"]))["config"]
refused = subprocess.run([binaries / "moert", "train", "../moved.moe", "--out", "run", "--steps", "1", "--set", f"data.path={images.resolve()}"],
                         capture_output=True, text=True, cwd=folder / "else where")
suggested = re.search("compile it for this data: (moec compile .*)", refused.stderr)
assert suggested, refused
subprocess.run(suggested.group(1).replace("moec", shlex.quote(str(binaries / "moec")), 1), shell=True, check=True, cwd=folder / "else where")
after = json.loads(subprocess.check_output([binaries / "moec", "inspect", folder / "moved.moe", "--json"]))["config"]
assert before["classes"] != "10" and after == before | {"classes": "10", "source": after["source"]}, (before, after)

# Another model of that name, nearer to the program, is not the program's source: the command passes it by.
(folder / "deep/models").mkdir(parents=True, exist_ok=True)
(folder / "deep/models/it's.mlir").write_text("// another model\n" + pathlib.Path(model).read_text())
subprocess.run([binaries / "moec", "compile", "models/it's.mlir", "-o", "deep/moved.moe", "--target=cpu:x86-64-v3", *given], check=True, cwd=folder)


def source():
    refused = subprocess.run([binaries / "moert", "train", "moved.moe", "--out", "run", "--steps", "1", "--set", f"data.path={images.resolve()}"],
                             capture_output=True, text=True, cwd=folder / "deep")
    return shlex.split(re.search("compile it for this data: (moec compile .*)", refused.stderr).group(1))[2]


assert (folder / "deep" / source()).resolve() == (folder / "models/it's.mlir").resolve(), source()
(folder / "models/it's.mlir").unlink()
assert source() == "models/it's.mlir", source()
