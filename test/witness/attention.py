"""Attention beside PyTorch's: one step's loss and every gradient of small models of test/witness/inputs.

    attention.py <folder of moec and moert> [--rows 3] [--draws 2] [--targets cpu,emulator:sm_90a] [--models vit,pooling] [--report]

The models are written here independently, with torch.nn.functional.scaled_dot_product_attention, whose gradients are those of
its own kernels. Both sides have random parameters, images and labels; the gradient that arrives at an attention is what the layers
behind it make of the loss, so no two of its elements are alike. The tolerances are those of gradients.py: the evaluator and PyTorch in
f64 agree on what is computed, and compiled code is at most twice as far from it as PyTorch in f32.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gradients import FLOOR, error, load, run  # noqa: E402

INPUTS = pathlib.Path(__file__).parent / "inputs"
RECIPE = pathlib.Path(__file__).parents[2] / "examples/recipes/rotated_fashion_mnist.toml"


def linear(p, x, path):
    return F.linear(x, p[path + ".weight"], p.get(path + ".bias"))


def heads(x, count):
    """[.., tokens, features] to [.., heads, tokens, features / heads]."""
    return x.unflatten(-1, (count, -1)).transpose(-3, -2)


def attend(q, k, v, count, scale=None):
    y = F.scaled_dot_product_attention(heads(q, count), heads(k, count), heads(v, count), scale=scale)
    return y.transpose(-3, -2).flatten(-2)


def attention(p, x, path, count):
    return linear(p, attend(*linear(p, x, path + ".qkv").chunk(3, -1), count), path + ".proj")


def patches(p, image):
    y = F.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=4)
    return y.flatten(2).transpose(1, 2)


def norm(p, x, path):
    return F.layer_norm(x, x.shape[-1:], p[path + ".weight"], p[path + ".bias"], 1e-6)


def vit(p, image):
    x = patches(p, image)
    x = torch.cat([p["cls_token"].expand(len(x), 1, -1), x], 1)
    for i in range(2):
        s = f"blocks.{i}."
        x = x + attention(p, norm(p, x, s + "norm1"), s + "attn", 4)
        x = x + linear(p, F.gelu(linear(p, norm(p, x, s + "norm2"), s + "mlp.fc1")), s + "mlp.fc2")
    x = x + attention(p, x, "blocks.2.attn", 1)
    return linear(p, norm(p, x, "norm")[:, 0], "head")


def pooling(p, image):
    x = patches(p, image)
    q = p["queries"].expand(len(x), -1, -1)
    seen = attend(q, linear(p, x, "key"), linear(p, x, "value"), 3)
    gate = linear(p, seen.mean(1), "gate").softmax(-1)
    mixed = 0
    for e in range(2):
        own = {k.removeprefix("experts."): v[e] for k, v in p.items() if k.startswith("experts.")}
        n = seen[:, :, None]
        mixed = mixed + gate[:, e, None] * attention(own, attend(n, n, n, 7, 0.3)[:, :, 0], "own", 21).mean(1)
    return linear(p, mixed, "head")


def gradients(model, params, image, label, dtype):
    p = {k: torch.from_numpy(v).to(dtype).requires_grad_() for k, v in params.items()}
    loss = F.cross_entropy(model(p, torch.from_numpy(image).to(dtype)), torch.from_numpy(label).long())
    loss.backward()
    return {"loss": loss.detach().numpy()} | {f"grad.{k}": v.grad.numpy() for k, v in p.items()}


def draw(binaries, name, target, rows, seed, folder, program, shapes):
    rng = np.random.default_rng(seed)
    params = {}
    for path, value in shapes.items():
        fan = value.shape[-1] if value.ndim > 1 else 1
        noise = rng.standard_normal(value.shape) * (1.5 / np.sqrt(fan) if value.ndim > 1 else 0.3)
        params[path] = (noise + ("norm" in path and path.endswith("weight"))).astype(np.float32)
    safetensors.numpy.save_file(params, f"{folder}/p.safetensors")
    image = rng.standard_normal((rows, 1, 28, 28)).astype(np.float32)
    label = rng.integers(0, 10, rows).astype(np.int32)
    inputs = []
    for key, value in (("image", image), ("label", label)):
        np.save(f"{folder}/{key}.npy", value)
        inputs += ["--input", f"{key}=@{folder}/{key}.npy"]
    for side in ("ours", "truth"):
        pathlib.Path(folder, side).mkdir(exist_ok=True)
    common = ["--params", f"{folder}/p.safetensors", "--entry", "gradients"]
    run(binaries / "moert", "infer", program, *common, *inputs, "--device", target.split(":")[0], "--output-folder", f"{folder}/ours")
    run(binaries / "moec", "evaluate", INPUTS / f"{name}.mlir", "--gradients", *common, *inputs, "--output-folder", f"{folder}/truth")
    ours, truth = load(f"{folder}/ours"), load(f"{folder}/truth")
    sides = ours, gradients(globals()[name], params, image, label, torch.float32), gradients(globals()[name], params, image, label, torch.float64)
    return {tensor: [error(side[tensor], truth[tensor]) for side in sides] for tensor in sides[1]}


def check(binaries, name, target, rows, draws, report):
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/p.moe"
        run(binaries / "moec", "compile", INPUTS / f"{name}.mlir", "--gradients", "--target", target, "-o", program)
        run(binaries / "moert", "train", program, "--recipe", RECIPE, "--steps", 0, "--device", target.split(":")[0], "--out", f"{folder}/init")
        shapes = safetensors.numpy.load_file(f"{folder}/init/last/model.safetensors")
        errors = [draw(binaries, name, target, rows, seed, folder, program, shapes) for seed in range(draws)]
    failures, worst = 0, (0, "")
    for tensor in sorted(errors[0]):
        mine, theirs, semantic = np.array([e[tensor] for e in errors]).T
        ratio = float(np.exp(np.log(np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR)).mean()))
        bad = semantic.max() > 1e-9 or not ratio <= 2
        failures += bad
        worst = max(worst, (ratio, tensor))
        if report or bad:
            print(f"{'FAIL' if bad else 'ok  '} {name} {target} {tensor}: ratio {ratio:.2f}, ours {mine.max():.2e}, PyTorch {theirs.max():.2e}, "
                  f"PyTorch f64 {semantic.max():.1e}")
    print(f"{name} {target}: {len(errors[0])} tensors, {failures} beyond twice PyTorch's error; largest ratio {worst[0]:.2f} ({worst[1]})", flush=True)
    return failures


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("--rows", type=int, default=3)
    a.add_argument("--draws", type=int, default=2)
    a.add_argument("--models", default="vit,pooling")
    a.add_argument("--targets", default="cpu")
    a.add_argument("--report", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(1)
    failures = sum(check(a.binaries.resolve(), m, t, a.rows, a.draws, a.report) for m in a.models.split(",") for t in a.targets.split(","))
    sys.exit(1 if failures else 0)


main()
