"""Routing beside PyTorch's: one step's loss and every gradient of small GMoEs (inputs/gmoe.mlir), and which experts have which rows.

    routing.py <folder of moec and moert> [--images 6] [--draws 5] [--targets cpu,emulator:sm_90a] [--models Cosine,Two,Ties] [--report]

The routing is written here as Tutel does it, step by step and with nothing fused: noisy scores, the best experts, gates that are
divided by their sum, places by choice and then by priority, rows beyond the capacity dropped, and the losses of importance and load.
Noise, dropout and drop path have the program's random numbers (Philox). Parameters are all random, but for an expert whose key lies
opposite to what comes, so that nobody chooses it; images are drawn until a share of the pairs near 5 % is dropped, of an expert that is
full. In `Ties`, two experts have the same weights in the router.

The tolerances are those of gradients.py: the evaluator and PyTorch in f64 agree on what is computed, and compiled code is at most
twice as far from it as PyTorch in f32: in the geometric mean of the draws, or, of a tensor of fewer than 100 elements, in the worst
of them on each side. Where a choice hangs on less than MARGIN, rounding may turn it. Such images are drawn again for the gradients; of
the rows that inference routes, they are left out, and counted.
"""

import argparse
import math
import pathlib
import sys
import tempfile

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from draws import Draws  # noqa: E402
from gradients import FLOOR, error, load, run  # noqa: E402

INPUTS = pathlib.Path(__file__).parent / "inputs"
RECIPE = pathlib.Path(__file__).parents[2] / "examples/recipes/rotated_fashion_mnist.toml"
EXPERTS, EMPTY, TOKENS, DIM, HIDDEN = 4, 2, 17, 24, 48
MARGIN = 1e-5
MOE = "blocks.1.mlp"
LARGEST = math.log(100)
DRAWS = Draws()   # of seed 0 and step 0


class Router:
    """What a variant's `route` says."""

    def __init__(self, top, capacity, noise=0.0, cosine=False, prioritized=True, prescore=False, normalized=True):
        self.top, self.capacity, self.noise, self.cosine = top, capacity, noise / EXPERTS, cosine
        self.prioritized, self.prescore, self.normalized = prioritized, prescore, normalized


ROUTERS = {"Cosine": Router(1, 1.5, 1.0, cosine=True), "Two": Router(2, 1.75, 0.5),
           "Ties": Router(2, 1.75, prioritized=False, prescore=True, normalized=False)}


def linear(p, x, path):
    return F.linear(x, p[path + ".weight"], p[path + ".bias"])


def norm(p, x, path):
    return F.layer_norm(x, x.shape[-1:], p[path + ".weight"], p[path + ".bias"], 1e-6)


def attention(p, x, path):
    q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in linear(p, x, path + ".qkv").chunk(3, -1))
    return linear(p, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), path + ".proj")


def logits_of(p, x, router):
    if router.cosine:
        q = F.normalize(linear(p, x, MOE + ".gate.cosine_projector"), dim=1)
        scale = torch.clamp(p[MOE + ".gate.temperature"], max=LARGEST).exp()
        return q @ F.normalize(p[MOE + ".gate.sim_matrix"], dim=0) * scale
    # Each expert's scores by themselves, so that equal weights give equal scores.
    return torch.stack([x @ w for w in p[MOE + ".gate.weight"]], 1)


def variation(x):
    return x.var() / (x.mean() ** 2 + 1e-10)


