"""No text of a user's reaches a terminal as control bytes: not a model's names, a recipe's, a checkpoint's, nor a path's.

    control_bytes.py BIN MODEL.mlir FOLDER

Each command here is given the bytes below where it will speak of them. What it prints holds none that a terminal obeys, holds
them in their escaped form, and keeps the letter beside them.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

binaries, model, folder = map(pathlib.Path, sys.argv[1:])
binaries = binaries.absolute()
moec, moert = binaries / "moec", binaries / "moert"
shutil.rmtree(folder, ignore_errors=True)
model, folder = model.absolute(), folder.absolute()
folder.mkdir(parents=True)
os.chdir(folder)

EVIL, SHOWN = "\x1b[2J\r\x7f\u009b\u00e9", r"\x1b[2J\x0d\x7f\xc2\x9b" + "\u00e9"
RAW = os.fsencode(EVIL) + b"\xff"  # of paths and words


def said(code, *command):
    done = subprocess.run(command, capture_output=True)
    out = done.stdout + done.stderr
    assert done.returncode == code, (command, done)
    for byte in out.decode():  # which fails for what is no UTF-8
        assert (byte >= " " and byte != "\x7f" and not "\x80" <= byte <= "\x9f") or byte in "\n\t", (command, byte, done)
    assert SHOWN in out.decode(), (command, out)
    return out.decode()


def words(code, *command):
    """The same for words of a command line, whose last byte is no UTF-8."""
    assert SHOWN + r"\xff" in said(code, *command)


# moec: names in a text, a text's line, words of the command line, a program's own names.
quoted = EVIL.replace("\x1b", r"\1B").replace("\r", r"\0D").replace("\x7f", r"\7F").replace("\u009b", r"\C2\9B")
pathlib.Path("name.mlir").write_text(f'moe.model @m(%image: image[1, 28, 28]) {{\n  %p = flatten %image\n  %y = linear @"{quoted}"(%p) to 10\n  return logits = %y\n}}\n')
assert "name.mlir:3:8: error: expected a name in UTF-8 without control characters, found '@" + SHOWN in said(1, moec, "compile", "name.mlir", "-o", "p.moe")
pathlib.Path("line.mlir").write_bytes(model.read_bytes().replace(b"to classes", b"to klasses // " + EVIL.replace("\r", "").encode()))
SHOWN, kept = SHOWN.replace(r"\x0d", ""), SHOWN
said(1, moec, "compile", "line.mlir", "-o", "p.moe")
SHOWN = kept
words(1, moec, "compile", RAW, "-o", "p.moe")
words(1, moec, "compile", model, "-o", RAW + b"/p.moe")
words(2, moec, "compile", model, "-o", "p.moe", b"-D" + RAW + b"=7")
words(2, moec, "compile", model, "-o", "p.moe", b"-Dclasses=" + RAW)
words(2, moec, "compile", model, "-o", "p.moe", b"--objective=" + RAW)
words(2, moec, "compile", model, "-o", "p.moe", b"--to=" + RAW)
words(2, moec, "compile", model, b"--" + RAW)
words(2, moec, RAW)
os.mkdir(RAW)
shutil.copy(model, RAW + b"/m\t\n.mlir")
program = RAW + b"/p.moe"
subprocess.run([moec, "compile", RAW + b"/m\t\n.mlir", "-o", program], check=True)
words(0, moec, "inspect", program)
words(1, moec, "inspect", RAW + b"/m\t\n.mlir")

# moert: the same of recipes, checkpoints, inputs and paths; and what it prints while all is well.
words(1, moert, "bench", RAW)
words(1, moert, "bench", program, "--entry", RAW)
words(2, moert, "bench", program, "--batch", RAW)
words(2, moert, RAW)
words(2, moert, "train", program, "--out", "x", b"--" + RAW)
train = [moert, "train", program, "--out", RAW + b"/run", "--steps", "0"]
words(2, *train, "--set", RAW + b"=1")
words(2, *train, "--set", b"train.seed=" + RAW)
text = json.dumps(EVIL)
for recipe in (f"{text} = 1\n", f"[data]\nkind = {text}\n", f"[aux]\n{text} = 1\n", f"[optimizer]\n{text} = 1\n", f"[data]\npath = {text}\n"):
    pathlib.Path("r.toml").write_text(recipe)
    said(1, *train, "--recipe", "r.toml")
pathlib.Path(os.fsdecode(RAW) + ".toml").write_text("[data]\nkind = 1\n")
words(1, *train, "--recipe", RAW + b".toml")


def safetensors(path, table, data=b""):
    head = json.dumps(table).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(head)) + head + data)


images = folder / "images"
images.mkdir()
for part in ("train", "t10k"):
    (images / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 100, 28, 28) + bytes(100 * 784))
    (images / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 100) + bytes(i % 10 for i in range(100)))
words(0, *train, "--set", f"data.path={images}")
words(0, moert, "eval", program, "--checkpoint", RAW + b"/run/last")
words(1, moert, "eval", program, "--checkpoint", RAW + b"/none")
image = "image.npy"


def npy(path, kind, shape, data=b""):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    pathlib.Path(path).write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data)


npy(image, "<f4", (1, 28, 28), struct.pack("<784f", *[2] * 784))
shutil.copy(image, RAW + b"/x.npy")
infer = [moert, "infer", program, "--checkpoint", RAW + b"/run/last"]
words(0, *infer, "--input", b"image=@" + RAW + b"/x.npy")  # a note on its pixels
words(0, *infer, "--input", f"image=@{image}", "--output", b"logits=@" + RAW + b"/y.npy")
words(1, *infer, "--input", RAW + b"=@x.npy")
words(2, *infer, "--input", RAW)
for kind, shape in ((EVIL, "(1, 28, 28)"), ("<f4", f"(1, {EVIL})")):
    npy("bad.npy", kind, shape)
    said(1, *infer, "--input", "image=@bad.npy")
for table in ({EVIL: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, {EVIL: 1}, {"a": {"dtype": EVIL, "shape": [1], "data_offsets": [0, 4]}}):
    safetensors("bad.safetensors", table, bytes(4))
    said(1, moert, "infer", program, "--params", "bad.safetensors", "--input", f"image=@{image}")
# NUL ends no message.
safetensors("bad.safetensors", {"a\0b" + EVIL: 1})
assert r"a\x00b" in said(1, moert, "infer", program, "--params", "bad.safetensors", "--input", f"image=@{image}")
# The command that mends a program is one that bash reads.
(folder / "seven").mkdir()
for part in ("train", "t10k"):
    shutil.copy(images / f"{part}-images-idx3-ubyte", folder / "seven")
    (folder / "seven" / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 100) + bytes(i % 7 for i in range(100)))
advice = said(1, *train[:3], "--out", "other", "--set", "data.path=seven").split("compile it for this data: ")[1]
subprocess.run(["bash", "-c", f"PATH={binaries}:$PATH; {advice}"], check=True)
done = subprocess.run([*train[:3], "--out", "other", "--set", "data.path=seven", "--steps", "0"], capture_output=True)
assert done.returncode == 0, done
