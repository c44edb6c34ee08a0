"""What `moert train`, `eval` and `infer` do with routings that drop rows.

    routing.py BIN FOLDER [--seed S]        S: of the images

The model routes the four tokens of small images twice, to one and to two of three experts. What is printed is held against what
inference writes of the same routings.
"""
import argparse
import json
import math
import pathlib
import random
import re
import struct
import subprocess

from failing_calls import Small, npy

MODEL = """moe.layer @Mlp(%x) {
  %up   = linear @fc1(%x) to 8
  %act  = gelu %up
  %down = linear @fc2(%act) to 4
  yield %down
}
moe.layer @Sparse<k, factor: number>(%x) {
  %route = route @gate(%x) cosine, experts = 3, top = k, proj = 4, capacity = factor, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp
  %mixed = combine %route, %done
  aux @load importance_load %route, 0.01
  aux @even gshard %route, 0.01 * ramp(0, 1)
  aux @z z_loss %route, 0.001
  expose @chosen %route
  yield %mixed
}
moe.model @small<classes = 4, channels = 1, size = 6, factor: number = FACTOR>(%image: image[channels, size, size]) {
  %tokens = patches @patch(%image) size = 3 to 4
  %a      = apply @one(%tokens) layer @Sparse<1, factor>
  %b      = residual %tokens, %a
  %c      = apply @two(%b) layer @Sparse<2, factor>
  %d      = residual %b, %c
  %flat   = flatten %d
  %logits = linear @head(%flat) to 4
  return logits = %logits
}
"""
PATHS = {"one.gate": 1, "two.gate": 2}
TOKENS, EXPERTS = 4, 3

parser = argparse.ArgumentParser()
parser.add_argument("bin", type=pathlib.Path)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()
small = Small(options.bin.resolve(), options.folder.resolve())
folder, run = small.folder, small.folder / "run"
dropping = small.program = small.compiled("dropping", MODEL.replace("FACTOR", "0.6"))


def read(path):
    """The shape of an .npy file of f32 or i32, and its values."""
    data = path.read_bytes()
    end = 10 + struct.unpack("<H", data[8:10])[0]
    header = data[10:end].decode()
    shape = tuple(int(n) for n in re.search(r"'shape': \(([^)]*)\)", header).group(1).replace(" ", "").split(",") if n)
    kind = re.search(r"'descr': '<(\w)4'", header).group(1)
    return shape, struct.unpack(f"<{math.prod(shape)}{kind}", data[end:])


def refused(done, code, *texts):
    assert done.returncode == code, done
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


# Metrics have each routing, by its path.
shown = small.good(small.train(run))
lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
for line in lines:
    for path in PATHS:
        shares = [line[f"gate.{path}.{k}"] for k in range(EXPERTS)]
        assert abs(sum(shares) - 1) < 1e-5 and 1 / EXPERTS - 1e-6 < line[f"gate_balance.{path}"] <= 1 + 1e-6, line
        assert 0 < line[f"dropped.{path}"] < 1, line
        for loss in ("load", "z"):
            assert line[f"loss.{path.replace('gate', loss)}"] > 0, line
    # Half of the rows have room: 8 images of 4 tokens are 32 rows, of which 3 * floor(0.6 * 11) = 18 at most are kept.
    assert line["dropped.one.gate"] >= 1 - 18 / 32 - 1e-6, line
status = re.findall(r"gate (\S+)  dropped (\S+)%", shown)
assert status and all(float(dropped) >= 43.7 for _, dropped in status), shown

# Evaluation: both entries; the metrics, and so `best`, are of the one that drops rows.
model = [dropping, "--checkpoint", run / "last"]
report = json.loads(small.good(small.moert_run("eval", *model, "--json")))
by_name = {entry["entry"]: entry["domains"] for entry in report["entries"]}
assert list(by_name) == ["main", "as_trained"], report
accuracies = {name: [domain[f"{split}_acc"] for domain in domains for split in ("in", "out")] for name, domains in by_name.items()}
assert accuracies["as_trained"] == [lines[-1][f"env{d}_{split}_acc"] for d in range(3) for split in ("in", "out")], (accuracies, lines[-1])
assert accuracies["main"] != accuracies["as_trained"], "the routings drop nothing that matters"
for name, domains in by_name.items():
    for domain in domains:
        assert list(domain["routings"]) == list(PATHS), domain
        for split in ("in", "out"):
            dropped = pairs = 0
            for path, k in PATHS.items():
                routing = domain["routings"][path]
                chosen, images = routing[f"{split}_chosen"], domain[f"{split}_images"]
                assert len(chosen) == EXPERTS and sum(chosen) == images * TOKENS * k, (routing, images)
                pairs += sum(chosen)
                if name == "main":
                    assert f"{split}_dropped" not in routing, routing
                    continue
                lost = routing[f"{split}_dropped"]
                assert all(0 <= l <= c for l, c in zip(lost, chosen)), routing
                dropped += sum(lost)
                # Batches of 16, and the rest: each expert keeps at most the capacity of the batch's true rows.
                rest = [min(16, images - at) * TOKENS for at in range(0, images, 16)]
                room = sum(k * math.floor(0.6 * math.ceil(rows / EXPERTS)) for rows in rest)
                assert all(c - l <= room for l, c in zip(lost, chosen)) and any(lost), (routing, room)
            assert (name == "main") == (f"{split}_dropped" not in domain), domain
            if name == "as_trained":
                assert math.isclose(domain[f"{split}_dropped"], dropped / pairs), domain
                assert list(domain["routing_losses"]) == [f"{layer}.{loss}" for layer in ("one", "two") for loss in ("load", "even", "z")]
                assert all(math.isfinite(value[split]) and value[split] > 0 for value in domain["routing_losses"].values()), domain
        assert (name == "as_trained") == ("routing_losses" in domain), domain