def routed(p, x, router, model, training, limited=True):
    """The mixed rows, their auxiliary loss, the share of dropped pairs, the pairs of each expert, and which rows hang on the margin."""
    rows = len(x)
    clean = logits_of(p, x, router)
    noisy = clean
    if training and router.noise:
        noisy = clean + DRAWS.normal(MOE + ".route", np.arange(rows * EXPERTS).reshape(rows, EXPERTS)).to(x.dtype) * router.noise
    scores = noisy.softmax(1)
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    chosen = order[:, :router.top]
    gates = scores.gather(1, chosen)
    if router.top > 1 and router.normalized:
        gates = gates / gates.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float32).eps)
    capacity = router.top * math.floor(router.capacity * -(-rows // EXPERTS))
    largest = scores.detach().max(1).values
    priority = torch.argsort(largest, descending=True, stable=True) if router.prioritized else torch.arange(rows)
    ranked = scores.detach().gather(1, order)
    gaps = ranked[:, :-1] - ranked[:, 1:]
    ties = (p[MOE + ".gate.weight"][order[:, :-1]] == p[MOE + ".gate.weight"][order[:, 1:]]).all(-1) if not router.cosine else gaps < 0
    unsure = ((gaps < MARGIN) & ~ties)[:, :router.top].any(1)
    room, counts = torch.ones_like(chosen, dtype=torch.bool), [0] * EXPERTS
    for e in range(EXPERTS):
        pairs = [(row, j) for j in range(router.top) for row in priority.tolist() if chosen[row, j] == e]
        counts[e] = len(pairs)
        if not limited:
            continue
        for row, j in pairs[capacity:]:
            room[row, j] = False
        if len(pairs) > capacity and router.prioritized:   # rows as good as the last one that is taken
            last = largest[pairs[capacity - 1][0]], largest[pairs[capacity][0]]
            unsure |= torch.tensor([min(abs(largest[r] - l) for l in last) < MARGIN for r in range(rows)]) & (last[0] - last[1] < MARGIN)
    mixed = 0
    for j in range(router.top):
        y = torch.zeros_like(x)
        for e in range(EXPERTS):
            at = torch.nonzero(room[:, j] & (chosen[:, j] == e))[:, 0]
            own = {k.removeprefix(MOE + ".experts."): v[e] for k, v in p.items() if k.startswith(MOE + ".experts.")}
            sent = x[at] * gates[at, j, None] if router.prescore else x[at]
            h = F.gelu(linear(own, sent, "fc1"))
            if training:
                index = (at.numpy()[:, None] * EXPERTS + e) * HIDDEN + np.arange(HIDDEN)
                h = h * DRAWS.kept(h, MOE + ".experts.kept", index, 0.1)
            y = y.index_add(0, at, linear(own, h, "fc2"))
        mixed = mixed + (y if router.prescore else y * gates[:, j, None])
    p_clean = clean.softmax(1)
    if model == "Ties":
        first = F.one_hot(chosen[:, 0], EXPERTS).to(x.dtype)
        aux = 0.3 * EXPERTS / rows**2 * (scores.sum(0) * first.sum(0)).sum() + 0.01 * clean.logsumexp(1).square().mean()
    else:
        threshold = noisy.gather(1, chosen)[:, -1:]
        compared = p_clean if model == "Cosine" else clean
        load_of = torch.distributions.Normal(0.0, router.noise, validate_args=False).cdf(compared - threshold).sum(0)
        aux = 0.3 * (variation(p_clean.sum(0)) + variation(load_of)) / 2
    return {"mixed": mixed, "aux": aux, "dropped": 1 - float(room.double().mean()), "counts": counts, "unsure": unsure, "capacity": capacity}


def forward(p, image, model, training, limited=True):
    router, images = ROUTERS[model], len(image)
    x = F.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=7).flatten(2).transpose(1, 2)
    x = torch.cat([p["cls_token"].expand(images, 1, -1), x], 1) + p["pos_embed"]
    found = None
    for i, rate in enumerate((0.2, 0.4)):
        s = f"blocks.{i}."
        keep = (lambda name: DRAWS.kept(x, s + name, np.arange(images), rate)[:, None, None]) if training else (lambda name: 1.0)
        x = x + attention(p, norm(p, x, s + "norm1"), s + "attn") * keep("mid")
        n = norm(p, x, s + "norm2")
        if i == 1:
            found = routed(p, n.flatten(0, 1), router, model, training, limited)
            y = found["mixed"].unflatten(0, (images, TOKENS))
        else:
            y = linear(p, F.gelu(linear(p, n, s + "mlp.fc1")), s + "mlp.fc2")
        x = x + y * keep("out")
    found["logits"] = linear(p, norm(p, x, "norm")[:, 0], "head")
    return found


def gradients(params, image, label, model, dtype):
    p = {k: torch.from_numpy(v).to(dtype).requires_grad_() for k, v in params.items()}
    found = forward(p, torch.from_numpy(image).to(dtype), model, training=True)
    loss = F.cross_entropy(found["logits"], torch.from_numpy(label).long(), ignore_index=-1) + found["aux"]
    loss.backward()
    return found, {"loss": loss.detach().numpy()} | {f"grad.{k}": v.grad.numpy() for k, v in p.items()}


def drawn(rng, model, images, seed, shapes):
    """Parameters and images of which some are dropped, an expert is full, and one is empty; and how many images hung on the margin."""
    skipped = 0
    while True:
        params = {}
        for path, value in shapes.items():
            fan = value.shape[-1] if value.ndim > 1 else 1
            scale = 1.2 / np.sqrt(fan) if value.ndim > 1 else 0.3
            params[path] = (rng.standard_normal(value.shape) * scale + ("norm" in path and path.endswith("weight"))).astype(np.float32)
        if ROUTERS[model].cosine:
            direction = params[MOE + ".gate.cosine_projector.bias"] = rng.standard_normal(16).astype(np.float32)
            params[MOE + ".gate.sim_matrix"][:, EMPTY] = -direction
            params[MOE + ".gate.temperature"][:] = (math.log(2), LARGEST - 0.01, LARGEST + 0.01, math.log(20), LARGEST + 2)[seed % 5]
        else:
            bias = params["blocks.1.norm2.bias"] = rng.standard_normal(DIM).astype(np.float32)
            params[MOE + ".gate.weight"][EMPTY] = -bias * 0.7
            if model == "Ties":
                params[MOE + ".gate.weight"][3] = params[MOE + ".gate.weight"][1]
        image = rng.standard_normal((images, 1, 28, 28)).astype(np.float32)
        label = rng.integers(0, 10, images).astype(np.int32)
        label[-1] = -1                                     # unknown
        with torch.no_grad():
            p = {k: torch.from_numpy(v).double() for k, v in params.items()}
            found = forward(p, torch.from_numpy(image).double(), model, training=True)
        if found["counts"][EMPTY] or not 0.02 < found["dropped"] < 0.1:
            continue
        assert max(found["counts"]) > found["capacity"]
        if not found["unsure"].any():
            return params, image, label, found["dropped"], skipped
        skipped += 1


def draw(binaries, model, target, images, seed, folder, program, shapes):
    rng = np.random.default_rng(seed)
    params, image, label, dropped, skipped = drawn(rng, model, images, seed, shapes)
    safetensors.numpy.save_file(params, f"{folder}/p.safetensors")
    for key, value in (("image", image), ("label", label)):
        np.save(f"{folder}/{key}.npy", value)
    common = ["--params", f"{folder}/p.safetensors", "--input", f"image=@{folder}/image.npy"]
    labels = ["--input", f"label=@{folder}/label.npy"]
    device = ["--device", target.split(":")[0]]
    for side in ("ours", "truth", "as_trained", "main"):
        pathlib.Path(folder, side).mkdir(exist_ok=True)
    run(binaries / "moert", "infer", program, *common, *labels, "--entry", "gradients", *device, "--output-folder", f"{folder}/ours")
    run(binaries / "moec", "evaluate", INPUTS / "gmoe.mlir", f"-Dmoe=@{model}<{DIM}, {HIDDEN}>", "--gradients", *common, *labels, "--entry",
        "gradients", "--output-folder", f"{folder}/truth")
    ours, truth = load(f"{folder}/ours"), load(f"{folder}/truth")
    (_, single), (found, double) = (gradients(params, image, label, model, dtype) for dtype in (torch.float32, torch.float64))
    assert abs(float(truth[f"dropped.{MOE}.gate"]) - found["dropped"]) < 1e-9, "the evaluator drops as many as PyTorch"
    counts = np.array(found["counts"]) / sum(found["counts"])
    for side in (ours, truth):
        assert np.allclose(side[f"gate_balance.{MOE}.gate"], counts, atol=1e-6), "experts have as many pairs as PyTorch's"
        assert not any(side[k][EMPTY].any() for k in side if k.startswith(f"grad.{MOE}.experts.")), "an empty expert's gradients are 0"
    errors = {tensor: [error(side[tensor], truth[tensor]) for side in (ours, single, double)] for tensor in single}
    # Which experts the rows have in inference, where some are dropped and where none are: seen from what they give.
    unsure = wrong = 0
    for entry in ("as_trained", "main"):
        run(binaries / "moert", "infer", program, *common, "--entry", entry, *device, "--output-folder", f"{folder}/{entry}")
        with torch.no_grad():
            p = {k: torch.from_numpy(v).double() for k, v in params.items()}
            right = forward(p, torch.from_numpy(image).double(), model, training=False, limited=entry == "as_trained")
        mixed, sure = right["mixed"].numpy(), ~right["unsure"].numpy()
        mine = load(f"{folder}/{entry}")[f"{MOE}.mixed"].reshape(mixed.shape)
        away = np.abs(mine - mixed).max(1) > 1e-3 * np.abs(mixed).max()
        unsure, wrong = unsure + int((~sure).sum()), wrong + int((away & sure).sum())
    return errors, dropped, skipped, unsure, wrong


def check(binaries, model, target, images, draws, report):
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/p.moe"
        run(binaries / "moec", "compile", INPUTS / "gmoe.mlir", f"-Dmoe=@{model}<{DIM}, {HIDDEN}>", "--gradients", "--target", target, "-o", program)
        run(binaries / "moert", "train", program, "--recipe", RECIPE, "--steps", 0, "--device", target.split(":")[0], "--out", f"{folder}/init")
        shapes = safetensors.numpy.load_file(f"{folder}/init/last/model.safetensors")
        all_draws = [draw(binaries, model, target, images, seed, folder, program, shapes) for seed in range(draws)]
    failures, worst = 0, (0, "")
    for tensor in sorted(all_draws[0][0]):
        mine, theirs, semantic = np.array([errors[tensor] for errors, *_ in all_draws]).T
        mine, theirs = np.maximum(mine, FLOOR), np.maximum(theirs, FLOOR)
        small = shapes[tensor.removeprefix("grad.")].size < 100 if tensor != "loss" else True
        ratio = float(mine.max() / theirs.max() if small else np.exp(np.log(mine / theirs).mean()))
        bad = semantic.max() > 1e-9 or not ratio <= 2
        failures += bad
        worst = max(worst, (ratio, tensor))
        if report or bad:
            print(f"{'FAIL' if bad else 'ok  '} {model} {target} {tensor}: ratio {ratio:.2f}, ours {mine.max():.2e}, PyTorch {theirs.max():.2e}, "
                  f"PyTorch f64 {semantic.max():.1e}")
    dropped, skipped, unsure, wrong = (np.array([d[i] for d in all_draws]) for i in (1, 2, 3, 4))
    rows = 2 * draws * images * TOKENS
    if wrong.sum():
        print(f"FAIL {model} {target}: {wrong.sum()} rows have other experts than PyTorch's")
    print(f"{model} {target}: {len(all_draws[0][0])} tensors, {failures} beyond twice PyTorch's error; largest ratio {worst[0]:.2f} ({worst[1]}); "
          f"{100 * dropped.mean():.0f} % dropped; images drawn again for a margin {skipped.sum()} times; rows left out for a margin {unsure.sum()} of "
          f"{rows}, with other experts {wrong.sum()}", flush=True)
    return failures + int(wrong.sum())


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("--images", type=int, default=6)
    a.add_argument("--draws", type=int, default=5)
    a.add_argument("--models", default="Cosine,Two,Ties")
    a.add_argument("--targets", default="cpu")
    a.add_argument("--report", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(1)
    failures = sum(check(a.binaries.resolve(), m, t, a.images, a.draws, a.report) for m in a.models.split(",") for t in a.targets.split(","))
    sys.exit(1 if failures else 0)


main()
