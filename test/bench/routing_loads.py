"""What sparse blocks cost beside dense ones: GMoE over ViT in interleaved pairs, dropless, for different loads of the experts.

    ~/.cache/moe/venv/bin/python test/bench/routing_loads.py [--model s16] [--entries train,infer] [--loads balanced,zipf,one]
                                                             [--batch 16] [--pairs 20]

A pair is a step of each model, one after the other in one process (`moert bench sparse --against dense`); which of them goes first
alternates. Printed are the median of the pairs' ratios with an interval that holds it with at least 95 % confidence whatever the
distribution of times (between two of the sorted ratios), the ratio of the two models' MACs, and what the first is beyond the second.

The loads are made by parameters: the position table has one direction for each expert, the patches and all layers that write to the tokens' sum
are zero, and an expert's key is what the router makes of its direction. So tokens reach the routers as they were laid down, whatever the
image: `balanced` is as many to each expert, `zipf` 1/1, 1/2, ... 1/6 of the first one's, `one` all to the first.
"""

import argparse
import json
import math
import pathlib
import re
import subprocess
import tempfile

import programs
import safetensors.torch
import torch

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / "build" / "bin"
EXPERTS = 6
SMALL = ["-Dsize=28", "-Dpatch=4", "-Dchannels=1", "-Ddim=64", "-Dheads=4", "-Dclasses=10"]
# What makes the dense model of the sparse text, and the sparse model.
MODELS = {
    "s16": (["-Ddense=12", "-Dpairs=0"], []),
    "28": ([*SMALL, "-Ddense=4", "-Dpairs=0"], [*SMALL, "-Ddense=2", "-Dpairs=1"]),
}


def dropless_text(folder):
    """The model's text without a capacity, and so without drops. Priority decides which tokens are dropped, and goes with it."""
    text = (ROOT / "examples/models/gmoe.mlir").read_text()
    path = pathlib.Path(folder) / "gmoe.mlir"
    path.write_text(text.replace(", capacity = 1.5", "").replace(", prioritized", ""))
    return path


def shares(load, tokens):
    """The expert of each token."""
    weights = {"balanced": [1.0] * EXPERTS, "zipf": [1 / (i + 1) for i in range(EXPERTS)], "one": [1.0] + [0.0] * (EXPERTS - 1)}[load]
    ends = [round(tokens * sum(weights[: i + 1]) / sum(weights)) for i in range(EXPERTS)]
    return [next(i for i, end in enumerate(ends) if token < end) for token in range(tokens)]


def write_parameters(program, load, path):
    torch.manual_seed(0)
    values = {}
    for name, size in programs.parameter_shapes(program):
        if re.search(r"norm\d?\.weight$", name):
            values[name] = torch.ones(size)
        elif name.endswith("temperature"):
            values[name] = torch.full(size, math.log(10))
        elif re.search(r"patch_embed\.|cls_token|attn\.proj\.|fc2\.|\.bias$", name):
            values[name] = torch.zeros(size)
        else:
            values[name] = torch.randn(size) * 0.02
    _, tokens, dim = values["pos_embed"].shape
    ways = torch.nn.functional.layer_norm(torch.randn(EXPERTS, dim), [dim])
    values["pos_embed"] = ways[shares(load, tokens)][None].clone()
    for name in [n for n in values if n.endswith("sim_matrix")]:
        projector = values[name.replace("sim_matrix", "cosine_projector.weight")]
        values[name] = (ways @ projector.T).T.contiguous()
    safetensors.torch.save_file(values, path)


def compare(programs, parameters, entry, a):
    """The sparse model beside the dense one."""
    command = [BIN / "moert", "bench", programs[1], "--params", parameters[1], "--against", programs[0], "--against-params", parameters[0],
               "--entry", "train" if entry == "train" else "main", "--batch", f"1x{a.batch}", "--steps", str(a.pairs),
               "--threads", str(a.threads), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", default="s16", choices=MODELS)
    a.add_argument("--entries", default="train,infer")
    a.add_argument("--loads", default="balanced,zipf,one")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--pairs", type=int, default=20)
    a.add_argument("--threads", type=int, default=2)
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = dropless_text(folder)
        programs = []
        for name, defines in zip(("dense", "sparse"), MODELS[a.model]):
            programs.append(f"{folder}/{name}.moe")
            subprocess.run([BIN / "moec", "compile", text, *defines, "--batch-hint", f"train=1x{a.batch},infer=1x{a.batch}", "-o", programs[-1]], check=True)
        print(f"{a.model}, {a.batch} images, {a.threads} threads, {a.pairs} pairs\n")
        print("| entry | load | shares | dense ms | sparse ms | ratio, 95 % interval | ratio of MACs | beyond |\n|---|---|---|---|---|---|---|---|")
        for entry in a.entries.split(","):
            for load in a.loads.split(","):
                files = [f"{folder}/{name}-{load}.safetensors" for name in ("dense", "sparse")]
                for program, file in zip(programs, files):
                    write_parameters(program, load, file)
                out = compare(programs, files, entry, a)
                work = [speed * ms for speed, ms in zip(out["gflops_per_s"], out["median_ms"])]  # the models' own operations
                ratio, mid = work[0] / work[1], out["ratio"]
                low, high = out.get("ratio_95", [0, math.inf])
                tokens = shares(load, 1000)
                shown = " ".join(f"{tokens.count(i) / 10:.0f}" for i in range(EXPERTS))
                print(f"| {entry} | {load} | {shown} % | {out['median_ms'][1]:.1f} | {out['median_ms'][0]:.1f} | {mid:.4f} "
                      f"[{low:.4f}, {high:.4f}] | {ratio:.4f} | {(mid / ratio - 1) * 100:+.2f} % [{(low / ratio - 1) * 100:+.2f}, {(high / ratio - 1) * 100:+.2f}] |",
                      flush=True)


main()
