"""examples/models/gmoe.mlir of 28 pixels in PyTorch, fast enough to be trained: patches of 4, width 64, blocks dense, dense, sparse, dense.

Routing is written as in routing.py, which has the steps one by one, but without loops over rows. Noise, dropout and drop path have the
program's random numbers.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from draws import Draws

OPTIONS = {"channels": 1, "size": 28, "patch": 4, "dim": 64, "heads": 4, "classes": 10, "dense": 2, "pairs": 1}
BLOCKS, SPARSE, HEADS, EXPERTS, HIDDEN = 4, (2,), 4, 6, 256
DROP_PATH, DROPOUT, CAPACITY, NOISE, BALANCE = 0.1, 0.1, 1.5, 1.0 / EXPERTS, 0.01
MEAN, DEVIATION = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3


def linear(p, x, path):
    return F.linear(x, p[path + ".weight"], p[path + ".bias"])


def norm(p, x, path):
    return F.layer_norm(x, x.shape[-1:], p[path + ".weight"], p[path + ".bias"], 1e-6)


def attention(p, x, path):
    q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in linear(p, x, path + ".qkv").chunk(3, -1))
    return linear(p, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), path + ".proj")


def variation(x):
    return x.var() / (x.mean() ** 2 + 1e-10)


def mixture(p, x, path, draws):
    """The mixed rows and their loss of importance and load; draws: none in evaluation, which drops rows as well."""
    rows = len(x)
    query = F.normalize(linear(p, x, path + ".gate.cosine_projector"), dim=1)
    scale = torch.clamp(p[path + ".gate.temperature"], max=math.log(100)).exp()
    clean = noisy = query @ F.normalize(p[path + ".gate.sim_matrix"], dim=0) * scale
    if draws:
        index = np.arange(rows * EXPERTS).reshape(rows, EXPERTS)
        noisy = clean + draws.normal(path + ".route", index).to(x.dtype) * NOISE
    scores = noisy.softmax(1)
    gate, chosen = scores.max(1)
    order = torch.argsort(gate.detach(), descending=True, stable=True)
    one = F.one_hot(chosen[order], EXPERTS)
    place = torch.empty_like(chosen)
    place[order] = ((one.cumsum(0) - 1) * one).sum(1)
    room = place < math.floor(CAPACITY * -(-rows // EXPERTS))
    y = torch.zeros_like(x)
    for e in range(EXPERTS):
        at = torch.nonzero(room & (chosen == e))[:, 0]
        own = {name: p[f"{path}.experts.{name}"][e] for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}
        h = F.gelu(linear(own, x[at], "fc1"))
        if draws:
            h = h * draws.kept_rows(h, path + ".experts.kept", at.numpy() * EXPERTS + e, HIDDEN, DROPOUT)
        y = y.index_add(0, at, linear(own, h, "fc2"))
    clean_scores = clean.softmax(1)
    threshold = noisy.gather(1, chosen[:, None])
    load = torch.distributions.Normal(0.0, NOISE, validate_args=False).cdf(clean_scores - threshold).sum(0)
    return y * gate[:, None], (variation(clean_scores.sum(0)) + variation(load)) / 2


def forward(p, image, draws=None):
    """Logits, and the sum of the mixtures' losses."""
    x = (image - MEAN) / DEVIATION
    x = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=OPTIONS["patch"]).flatten(2).transpose(1, 2)
    x = torch.cat([p["cls_token"].expand(len(x), 1, -1), x], 1) + p["pos_embed"]
    loss = 0
    for i in range(BLOCKS):
        s, rate = f"blocks.{i}.", DROP_PATH * i / (BLOCKS - 1)
        keep = (lambda name: draws.kept(x, s + name, np.arange(len(x)), rate)[:, None, None]) if draws and rate else (lambda name: 1.0)
        x = x + attention(p, norm(p, x, s + "norm1"), s + "attn") * keep("mid")
        n = norm(p, x, s + "norm2")
        if i in SPARSE:
            y, balance = mixture(p, n.flatten(0, 1), s + "mlp", draws)
            y, loss = y.unflatten(0, n.shape[:2]), loss + BALANCE * balance
        else:
            y = linear(p, F.gelu(linear(p, n, s + "mlp.fc1")), s + "mlp.fc2")
        x = x + y * keep("out")
    return linear(p, norm(p, x, "norm")[:, 0], "head"), loss


def training_loss(p, image, label, seed, step):
    logits, loss = forward(p, image, Draws(seed, step))
    return F.cross_entropy(logits, label, ignore_index=-1) + loss
