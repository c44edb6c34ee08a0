"""What `moert train`, `infer` and `eval` say of a small model, held against what they compute.

    inference.py BIN FOLDER
"""
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import zlib

from failing_calls import Small, npy


def png(width, height, pixels):
    """A grey image of 8 bits."""
    rows = b"".join(b"\0" + bytes(pixels[width * y:width * (y + 1)]) for y in range(height))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


small = Small(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
folder, run = small.folder, small.folder / "run"
trained = small.good(small.train(run))
model = [small.program, "--checkpoint", run / "last"]

# The loss that an evaluation's line shows is the mean over the steps since the line before.
lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
shown = [float(loss) for loss in re.findall(r"^step \d+  mean loss (\S+)", trained, re.M)]
meant = [line["loss"] for line in lines if "score" in line]
assert len(shown) == len(meant) == 4 and all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(shown, meant)), (shown, lines)

# Classes, their probabilities and their scores: the softmax of what --output writes.
pixels = [i * 37 % 256 for i in range(3 * 36)]
(folder / "rows.npy").write_bytes(npy((3, 1, 6, 6), [p / 255 for p in pixels]))
logits = folder / "logits.npy"
out = small.good(small.moert_run("infer", *model, "--input", f"image=@{folder}/rows.npy", "--output", f"logits=@{logits}"))
scores = struct.unpack("<12f", logits.read_bytes()[-48:])
rows = re.split(r"^row \d+\n", out, flags=re.M)
assert rows[0] == f"logits: 3 x 4 in {logits}\n" and len(rows) == 4, out
for row, text in enumerate(rows[1:]):
    own = scores[4 * row:4 * row + 4]
    total = sum(math.exp(score) for score in own)
    shown = [(int(c), float(p), float(s)) for c, p, s in re.findall(r"^class (\d+) +(\S+) %  \((\S+)\)$", text, re.M)]
    assert [c for c, _, _ in shown] == sorted(range(4), key=lambda c: -own[c]), (own, text)
    for c, percent, score in shown:
        assert abs(percent - 100 * math.exp(own[c]) / total) < 0.006 and abs(score - own[c]) < 6e-5, (own, text)
top = small.good(small.moert_run("infer", *model, "--input", f"image=@{folder}/rows.npy", "--top", 2))
assert [line for line in out.splitlines()[1:] if not re.match("class", line)] == re.findall("^row .*", top, re.M), top
assert top.count("class ") == 6 and all(line in out for line in top.splitlines()), (out, top)

# An image file is the row of its pixels, from 0 to 1.
for row in range(3):
    (folder / "image.png").write_bytes(png(6, 6, pixels[36 * row:36 * row + 36]))
    small.good(small.moert_run("infer", *model, "--input", f"image=@{folder}/image.png", "--output", f"logits=@{logits}"))
    assert logits.read_bytes()[-16:] == struct.pack("<4f", *scores[4 * row:4 * row + 4]), row

# Other shapes, and what is no image.
for shape, found in (((2, 1, 6, 5), "found 1 x 6 x 5"), ((6, 6), "found an array of 6 x 6")):
    (folder / "wrong.npy").write_bytes(npy(shape, [0.5] * math.prod(shape)))
    done = small.moert_run("infer", *model, "--input", f"image=@{folder}/wrong.npy")
    assert done.returncode == 1 and done.stderr == (
        f"moert: error: {folder}/wrong.npy: expected 1 x 6 x 6 a row for input 'image', {found}\n"), done

# Evaluation counts each image of each split once, and says what the last line of metrics says.
report = json.loads(small.good(small.moert_run("eval", *model, "--json")))
line = lines[-1]
assert report["step"] == line["step"] == 12, report
domains = report["entries"][0]["domains"]
assert len(domains) == 3
for domain in domains:
    assert [domain[name] for name in ("in_images", "in_split", "out_images", "out_split")] == [24, 24, 6, 6], domain
    for split in ("in", "out"):
        assert domain[f"{split}_acc"] == line[f"env{domain['domain']}_{split}_acc"], (domain, line)
        right = domain[f"{split}_acc"] * domain[f"{split}_images"]
        assert abs(right - round(right)) < 1e-9, domain

# What a model exposes is an output of its inference entries, by its path, and never the scores that are counted: the
# one other output of a row of four numbers an image is the exposed one.
exposing = small.compiled("exposing", """moe.layer @Half(%x) {
  %half = mul %x, %x
  expose @square %half
  yield %half
}
moe.model @exposing(%image: image[1, 6, 6]) {
  %pixels = flatten %image
  %hidden = linear @hidden(%pixels) to 4
  %two = apply @half(%hidden) layer @Half
  %scores = linear @head(%two) to 4
  expose @hidden %hidden
  return scores = %scores
}
""")
run = folder / "exposing-run"
small.program, before = exposing, small.program
trained = small.good(small.train(run))
model = [exposing, "--checkpoint", run / "last"]
names = ("scores", "hidden", "half.square")
wanted = [word for name in names for word in ("--output", f"{name}=@{folder}/{name}.npy")]
out = small.good(small.moert_run("infer", *model, "--input", f"image=@{folder}/rows.npy", *wanted))
scores, hidden, square = (struct.unpack("<12f", (folder / f"{name}.npy").read_bytes()[-48:]) for name in names)
assert all(math.isclose(s, h * h, rel_tol=1e-6) for s, h in zip(square, hidden)) and len(set(hidden)) > 4, (hidden, square)
assert all(any(abs(float(shown) - score) < 6e-5 for score in scores) for shown in re.findall(r"\((\S+)\)$", out, re.M)), out
inspected = json.loads(small.good(subprocess.run([small.moec, "inspect", exposing, "--json"], capture_output=True, text=True)))
outputs = {port["name"]: port.get("exposed", False) for port in inspected["entries"][-1]["outputs"]}
assert outputs == {"scores": False, "hidden": True, "half.square": True}, outputs
small.good(small.moert_run("eval", *model, "--json"))
