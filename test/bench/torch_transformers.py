"""ViT and GMoE in PyTorch, as fast as it runs them on a CPU: the other side of transformers.py. Prints one JSON line.

Parameters come from a safetensors file by the programs' own paths, which are timm's. Attention is PyTorch's fused one. The sparse layers route
as Tutel does (gates/cosine_top.py, impls/fast_dispatch.py: top 1, noise, capacity, priority by score, importance and load loss); what is
computed of the dispatched rows has three forms, of which the fastest counts:

    tutel    rows in [experts, capacity, features], with padding, and batched products
    loop     an expert after the other on its own rows
    grouped  rows sorted by expert, and torch._grouped_mm, where it runs

In inference `loop` and `grouped` drop nothing; `tutel` always has its capacity, since its memory depends on it.
"""

import argparse
import json
import math
import time

import peak_memory
import safetensors.torch
import torch
import torch.nn.functional as F


def linear(p, x, path):
    return F.linear(x, p[path + ".weight"], p[path + ".bias"])


def drop_path(x, rate, training):
    if not training or rate == 0:
        return x
    return x * ((torch.rand(x.shape[0], 1, 1) >= rate).to(x.dtype) / (1 - rate))


def attention(p, x, path, heads):
    b, n, d = x.shape
    q, k, v = linear(p, x, path + ".qkv").view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
    return linear(p, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d), path + ".proj")


def expert_of(p, path, e):
    return tuple(p[f"{path}.experts.{name}"][e] for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))


def variation(x):
    return x.var() / (x.mean() ** 2 + 1e-10)


def sparse(p, x, path, form, training, factor, rate):
    b, n, d = x.shape
    rows = x.reshape(-1, d)
    keys = p[f"{path}.gate.sim_matrix"]
    experts = keys.shape[1]
    q = F.normalize(linear(p, rows, f"{path}.gate.cosine_projector"), dim=1)
    scale = p[f"{path}.gate.temperature"].clamp(max=math.log(100)).exp()
    logits = q @ F.normalize(keys, dim=0) * scale
    noisy = logits + torch.randn_like(logits) / experts if training else logits
    gates = noisy.softmax(1)
    weight, chosen = gates.max(1)
    loss = None
    if training:
        clean = logits.softmax(1)
        threshold = noisy.gather(1, chosen[:, None])
        load = torch.special.ndtr((clean - threshold) * experts).sum(0)
        loss = (variation(clean.sum(0)) + variation(load)) / 2
    capacity = math.floor(factor * math.ceil(rows.shape[0] / experts))
    keep = None
    if form == "tutel" or factor and training:
        order = torch.argsort(-weight.detach(), stable=True)
        mask = F.one_hot(chosen[order], experts)
        place = torch.empty_like(chosen)
        place[order] = (mask.cumsum(0) * mask).sum(1) - 1
        keep = place < capacity
    if form == "tutel":
        slot = torch.where(keep, chosen * capacity + place, experts * capacity)
        padded = rows.new_zeros(experts * capacity + 1, d).index_copy(0, slot, rows)[:-1].view(experts, capacity, d)
        w1, b1, w2, b2 = (p[f"{path}.experts.{name}"] for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))
        hidden = F.dropout(F.gelu(torch.baddbmm(b1[:, None], padded, w1.transpose(1, 2))), rate, training)
        out = torch.baddbmm(b2[:, None], hidden, w2.transpose(1, 2)).reshape(-1, d)
        out = torch.cat([out, out.new_zeros(1, d)])[slot]
        return (out * weight[:, None]).view(b, n, d), loss
    if form == "grouped":
        order = torch.argsort(chosen, stable=True)
        ends = torch.bincount(chosen, minlength=experts).cumsum(0).to(torch.int32)
        own, sent = chosen[order], rows[order]
        w1, b1, w2, b2 = (p[f"{path}.experts.{name}"] for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))
        hidden = torch._grouped_mm(sent, w1.transpose(1, 2), offs=ends) + b1[own]
        hidden = F.dropout(F.gelu(hidden), rate, training)
        out = torch.empty_like(rows).index_copy(0, order, torch._grouped_mm(hidden, w2.transpose(1, 2), offs=ends) + b2[own])
    else:
        out = torch.zeros_like(rows)
        for e in range(experts):
            mine = torch.nonzero(chosen == e if keep is None else (chosen == e) & keep).view(-1)
            w1, b1, w2, b2 = expert_of(p, path, e)
            hidden = F.dropout(F.gelu(F.linear(rows[mine], w1, b1)), rate, training)
            out = out.index_copy(0, mine, F.linear(hidden, w2, b2))
    return (out * weight[:, None]).view(b, n, d), loss