text = small.good(small.moert_run("eval", *model))
assert "entry main (dropless)\ndomain " in text and "entry as_trained (drops rows as training does)\ndomain " in text, text
for name, domains in by_name.items():
    part = text[text.index(f"entry {name}"):]
    for path in PATHS:
        table = part[part.index(f"rows of routing {path} that chose each expert"):].splitlines()[2:5]
        for domain, row in zip(domains, table):
            routing = domain["routings"][path]
            counts = [a + b for a, b in zip(routing["in_chosen"], routing["out_chosen"])]
            lost = sum(routing.get("in_dropped", [])) + sum(routing.get("out_dropped", []))
            wanted = [str(count) for count in counts] + ([f"{100 * lost / sum(counts):.2f}"] if name == "as_trained" else [])
            assert row.split()[-len(wanted):] == wanted, (row, wanted)
for loss in ("one.load", "two.even", "two.z"):
    images = sum(domain["in_images"] + domain["out_images"] for domain in domains)
    mean = sum(domain["routing_losses"][loss][split] * domain[f"{split}_images"] for domain in domains for split in ("in", "out")) / images
    shown = re.search(rf"^  {loss}  (\S+)$", text, re.M)
    assert shown and math.isclose(float(shown.group(1)), mean, rel_tol=1e-4), (loss, mean, text)

# Inference: the bytes of an image do not depend on the batch that it is in, unless rows are dropped.
rng = random.Random(options.seed)
images = [[rng.random() for _ in range(36)] for _ in range(64)]
names = ("logits", "one.chosen", "two.chosen", "chosen.one.gate", "chosen.two.gate")


def infer(rows, *more, outputs=names):
    (folder / "rows.npy").write_bytes(npy((len(rows), 1, 6, 6), [pixel for row in rows for pixel in row]))
    wanted = [word for name in outputs for word in ("--output", f"{name}=@{folder}/{name}.npy")]
    small.good(small.moert_run("infer", *model, "--input", f"image=@{folder}/rows.npy", *wanted, *more))
    return {name: read(folder / f"{name}.npy") for name in outputs}


def bytes_of(result, name, row):
    shape, values = result[name]
    size = math.prod(shape[1:])
    return struct.pack(f"<{size}f", *values[row * size:(row + 1) * size])


batch, dropped = infer(images), infer(images, "--routing", "as-trained", outputs=(*names, "kept.one.gate", "kept.two.gate"))
alone = [infer([image]) for image in images[:7]]
seven, shuffled = infer(images[:7]), infer(images[::-1], "--routing", "dropless")
for row in range(7):
    for name in names[:3]:
        same = {bytes_of(alone[row], name, 0), bytes_of(seven, name, row), bytes_of(batch, name, row), bytes_of(shuffled, name, 63 - row)}
        assert len(same) == 1, (name, row, "depends on the batch")
assert any(bytes_of(dropped, "logits", row) != bytes_of(alone[row], "logits", 0) for row in range(7)), "the routings drop nothing"

# An exposed routing: each token's experts and gates, of dropped pairs 0.
for result, drops in ((batch, False), (dropped, True)):
    for path, k in PATHS.items():
        shape, values = result[path.replace("gate", "chosen")]
        assert shape == (64, TOKENS, k, 2), shape
        pairs = [(values[i], values[i + 1]) for i in range(0, len(values), 2)]
        counts = [sum(expert == e for expert, _ in pairs) for e in range(EXPERTS)]
        kept = [sum(expert == e and gate > 0 for expert, gate in pairs) for e in range(EXPERTS)]
        assert result[f"chosen.{path}"] == ((EXPERTS,), tuple(counts)) and sum(counts) == len(pairs), (result[f"chosen.{path}"], counts)
        assert not drops or result[f"kept.{path}"] == ((EXPERTS,), tuple(kept)), (result[f"kept.{path}"], kept)
        assert drops == (kept != counts), (kept, counts)
        if k == 2 and not drops:  # two different experts, the better one first, and gates that add up to 1
            for (first, a), (second, b) in zip(pairs[::2], pairs[1::2]):
                assert first != second and a >= b > 0 and abs(a + b - 1) < 1e-6, (first, a, second, b)

# What there is not.
refused(small.moert_run("infer", *model, "--routing", "trained", "--input", f"image=@{folder}/rows.npy"), 2,
        "--routing: expected as-trained or dropless, found 'trained'; did you mean 'as-trained'?")
