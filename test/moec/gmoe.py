"""What examples/models/gmoe.mlir is: its sizes as published, the blocks that are sparse, the parameters' names, and how they begin.

    gmoe.py MODEL.mlir FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys

MODEL, FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
FOLDER.mkdir(parents=True, exist_ok=True)


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)


def inspect(*defines):
    program = FOLDER / "program.moe"
    done = run("moec", "compile", MODEL, "--target=cpu:x86-64-v3", *defines, "-o", program)
    assert "warning" not in done.stderr, done.stderr
    info = json.loads(run("moec", "inspect", program, "--batch", "1x64", "--json").stdout)
    return {p["path"]: p["shape"] for p in info["parameters"]}, info["parameters_total"], {e["name"]: e for e in info["entries"]}


def initial(*defines):
    """The initial value of each parameter, and the rates of dropout, by elaboration alone."""
    done = run("moec", "compile", MODEL, "--to=elaborate", *defines, "-o", FOLDER / "flow.mlir")
    assert "warning" not in done.stderr, done.stderr
    text = (FOLDER / "flow.mlir").read_text()
    return dict(re.findall(r'flow\.parameter "([^"]+)" ([^:]*?)(?: frozen)? :', text)), text


def sparse(parameters):
    return [i for i in range(12) if f"blocks.{i}.mlp.experts.fc1.weight" in parameters]


def count(parameters, *words):
    total = 0
    for path, shape in parameters.items():
        if all(word in path for word in words):
            size = 1
            for extent in shape:
                size *= extent
            total += size
    return total


def timm(dim, classes):
    """The state dict of timm's vision transformers, from their names and sizes."""
    wanted = {"cls_token": [1, 1, dim], "pos_embed": [1, 197, dim], "patch_embed.proj.weight": [dim, 3, 16, 16],
              "patch_embed.proj.bias": [dim], "norm.weight": [dim], "norm.bias": [dim], "head.weight": [classes, dim],
              "head.bias": [classes]}
    for i in range(12):
        for name, shape in (("norm1", [dim]), ("norm2", [dim]), ("attn.qkv", [3 * dim, dim]), ("attn.proj", [dim, dim]),
                            ("mlp.fc1", [4 * dim, dim]), ("mlp.fc2", [dim, 4 * dim])):
            wanted[f"blocks.{i}.{name}.weight"] = shape
            wanted[f"blocks.{i}.{name}.bias"] = shape[:1]
    return wanted


# The dense model has timm's parameters, and the sparse one those too, but for the blocks that are sparse.
dense, dense_total, dense_entries = inspect("-Ddense=12", "-Dpairs=0")
assert dense == timm(384, 65), set(dense) ^ set(timm(384, 65))
small, small_total, entries = inspect()
assert sparse(small) == [8, 10], sparse(small)
for path, shape in timm(384, 65).items():
    if re.match(r"blocks\.(8|10)\.mlp\.", path):
        assert path not in small, path
        expert = path.replace(".mlp.", ".mlp.experts.")
        assert small[expert] == [6, *shape], (expert, small[expert])
    else:
        assert small[path] == shape, path
routers = count(small, ".gate.")
assert routers == 2 * (256 * 384 + 256 + 256 * 6 + 1), routers
extra = small_total - routers - dense_total
assert extra == 2 * 5 * (2 * 384 * 1536 + 1536 + 384) and f"{extra / 1e6:.2f}" == "11.82", extra
gmac = entries["main"]["flops_per_image"] / 2e9
assert f"{gmac:.2f}" == "4.64", gmac
assert f'{dense_entries["main"]["flops_per_image"] / 2e9:.2f}' == "4.60", dense_entries["main"]["flops_per_image"]
assert set(entries) == {"train", "main", "as_trained"} and set(dense_entries) == {"train", "main"}, set(entries)

# GMoE-B/16: +47.2 M parameters, 17.64 GMAC.
large, large_total, entries = inspect("-Ddim=768", "-Dheads=12")
assert sparse(large) == [8, 10]
assert f'{count(large, ".experts.") / 6 * 5 / 1e6:.1f}' == "47.2", count(large, ".experts.")
assert f'{entries["main"]["flops_per_image"] / 2e9:.2f}' == "17.64", entries["main"]["flops_per_image"]

# Which blocks are sparse, and the routers.
every, text = initial("-Ddense=0", "-Dpairs=6")
assert sparse(every) == [0, 2, 4, 6, 8, 10]
every, _ = initial("-Ddense=1", "-Dpairs=5", "-Dlast=1")
assert sparse(every) == [1, 3, 5, 7, 9, 11]
every, _ = initial("-Ddense=9", "-Dpairs=1", "-Dlast=1")
assert sparse(every) == [9, 11]
linear, _ = initial("-Dsparse=@LinearMoe")
assert sparse(linear) == [8, 10] and [p for p in linear if ".gate." in p] == [f"blocks.{i}.mlp.gate.weight" for i in (8, 10)]

# How parameters begin: experts by torch's rule, all else that is linear, also routers, by the authors'.
found, text = initial("-Dsize=64", "-Dpatch=8", "-Ddim=64", "-Dheads=4", "-Ddense=1", "-Dpairs=1")
truncated, zero = "trunc_normal(0.000000e+00, 2.000000e-02)", "constant(0.000000e+00)"
for path, rule in found.items():
    if path.endswith(".temperature"):
        assert rule == "constant(0.69314718055994529)", rule
    elif path.endswith(".sim_matrix"):
        assert rule == "normal(0.000000e+00, 1.000000e-02)", rule
    elif ".experts." in path:
        bound = {"fc1": "1.250000e-01", "fc2": "6.250000e-02"}[path.split(".")[-2]]
        assert rule == f"uniform(-{bound}, {bound})", (path, rule)
    elif ".norm" in path or path.startswith("norm."):
        assert rule == ("constant(1.000000e+00)" if path.endswith("weight") else zero), (path, rule)
    elif not path.startswith("patch_embed."):
        assert rule == (zero if path.endswith("bias") else truncated), (path, rule)
# The dropout of experts alone, the branches that the last two blocks leave out, and the noise of the router.
drawn = [(op.split("_")[0], kind) for op, kind in re.findall(r"%(\S+) = flow\.random (\w+)", text)]
assert sorted(drawn) == [("dropout", "uniform")] + [("residual", "uniform")] * 4 + [("route", "normal")], drawn
assert re.search(r"%dropout_blocks\.1\.mlp\.experts\w* = flow\.random", text), drawn
