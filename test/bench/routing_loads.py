"""What sparse blocks cost beside dense ones: GMoE over ViT in interleaved pairs, dropless, for different loads of the experts.

    ~/.cache/moe/venv/bin/python test/bench/routing_loads.py [--model s16] [--entries train,infer] [--loads balanced,zipf,one]
                                                             [--batch 16] [--pairs 20] [--steps 2]

A pair runs `moert bench` of the dense model and of the sparse one after the other, each in a process of its own; which of them goes first
alternates. Printed are the geometric mean of the pairs' ratios with its 95 % interval (Student's t on the logarithms), the ratio of the
two models' MACs, and what the first is beyond the second.

The loads are made by parameters: the position table has one direction for each expert, the patches and all layers that write to the tokens' sum
are zero, and an expert's key is what the router makes of its direction. So tokens reach the routers as they were laid down, whatever the
image: `balanced` is as many to each expert, `zipf` 1/1, 1/2, ... 1/6 of the first one's, `one` all to the first.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
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
# Student's t at 97.5 % by degrees of freedom; between them the smaller number's, which is the wider interval.
T975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 9: 2.262, 11: 2.201, 14: 2.145, 19: 2.093, 29: 2.045}


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


def bench(program, parameters, entry, a):
    command = [BIN / "moert", "bench", program, "--params", parameters, "--entry", "train" if entry == "train" else "main",
               "--batch", f"1x{a.batch}", "--steps", str(a.steps if entry == "train" else a.steps * 4), "--threads", str(a.threads), "--json"]
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", default="s16", choices=MODELS)
    a.add_argument("--entries", default="train,infer")
    a.add_argument("--loads", default="balanced,zipf,one")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--pairs", type=int, default=20)
    a.add_argument("--steps", type=int, default=2, help="timed steps of a process; four times as many in inference")
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
                times, work = ([], []), [0.0, 0.0]
                for pair in range(a.pairs):
                    for side in (0, 1) if pair % 2 == 0 else (1, 0):
                        out = bench(programs[side], files[side], entry, a)
                        times[side].append(out["median_ms"])
                        work[side] = out["gflops_per_s"] * out["median_ms"]  # the model's own operations, without recomputation
                ratio = work[1] / work[0]
                logs = [math.log(sparse / dense) for dense, sparse in zip(*times)]
                middle = statistics.fmean(logs)
                half = 0.0
                if len(logs) > 1:
                    t = T975[max(n for n in T975 if n <= len(logs) - 1)]
                    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
                tokens = shares(load, 1000)
                shown = " ".join(f"{tokens.count(i) / 10:.0f}" for i in range(EXPERTS))
                low, high, mid = (math.exp(x) for x in (middle - half, middle + half, middle))
                print(f"| {entry} | {load} | {shown} % | {statistics.median(times[0]):.1f} | {statistics.median(times[1]):.1f} | {mid:.4f} "
                      f"[{low:.4f}, {high:.4f}] | {ratio:.4f} | {(mid / ratio - 1) * 100:+.2f} % [{(low / ratio - 1) * 100:+.2f}, {(high / ratio - 1) * 100:+.2f}] |",
                      flush=True)


main()