refused(small.moert_run("infer", *model, "--routing", "dropless", "--entry", "main", "--input", f"image=@{folder}/rows.npy"), 2, "--entry excludes --routing")
unlimited = small.compiled("unlimited", MODEL.replace(", capacity = factor", "").replace("FACTOR", "0.6"))
refused(small.moert_run("infer", unlimited, "--checkpoint", run / "last", "--routing", "as-trained", "--input", f"image=@{folder}/rows.npy"), 1,
        f"{unlimited}: expected a program with an entry 'as_trained' for --routing as-trained, found none: no routing of the model has a 'capacity'")
report = json.loads(small.good(small.moert_run("eval", unlimited, "--checkpoint", run / "last", "--json")))
assert [entry["entry"] for entry in report["entries"]] == ["main"], report
for domain, other in zip(report["entries"][0]["domains"], by_name["main"], strict=True):
    losses = domain.pop("routing_losses")  # the entry `as_trained` has them where there is one
    assert sorted(losses) == ["one.even", "one.load", "one.z", "two.even", "two.load", "two.z"] and domain == other, (domain, other)
inspected = small.good(subprocess.run([small.moec, "inspect", dropping, "--batch", "2x4"], capture_output=True, text=True))
assert "as_trained (infer" in inspected and inspected.count("routing two.gate: at most 12 of 32 rows an expert (capacity 0.6)\n") == 2, inspected

# The program's text has all of it.
plan, again = folder / "dropping.plan", folder / "again.moe"
small.good(subprocess.run([small.moec, "disassemble", dropping, "-o", plan], capture_output=True, text=True))
assert plan.read_text().count('"two.gate" rows D * N * 4 experts 3 top 2 factor') == 2, "the capacities of two entries"
small.good(subprocess.run([small.moec, "assemble", plan, "-o", again], capture_output=True, text=True))
assert again.read_bytes() == dropping.read_bytes()


# A batch for which the capacity is 0: of training, and the last, shorter one of an evaluation. Training has 8 images, and
# so 11 rows an expert; evaluations have 16 images and then 8 of each in-split, but 6 of each out-split: 8 rows an expert.
def compiled(factor):
    small.program = small.compiled("limited", MODEL.replace("FACTOR", repr(factor)))
    return small.program


def smallest(share):
    """The smallest factor whose product with the share is not below 1."""
    low, high = 0.0, 1.0
    while math.nextafter(low, 1) < high:
        middle = (low + high) / 2
        low, high = (low, middle) if middle * share >= 1 else (middle, high)
    return high


assert smallest(49) == 0.020408163265306124 > 1 / 49
least, evaluated = smallest(11), smallest(8)
below = math.nextafter(least, 0)
compiled(below)
refused(small.train(folder / "none"), 1, "entry 'train' at 2 x 4 images: expected a capacity of routing 'one.gate' with which each expert "
        "takes a row, found 0: of 32 rows, an even share for 3 experts is 11, times "
        f"{below!r}; use a larger batch, or a capacity of at least {least!r} [B11]")
assert not (folder / "none").exists()
compiled(least)
refused(small.train(folder / "none"), 1, "evaluating the out-split of domain 0, 6 images in batches of eval.batch = 16: entry 'as_trained' at 1 x 6 "
        f"images: expected a capacity of routing 'one.gate' with which each expert takes a row, found 0: ", "a capacity of at least 0.125 [B11]")
assert not (folder / "none").exists()
small.good(small.train(folder / "least", "--set", "eval.every=0"))  # training alone fits
refused(small.moert_run("eval", small.program, "--checkpoint", folder / "least/last"), 1, "evaluating the out-split of domain 0, 6 images", "[B11]")
small.good(small.moert_run("eval", small.program, "--checkpoint", folder / "least/last", "--entry", "main"))
refused(small.moert_run("eval", small.program, "--checkpoint", folder / "least/last", "--set", "eval.batch=23"), 1,
        "evaluating the in-split of domain 0, 24 images in batches of eval.batch = 23: entry 'as_trained' at 1 x 1 images", "at least 0.5 [B11]")
refused(small.moert_run("bench", small.program, "--entry", "as_trained", "--batch", "1x6", "--steps", 1), 1, "[B11]")
small.good(small.moert_run("bench", small.program, "--entry", "main", "--batch", "1x6", "--steps", 1))
(folder / "rows.npy").write_bytes(npy((6, 1, 6, 6), [pixel for row in images[:6] for pixel in row]))
evaluate = [small.moec, "evaluate", folder / "limited.mlir", "--params", folder / "least/last/model.safetensors", "--input",
            f"image=@{folder}/rows.npy", "--output", f"logits=@{folder}/logits.npy", "--entry"]
refused(subprocess.run([*evaluate, "as_trained"], capture_output=True, text=True), 1, "entry 'as_trained' at 1 x 6 images", "[B11]")
small.good(subprocess.run([*evaluate, "main"], capture_output=True, text=True))
compiled(evaluated)
small.good(small.train(folder / "enough"))
small.good(small.moert_run("eval", small.program, "--checkpoint", folder / "enough/last"))
