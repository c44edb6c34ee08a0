"""The example models written independently in PyTorch: the outside witness of tests and benchmarks.

Parameters live in a dict by the paths that the programs use, so that one safetensors file feeds both sides. Formulas: DomainBed
networks.py (MNIST_CNN), Qu et al. 2022 (arXiv 2211.08253) equations 1 to 6 for HMOE.
"""

import math

import torch
import torch.nn.functional as F


def mnist_cnn_features(p, x, path):
    """DomainBed's MNIST_CNN: convolution, ReLU, group norm of eight groups; a global average pool. [B,C,28,28] -> [B,128]."""
    for i, stride in enumerate((1, 2, 1, 1)):
        s = f"{path}stages.{i}."
        x = F.conv2d(x, p[s + "conv.weight"], p[s + "conv.bias"], stride=stride, padding=1)
        x = F.group_norm(F.relu(x), 8, p[s + "norm.weight"], p[s + "norm.bias"], 1e-5)
    return x.mean((2, 3))


def linear(p, x, path):
    return F.linear(x, p[path + ".weight"], p[path + ".bias"])


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -ctx.scale * g, None


def mnist_cnn(p, image):
    return {"logits": linear(p, mnist_cnn_features(p, image, "featurizer."), "classifier")}


def hmoe_28(p, image, progress=0.0, eps=1e-6):
    """Logits of the mixture, gate, adversary's guess. The classifiers' weights are written by the hypernetwork."""
    z = mnist_cnn_features(p, image, "featurizer.")
    v = image
    for i, stride in enumerate(D2V_STRIDES):
        s = f"d2v.stages.{i}."
        v = F.relu(F.conv2d(v, p[s + "conv.weight"], p[s + "conv.bias"], stride=stride, padding=1))
    v = linear(p, v.mean((2, 3)), "d2v.fc")
    keys = p["embeddings"]
    distance = ((v[:, None, :] - keys[None]) ** 2).sum(-1)
    scores = -torch.log(distance + eps)
    gate = scores.softmax(-1)
    h = keys
    for i in range(4):
        h = F.silu(linear(p, h, f"hyper.trunk.layers.{i}.fc"))
    classes = p["adversary.fc3.bias"].shape[0]
    weight = linear(p, h, "hyper.out.fc.weight").view(-1, classes, z.shape[1])
    bias = linear(p, h, "hyper.out.fc.bias")
    each = torch.einsum("bf,kcf->bkc", z, weight) + bias
    logits = (gate[:, :, None] * each).sum(1)
    reverse = 2 / (1 + math.exp(-10 * progress)) - 1
    a = ReverseGradient.apply(v, reverse)
    a = F.relu(linear(p, a, "adversary.fc1"))
    a = F.relu(linear(p, a, "adversary.fc2"))
    return {"logits": logits, "scores": scores, "gate": gate, "guess": linear(p, a, "adversary.fc3")}


D2V_STRIDES = (2, 2)


def cross_entropy(logits, label):
    """Mean over the rows whose label is known (-1: unknown)."""
    return F.cross_entropy(logits, label, ignore_index=-1)


def mnist_cnn_loss(p, image, label, domain=None, progress=0.0, weights=None):
    loss = cross_entropy(mnist_cnn(p, image)["logits"], label)
    return loss, {"loss": loss}


def hmoe_28_loss(p, image, label, domain=None, progress=0.0, weights=None):
    """The DN form: L_y + ramp L_en + L_kl + 0.01 L_ad (the ramp reaches 1 at half of training)."""
    w = {"entropy": 1.0, "balance": 1.0, "adversary": 0.01} | (weights or {})
    out = hmoe_28(p, image, progress)
    gate, logp = out["gate"], out["scores"].log_softmax(-1)
    parts = {"class": cross_entropy(out["logits"], label)}
    parts["entropy"] = -(gate * logp).sum(-1).mean()
    share = gate.sum(0) / gate.sum()
    parts["balance"] = (share * torch.log(share * share.numel())).sum()
    parts["adversary"] = cross_entropy(out["guess"], label)
    ramp = min(progress / 0.5, 1.0)
    loss = parts["class"] + w["entropy"] * ramp * parts["entropy"] + w["balance"] * parts["balance"] + w["adversary"] * parts["adversary"]
    return loss, parts | {"loss": loss}


LOSSES = {"mnist_cnn": mnist_cnn_loss, "hmoe_28": hmoe_28_loss}
