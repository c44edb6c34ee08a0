"""Models of inputs/routing, compiled, against the same models written in PyTorch: the scores of some images, with random parameters.

    routing_kinds.py BIN MODELS FOLDER [--seed S] [--cases N]

The models here are plain: every expert is applied to every row, and masks say which results count. Parameters are all random, biases
too. Choices at which two experts or rows are closer than 1e-5 are left out, with the image that they belong to.
"""
import argparse
import pathlib
import shutil
import subprocess

import numpy
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import json

a = argparse.ArgumentParser()
a.add_argument("binaries", type=pathlib.Path)
a.add_argument("models", type=pathlib.Path)
a.add_argument("folder", type=pathlib.Path)
a.add_argument("--seed", type=int, default=0)
a.add_argument("--cases", type=int, default=1)
a = a.parse_args()
shutil.rmtree(a.folder, ignore_errors=True)
a.folder.mkdir(parents=True)
MARGIN = 1e-5


def tokens_of(p, image):
    return F.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=7).flatten(2).transpose(1, 2)


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])


def head(p, x):
    return F.linear(norm(p, "norm", x).mean(1), p["head.weight"], p["head.bias"])


def mlp(p, name, x, expert=None):
    of = lambda word: p[f"{name}.{word}"] if expert is None else p[f"{name}.{word}"][expert]
    return F.linear(F.gelu(F.linear(x, of("fc1.weight"), of("fc1.bias"))), of("fc2.weight"), of("fc2.bias"))


def best(scores, k):
    """The k largest of the last axis, and whether the next one is well below."""
    order = scores.sort(-1, descending=True)
    ends = [order.values[..., i] - order.values[..., i + 1] for i in range(min(k, scores.shape[-1] - 1))]
    clear = torch.stack(ends, -1).amin(-1) > MARGIN
    return order.indices[..., :k], clear


def top_gates(gates, judged, k, normalized=True):
    """Gates [.., experts], 0 where an expert is not chosen, and which rows are clear."""
    chosen, clear = best(judged, k)
    mask = torch.zeros_like(gates).scatter(-1, chosen, 1)
    kept = gates * mask
    return (kept / kept.sum(-1, keepdim=True) if k > 1 and normalized else kept), clear


def experts(p, name, x, gates):
    count = gates.shape[-1]
    shares = gates[..., None]
    while shares.dim() - 1 < x.dim():  # a routing of samples, of which all tokens are sent
        shares = shares.unsqueeze(1)
    return sum(mlp(p, name, x, e) * shares[..., e, :] for e in range(count))


def shared_expert(p, image):
    x = tokens_of(p, image)
    gates, clear = top_gates(*[F.linear(x, p["mixture.gate.weight"]).softmax(-1)] * 2, 2)
    mixed = experts(p, "mixture.experts", x, gates)
    return head(p, x + mlp(p, "mixture.shared", x) + mixed), clear.all(-1)


def balancing_bias(p, image):
    x = tokens_of(p, image)
    gates = F.linear(x, p["mixture.gate.weight"]).sigmoid()
    gates, clear = top_gates(gates, gates + p["mixture.bias"], 2)
    return head(p, x + experts(p, "mixture.experts", x, gates)), clear.all(-1)


def two_sizes(p, image):
    x = tokens_of(p, image)
    q = F.normalize(F.linear(x, p["mixture.gate.cosine_projector.weight"], p["mixture.gate.cosine_projector.bias"]), dim=-1)
    scale = p["mixture.gate.temperature"].clamp(max=numpy.log(100)).exp()
    scores = (q @ F.normalize(p["mixture.gate.sim_matrix"], dim=0) * scale).softmax(-1)
    gates, clear = top_gates(scores, scores, 1)
    small = experts(p, "mixture.experts.0", x, gates[..., :2])
    return head(p, x + small + experts(p, "mixture.experts.1", x, gates[..., 2:])), clear.all(-1)


def two_kinds(p, image):
    x = tokens_of(p, image)
    gates, clear = top_gates(*[F.linear(x, p["mixture.gate.weight"]).softmax(-1)] * 2, 1)
    logs = F.linear(x, p["mixture.experts.1.fc.weight"][0]).square().log()
    mixed = experts(p, "mixture.experts.0", x, gates[..., :2]) + logs * gates[..., 2:]
    return head(p, x + mixed), clear.all(-1)


def three_blocks(p, image):
    x = tokens_of(p, image)
    gates, clear = top_gates(*[F.linear(x.mean(1), p["gate.weight"]).softmax(-1)] * 2, 2)
    for i in range(3):
        x = x + experts(p, f"blocks.{i}.experts", norm(p, f"blocks.{i}.norm", x), gates)
    return head(p, x), clear