def forward(p, image, shape, form, training):
    patch = p["patch_embed.proj.weight"].shape[-1]
    x = F.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=patch).flatten(2).transpose(1, 2)
    x = torch.cat([p["cls_token"].expand(x.shape[0], -1, -1), x], 1) + p["pos_embed"]
    depth, losses = shape["depth"], []
    for i in range(depth):
        path, d = f"blocks.{i}", x.shape[-1]
        rate = 0.1 * i / max(depth - 1, 1)
        norm = lambda y, name: F.layer_norm(y, (d,), p[f"{path}.{name}.weight"], p[f"{path}.{name}.bias"], 1e-6)
        x = x + drop_path(attention(p, norm(x, "norm1"), path + ".attn", shape["heads"]), rate, training)
        y = norm(x, "norm2")
        if f"{path}.mlp.gate.sim_matrix" in p:
            y, loss = sparse(p, y, path + ".mlp", form, training, shape["capacity"], 0.1)
            losses += [loss] if loss is not None else []
        else:
            y = linear(p, F.gelu(linear(p, y, path + ".mlp.fc1")), path + ".mlp.fc2")
        x = x + drop_path(y, rate, training)
    x = F.layer_norm(x, (x.shape[-1],), p["norm.weight"], p["norm.bias"], 1e-6)
    return linear(p, x[:, 0], "head"), losses


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--params", required=True)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--size", type=int, default=224)
    a.add_argument("--heads", type=int, default=6)
    a.add_argument("--entry", choices=("train", "infer"), default="train")
    a.add_argument("--form", choices=("tutel", "loop", "grouped"), default="tutel")
    a.add_argument("--capacity", type=float, default=1.5)
    a.add_argument("--compile", action="store_true")
    a.add_argument("--steps", type=int, default=5)
    a.add_argument("--warmup", type=int, default=2)
    a.add_argument("--threads", type=int, default=2)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    training = a.entry == "train"
    p = {k: v.requires_grad_(training) for k, v in safetensors.torch.load_file(a.params).items()}
    depth = 1 + max(int(k.split(".")[1]) for k in p if k.startswith("blocks."))
    shape = {"depth": depth, "heads": a.heads, "capacity": a.capacity}
    channels, classes = p["patch_embed.proj.weight"].shape[1], p["head.bias"].shape[0]
    image, label = torch.rand(a.batch, channels, a.size, a.size), torch.randint(0, classes, (a.batch,))
    optimizer = torch.optim.Adam(p.values(), lr=1e-4) if training else None

    def loss_of(image, label):
        logits, losses = forward(p, image, shape, a.form, True)
        return F.cross_entropy(logits, label) + sum(0.01 * loss for loss in losses)

    def infer(image):
        return forward(p, image, shape, a.form, False)[0]

    call = torch.compile(loss_of if training else infer) if a.compile else loss_of if training else infer
    base, times = peak_memory.anonymous(), []
    watched = peak_memory.PeakMemory().__enter__()
    for step in range(a.warmup + a.steps):
        start = time.perf_counter()
        if training:
            optimizer.zero_grad()
            loss = call(image, label)
            loss.backward()
            optimizer.step()
            loss.item()
        else:
            with torch.inference_mode():
                call(image)
        if step >= a.warmup:
            times.append((time.perf_counter() - start) * 1e3)
    watched.__exit__()
    print(json.dumps({"ms": times, "peak_bytes": watched.bytes - base}))


main()
