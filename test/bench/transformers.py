"""ViT and GMoE against PyTorch: time and peak memory of training steps and of inference, interleaved in one run.

    ~/.cache/moe/venv/bin/python test/bench/transformers.py [--models vit_s16,gmoe_s16,vit_28,gmoe_28] [--entries train,infer]
                                                            [--batches 16] [--rounds 3] [--steps 5]

Each round runs every variant once, in a process of its own, one after the other, `moert bench` after every second. Times are the median step of a
process, then the median over rounds; memory is anonymous resident memory, PyTorch's above what stands after imports and model
construction, ours of the whole process. torch_transformers.py says which variants PyTorch has; the best of each figure counts. What GMoE costs beside
ViT under different loads of its experts is measured by routing_loads.py.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import peak_memory
import programs
import safetensors.torch
import torch

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / "build" / "bin"
SMALL = ["-Dsize=28", "-Dpatch=4", "-Dchannels=1", "-Ddim=64", "-Dheads=4", "-Dclasses=10"]
# The text, its parameters, the heads and the pixels of an image.
MODELS = {
    "vit_s16": ("vit", [], 6, 224),
    "gmoe_s16": ("gmoe", [], 6, 224),
    "vit_28": ("vit", [*SMALL, "-Ddepth=4"], 4, 28),
    "gmoe_28": ("gmoe", [*SMALL, "-Ddense=2", "-Dpairs=1"], 4, 28),
}


def environment():
    return {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def write_parameters(program, path):
    """Random values of the program's parameters, by the paths and shapes that `moec inspect` lists. Their values do not matter to the time."""
    torch.manual_seed(0)
    values = {}
    for name, size in programs.parameter_shapes(program):
        one = name.split(".")[-2:] in (["norm", "weight"], ["norm1", "weight"], ["norm2", "weight"]) or name.endswith("temperature")
        values[name] = torch.full(size, 0.69 if name.endswith("temperature") else 1.0) if one else torch.randn(size) * 0.02
    safetensors.torch.save_file(values, path)


def run_moert(program, entry, batch, a):
    command = [BIN / "moert", "bench", program, "--entry", entry, "--batch", batch, "--steps", a.steps * 2, "--threads", a.threads]
    out, peak = peak_memory.run_moert(command, environment())
    return {"ms": out["median_ms"], "peak_bytes": peak}


def run_torch(params, entry, rows, model, variant, a):
    _, _, heads, size = MODELS[model]
    form, _, compiled = variant.partition(" ")
    command = [sys.executable, pathlib.Path(__file__).with_name("torch_transformers.py"), "--params", params, "--entry", entry, "--batch", str(rows),
               "--size", str(size), "--heads", str(heads), "--threads", str(a.threads), "--steps", str(a.steps)]
    command += ["--form", form] if form in ("tutel", "loop", "grouped") else []
    command += ["--compile"] if compiled or form == "compile" else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    out = json.loads(done.stdout.splitlines()[-1])
    return {"ms": statistics.median(out["ms"]), "peak_bytes": out["peak_bytes"]}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--models", default="vit_s16,gmoe_s16,vit_28,gmoe_28")
    a.add_argument("--entries", default="train,infer")
    a.add_argument("--batches", default="16", help="images; of the models for 28 pixels 4 x 32 are measured in training")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=5)
    a.add_argument("--threads", type=int, default=2)
    a = a.parse_args()
    for model in a.models.split(","):
        text, defines, _, size = MODELS[model]
        for entry in a.entries.split(","):
            for images in map(int, a.batches.split(",")):
                batch = "4x32" if size == 28 and entry == "train" else f"1x{images}"
                rows = int(batch.split("x")[0]) * int(batch.split("x")[1])
                variants = ["eager", "compile"] if text == "vit" else ["tutel", "loop", "grouped", "tutel compile", "loop compile"]
                with tempfile.TemporaryDirectory() as folder:
                    program, params = f"{folder}/{model}.moe", f"{folder}/params.safetensors"
                    subprocess.run([BIN / "moec", "compile", ROOT / f"examples/models/{text}.mlir", *defines, "--batch-hint", f"train={batch},infer={batch}",
                                    "-o", program], check=True)
                    write_parameters(program, params)
                    rows_of, failures = {v: [] for v in (*variants, "moe")}, {}
                    for _ in range(a.rounds):
                        for i, variant in enumerate(variants):
                            if variant not in failures:
                                found = run_torch(params, entry, rows, model, variant, a)
                                if isinstance(found, str):
                                    failures[variant] = found
                                else:
                                    rows_of[variant].append(found)
                            if i % 2 == 0:
                                rows_of["moe"].append(run_moert(program, "train" if entry == "train" else "main", batch, a))
                ms = {v: statistics.median(r["ms"] for r in rs) for v, rs in rows_of.items() if rs}
                mb = {v: statistics.median(r["peak_bytes"] for r in rs) / 1e6 for v, rs in rows_of.items() if rs}
                print(f"\n{model}, {entry}, {batch} images, {a.threads} threads\n\n| variant | median ms | images/s | peak MB |\n|---|---|---|---|")
                for v in ms:
                    print(f"| {v} | {ms[v]:.1f} | {rows / ms[v] * 1e3:.2f} | {mb[v]:.0f} |")
                for v, why in failures.items():
                    print(f"| {v} | does not run: {why} | | |")
                best = min((v for v in ms if v != "moe"), key=ms.get)
                print(f"\ntime: {ms[best] / ms['moe']:.2f}x the best PyTorch ({best}); memory: {mb['moe'] / mb[best]:.2f}x that variant's", flush=True)


main()
