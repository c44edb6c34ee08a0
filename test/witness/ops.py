"""Words of the language that are made of several ops of the graph, against PyTorch: `matmul` of vectors and with broadcasting,
`normalize`, `clamp`, `sign`, `layer_scale`, numbers in the place of values, grouped convolutions, tokens without position, and an
image's mean and deviation. Each model is compiled; its scores and all gradients of its loss are compared with PyTorch's in f64.

    ops.py <folder of moec and moert> <folder for files> [--seeds 1] [--target cpu] [--device cpu]
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

ROWS, CLASSES = 3, 5
BOUND = 2e-5  # of the difference over the root mean square of PyTorch's values

# DINOv2's order of tokens: positions are added to the patches, and registers and the class token have none.
TOKENS = """
moe.layer @Attend<heads>(%x: [tokens, dim]) {
  %q = linear @q(%x) to dim
  %k = linear @k(%x) no_bias to dim
  %qh = reshape %q to [tokens, heads, -1]
  %kh = reshape %k to [tokens, heads, -1]
  %qt = transpose %qh to [1, 0, 2]
  %kt = transpose %kh to [1, 2, 0]
  %scores = matmul %qt, %kt
  %scaled = div %scores, size(%qt, features)
  %weights = softmax %scaled
  %mixed = matmul %weights, %x
  %mean = mean %mixed over 0
  yield %mean
}
moe.model @tokens<dim = 8, size = 8, patch = 4, registers = 2>
    (%image: image[3, size, size] mean [0.485, 0.456, 0.406] deviation [0.229, 0.224, 0.225]) {
  %patches = patches @patch_embed(%image) to dim size = patch
  %pos = param @pos_embed [1, size(%patches, tokens), dim] normal(0.02)
  %placed = add %patches, %pos
  %cls = param @cls_token [1, 1, dim] normal(0.02)
  %reg = param @reg_token [1, registers, dim] normal(0.02)
  %x = prepend %cls, %reg, %placed
  %a = apply @attn(%x) layer @Attend<2>
  %scaled = layer_scale @ls1(%a)
  %y = add %x, %scaled
  %first = take %y token = 0
  %logits = linear @head(%first) to 5
  return logits = %logits
}
"""


def tokens(p, image):
    image = (image - torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]) / torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None]
    x = F.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=4).flatten(2).transpose(1, 2)
    x = x + p["pos_embed"]
    x = torch.cat([p["cls_token"].expand(len(x), -1, -1), p["reg_token"].expand(len(x), -1, -1), x], 1)
    q, k = F.linear(x, p["attn.q.weight"], p["attn.q.bias"]), F.linear(x, p["attn.k.weight"])
    q, k = (each.unflatten(-1, (2, -1)).transpose(1, 2) for each in (q, k))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1]).softmax(-1)
    a = (weights @ x[:, None]).mean(1)
    return F.linear((x + p["ls1.gamma"] * a)[:, 0], p["head.weight"], p["head.bias"])


NORMS = """
moe.model @norms(%image: image[3, 8, 8] mean 0.4 deviation 0.5) {
  %x = reshape %image to [-1, 8]
  %l = linear @fc(%x) to 6
  %a = normalize %l
  %b = normalize %l over 0 eps = 2.0
  %c = clamp %l min = -0.25, max = 0.5
  %d = clamp %l max = 0.1
  %s = sign %l
  %e = mul %s, %l
  %f = sub 1, %a
  %h = add %f, %b
  %i = mul %c, 0.25
  %j = sub %h, %i
  %k = where %d, %e, -0.5
  %m = add %j, %k
  %n = add %m, %d
  %logits = linear @head(%n) to 5
  %p = mean %logits over 0
  return logits = %p
}
"""


def norms(p, image):
    x = ((image - 0.4) / 0.5).reshape(len(image), -1, 8)
    l = F.linear(x, p["fc.weight"], p["fc.bias"])
    a, b = F.normalize(l, dim=-1), F.normalize(l, dim=1, eps=2.0)
    c, d = l.clamp(-0.25, 0.5), l.clamp(max=0.1)
    n = (1 - a) + b - c * 0.25 + torch.where(d != 0, l.sign() * l, -0.5) + d
    return F.linear(n, p["head.weight"], p["head.bias"]).mean(1)


PRODUCTS = """
moe.model @products(%image: image[3, 8, 8]) {
  %w = param @w [8, 4] normal(1.0)
  %v = param @v [4] normal(1.0)
  %u = param @u [1, 8, 2] normal(1.0)
  %t = param @t [3, 1, 8] normal(1.0)
  %a = matmul %image, %w
  %b = matmul %a, %v
  %c = matmul %image, %u
  %d = matmul %t, %image
  %f = flatten %b
  %g = flatten %c
  %h = flatten %d
  %s = matmul %h, %f
  %x = concat %f, %g, %h
  %m = param @m [96, 5] normal(0.3)
  %y = matmul %x, %m
  %z = mul %y, %s
  %logits = mul %z, 0.1
  return logits = %logits
}
"""


def products(p, image):
    b, c, d = image @ p["w"] @ p["v"], image @ p["u"], p["t"] @ image
    f, g, h = b.flatten(1), c.flatten(1), d.flatten(1)
    s = (h * f).sum(1, keepdim=True)
    return torch.cat([f, g, h], 1) @ p["m"] * s * 0.1


# Groups of every kind: few of many channels, depthwise, a number between with a larger window and stride, of one pixel, and with
# weights that differ by expert.
GROUPS = """
moe.layer @Part(%x) {
  %y = conv @conv(%x) kernel = 2, groups = 4, pad = 1 to 8
  %z = mean %y over pixels
  yield %z
}
moe.model @groups(%image: image[3, 8, 8]) {
  %a = conv @wide(%image) to 36
  %b = conv @two(%a) groups = 2 to 36
  %c = gelu %b
  %d = conv @depthwise(%c) groups = 36 to 36
  %e = conv @between(%d) kernel = 5, stride = 2, groups = 12 to 24
  %f = gelu %e
  %g = conv @point(%f) kernel = 1, groups = 4, no_bias to 8
  %h = conv @pixels(%g) kernel = 1, stride = 3, groups = 8 to 16
  %i = experts @each(%g) count = 2 layer @Part
  %j = mean %i over experts
  %k = flatten %h
  %l = concat %j, %k
  %logits = linear @head(%l) to 5
  return logits = %logits
}
"""


def groups(p, image):
    def conv(name, x, groups, stride=1):
        w = p[f"{name}.weight"]
        return F.conv2d(x, w, p.get(f"{name}.bias"), stride, (w.shape[-1] - 1) // 2, groups=groups)
    x = F.gelu(conv("two", conv("wide", image, 1), 2))
    g = conv("point", F.gelu(conv("between", conv("depthwise", x, 36), 12, 2)), 4)
    j = sum(F.conv2d(g, p["each.conv.weight"][e], p["each.conv.bias"][e], padding=1, groups=4).mean((2, 3)) for e in (0, 1)) / 2
    return F.linear(torch.cat([j, conv("pixels", g, 8, 3).flatten(1)], 1), p["head.weight"], p["head.bias"])


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def filters(name, out, into, kernel):
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


MODELS = {
    "tokens": (TOKENS, tokens, {"patch_embed.proj.weight": (8, 3, 4, 4), "patch_embed.proj.bias": (8,), "pos_embed": (1, 4, 8),
                                "cls_token": (1, 1, 8), "reg_token": (1, 2, 8), "ls1.gamma": (8,), **linear("attn.q", 8, 8),
                                "attn.k.weight": (8, 8), **linear("head", CLASSES, 8)}),
    "norms": (NORMS, norms, {**linear("fc", 6, 8), **linear("head", CLASSES, 6)}),
    "groups": (GROUPS, groups, {**filters("wide", 36, 3, 3), **filters("two", 36, 18, 3), **filters("depthwise", 36, 1, 3),
                                **filters("between", 24, 3, 5), "point.weight": (8, 6, 1, 1), **filters("pixels", 16, 1, 1),
                                "each.conv.weight": (2, 8, 2, 2, 2), "each.conv.bias": (2, 8), **linear("head", CLASSES, 72)}),
    "products": (PRODUCTS, products, {"w": (8, 4), "v": (4,), "u": (1, 8, 2), "t": (3, 1, 8), "m": (96, CLASSES)}),
}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def check(binaries, folder, name, seed, target, device):
    text, function, shapes = MODELS[name]
    (folder / f"{name}.mlir").write_text(text)
    run(binaries / "moec", "compile", folder / f"{name}.mlir", "--gradients", "--target", target, "-o", folder / f"{name}.moe")
    rng = np.random.default_rng(seed)
    params = {path: rng.standard_normal(shape).astype(np.float32) * 0.5 for path, shape in shapes.items()}
    safetensors.numpy.save_file(params, folder / "p.safetensors")
    image, label = rng.random((ROWS, 3, 8, 8), np.float32), rng.integers(0, CLASSES, ROWS).astype(np.int32)
    np.save(folder / "image.npy", image)
    np.save(folder / "label.npy", label)
    ours = {}
    for entry, inputs in (("main", ["image"]), ("gradients", ["image", "label"])):
        given = [word for each in inputs for word in ("--input", f"{each}=@{folder}/{each}.npy")]
        out = folder / f"{name}.{entry}"
        out.mkdir(exist_ok=True)
        run(binaries / "moert", "infer", folder / f"{name}.moe", "--params", folder / "p.safetensors", "--entry", entry, "--device", device,
            *given, "--output-folder", out)
        ours |= {file.stem: np.load(file) for file in out.glob("*.npy")}
    p = {path: torch.from_numpy(value).double().requires_grad_() for path, value in params.items()}
    logits = function(p, torch.from_numpy(image).double())
    loss = F.cross_entropy(logits, torch.from_numpy(label).long())
    loss.backward()
    wanted = {"logits": logits.detach().numpy(), "loss": loss.detach().numpy()} | {f"grad.{path}": v.grad.numpy() for path, v in p.items()}
    wrong = []
    for key, truth in wanted.items():
        error = float(np.sqrt(np.mean((ours[key] - truth) ** 2)) / np.sqrt(np.mean(truth**2)))
        if ours[key].shape != truth.shape or not error <= BOUND:
            wrong.append(f"FAIL {name}: {key} {ours[key].shape} differs from PyTorch's {truth.shape} by {error:.1e}")
    print("\n".join(wrong) or f"{name}: ok, {len(wanted)} tensors")
    return len(wrong)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("folder", type=pathlib.Path)
    a.add_argument("--seeds", type=int, default=1)
    a.add_argument("--target", default="cpu")
    a.add_argument("--device", default="cpu")
    a = a.parse_args()
    torch.set_num_threads(1)
    a.folder.mkdir(parents=True, exist_ok=True)
    wrong = [check(a.binaries, a.folder, name, seed, a.target, a.device) for seed in range(a.seeds) for name in MODELS]
    sys.exit(bool(sum(wrong)))


main()