def expert_choice(p, image):
    x = tokens_of(p, image)
    gates = F.linear(x, p["mixture.gate.weight"]).softmax(-1)
    chosen, clear = best(gates.transpose(1, 2), 8)  # 2 * 16 tokens / 4 experts
    mask = torch.zeros_like(gates.transpose(1, 2)).scatter(-1, chosen, 1).transpose(1, 2)
    return head(p, x + experts(p, "mixture.experts", x, gates * mask)), clear.all(-1)


def soft_moe(p, image):
    x = tokens_of(p, image)
    phi = p["mixture.experts.phi"]
    scores = torch.einsum("btd,eds->btes", x, phi)
    slots = torch.einsum("btes,btd->besd", scores.softmax(1), x)
    results = torch.stack([mlp(p, "mixture.experts", slots[:, e], e) for e in range(phi.shape[0])], 1)
    shares = scores.flatten(2).softmax(-1).unflatten(2, scores.shape[2:])
    return head(p, x + torch.einsum("btes,besd->btd", shares, results)), torch.ones(len(image), dtype=bool)


def nearest(p, image):
    flat = F.avg_pool2d(image, 4).flatten(1)
    z = F.linear(flat, p["features.weight"], p["features.bias"]).relu()
    v = F.linear(flat, p["d2v.weight"], p["d2v.bias"])
    keys = p["embeddings"]
    scores = -((v[:, None] - keys) ** 2).sum(-1).add(1e-6).log()
    chosen, clear = best(scores.softmax(-1), 1)
    trunk = F.silu(F.linear(keys, p["hyper.trunk.fc.weight"], p["hyper.trunk.fc.bias"]))
    made = lambda name: F.linear(trunk, p[f"hyper.out.{name}.weight"], p[f"hyper.out.{name}.bias"])
    weights, biases = made("fc.weight").view(len(keys), 10, 16), made("fc.bias")
    each = torch.einsum("bf,ecf->bec", z, weights) + biases
    return each[torch.arange(len(z)), chosen[:, 0]], clear


EXPOSED = {"nearest": "best"}
for name, witness in {f.__name__: f for f in (shared_expert, balancing_bias, two_sizes, two_kinds, three_blocks, expert_choice, soft_moe, nearest)}.items():
    program = a.folder / f"{name}.moe"
    subprocess.run([a.binaries / "moec", "compile", a.models / f"{name}.mlir", "--gradients", "--verify-by-evaluation", "-o", program], check=True)
    info = json.loads(subprocess.run([a.binaries / "moec", "inspect", program, "--json"], check=True, capture_output=True).stdout)
    for case in range(a.cases):
        torch.manual_seed(a.seed + case)
        parameters = {}
        for state in info["parameters"] + info["buffers"]:
            shape = state["shape"]
            width = shape[-1] if len(shape) > 1 else 4
            parameters[state["path"]] = torch.randn(shape) * (2 / width) ** 0.5 + ("norm" in state["path"] and state["path"].endswith("weight"))
        if case % 2 and name != "nearest":  # an expert that has no row, or nearly all
            for path in [p for p in parameters if p.endswith(("bias",)) and p.count(".") == 1 and "mixture" in p]:
                parameters[path][0] = 100
        save_file(parameters, a.folder / "parameters.safetensors")
        image = torch.rand(9, 1, 28, 28)
        numpy.save(a.folder / "image.npy", image.numpy())
        output = EXPOSED.get(name, "logits")
        subprocess.run([a.binaries / "moert", "infer", program, "--params", a.folder / "parameters.safetensors", "--input",
                        f"image=@{a.folder}/image.npy", "--output", f"{output}=@{a.folder}/found.npy", "--threads", "2"],
                       check=True, stdout=subprocess.DEVNULL)
        # Gradients, with rows dropped where the model drops some: all are finite, and each parameter has some.
        numpy.save(a.folder / "label.npy", numpy.arange(9, dtype=numpy.int32) % 10)
        subprocess.run([a.binaries / "moert", "infer", program, "--entry", "gradients", "--params", a.folder / "parameters.safetensors",
                        "--input", f"image=@{a.folder}/image.npy", "--input", f"label=@{a.folder}/label.npy", "--output-folder",
                        a.folder / "gradients", "--threads", "2"], check=True, stdout=subprocess.DEVNULL)
        for state in info["parameters"]:
            slopes = numpy.load(a.folder / f"gradients/grad.{state['path']}.npy")
            assert numpy.isfinite(slopes).all() and numpy.abs(slopes).max() > 0, (name, state["path"])
        found = torch.from_numpy(numpy.load(a.folder / "found.npy")).double()
        expected, clear = witness({k: v.double() for k, v in parameters.items()}, image.double())
        assert found.shape == expected.shape, (name, found.shape, expected.shape)
        error = (found - expected)[clear].abs().max() / expected[clear].abs().max()
        print(f"{name} case {case}: {int(clear.sum())} of {len(clear)} images, error {error:.1e}")
        assert clear.sum() > 4 and error < 3e-6, (name, error)
