"""Training step of the example models, 5 x 64 images, against PyTorch: time and peak memory, interleaved in one run.

    ~/.cache/moe/venv/bin/python test/bench/train_step.py [--rounds 3] [--models mnist_cnn,hmoe_28]

Each round runs every variant once, in a process of its own, one after the other. Time is the median step of a process, then the median
over rounds; memory is anonymous resident memory above what stands before the first step, sampled every millisecond. PyTorch counts with
the best of eager, torch.compile and channels-last.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import peak_memory

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / "build" / "bin"
VARIANTS = ("eager", "channels_last", "compile", "compile_channels_last")


def run_moert(program, threads, steps):
    command = [BIN / "moert", "bench", program, "--entry", "train", "--batch", "5x64", "--steps", steps, "--threads", threads]
    out, peak = peak_memory.run_moert(command)
    return {"ms": out["median_ms"], "peak_bytes": peak, "said": out["peak_bytes"]}


def run_torch(model, params, variant, threads, steps):
    command = [sys.executable, pathlib.Path(__file__).with_name("torch_step.py"), "--model", model, "--params", params,
               "--variant", variant, "--threads", str(threads), "--steps", str(steps)]
    out = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    return {"ms": statistics.median(out["ms"]), "peak_bytes": out["peak_bytes"]}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=5)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--models", default="mnist_cnn,hmoe_28")
    a = a.parse_args()
    for model in a.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            program, params = f"{folder}/{model}.moe", f"{folder}/initial"
            subprocess.run([BIN / "moec", "compile", ROOT / f"examples/models/{model}.mlir", "-o", program], check=True)
            subprocess.run([BIN / "moert", "train", program, "--recipe", ROOT / "examples/recipes/rotated_fashion_mnist.toml",
                            "--out", params, "--steps", "0"], check=True, stdout=subprocess.DEVNULL)
            weights = pathlib.Path(params) / "last/model.safetensors"
            rows = {v: [] for v in (*VARIANTS, "moe")}
            for _ in range(a.rounds):
                for variant in VARIANTS:
                    rows[variant].append(run_torch(model, weights, variant, a.threads, a.steps))
                    if variant in ("eager", "compile_channels_last"):
                        rows["moe"].append(run_moert(program, a.threads, a.steps * 2))
        ms = {v: statistics.median(r["ms"] for r in rs) for v, rs in rows.items()}
        mb = {v: statistics.median(r["peak_bytes"] for r in rs) / 1e6 for v, rs in rows.items()}
        print(f"\n{model}, 5 x 64 images, {a.threads} threads\n\n| variant | median ms | peak MB |\n|---|---|---|")
        for v in ms:
            print(f"| {v} | {ms[v]:.0f} | {mb[v]:.0f} |")
        print(f"\ntime: {min(ms[v] for v in VARIANTS) / ms['moe']:.2f}x the best PyTorch; "
              f"memory: {mb['moe'] / min(mb[v] for v in VARIANTS):.2f}x")


main()
