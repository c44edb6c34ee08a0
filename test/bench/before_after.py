"""Compares two builds by the time and memory of training steps, in interleaved pairs.

    before_after.py BEFORE AFTER [MODEL.mlir ...] [--pairs 20] [--steps 12] [--batch 5x64] [--threads 2]

BEFORE and AFTER are folders with moec and moert. Each model (the examples unless some are named) is compiled by both, and
`moert bench` runs them by turns, the first of a pair changing from pair to pair, since machines drift. A run's time is
the tenth percentile of its steps, since other work on the machine only adds to a step; a pair gives one ratio. Prints the mean ratio with its 90 % interval (Student's t over the pairs' logarithms), the least
times, and the memory that each takes.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import tempfile

# 95 % quantiles of Student's t; further degrees of freedom differ by less than 1 %.
T95 = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860, 9: 1.833, 10: 1.812, 14: 1.761, 19: 1.729, 24: 1.711, 29: 1.699}


def bench(folder, program, options):
    done = subprocess.run([folder / "moert", "bench", program, "--entry", "train", "--batch", options.batch, "--steps", str(options.steps),
                           "--threads", str(options.threads), "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    examples = pathlib.Path(__file__).resolve().parents[2] / "examples/models"
    parser.add_argument("models", type=pathlib.Path, nargs="*", default=[examples / "mnist_cnn.mlir", examples / "hmoe_28.mlir"])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", default="5x64")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("| model | after / before | 90 % interval | least ms before | after | MiB before | after |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for model in options.models:
            builds = [(folder.resolve(), pathlib.Path(work) / f"{model.stem}.{k}.moe") for k, folder in enumerate((options.before, options.after))]
            for folder, program in builds:
                subprocess.run([folder / "moec", "compile", model, "-o", program], check=True)
            times, memory = ([], []), [0, 0]
            for pair in range(options.pairs):
                for k in (0, 1) if pair % 2 else (1, 0):
                    found = bench(*builds[k], options)
                    times[k].append(found["p10_ms"])
                    memory[k] = found["peak_bytes"] / 2**20
            logs = [math.log(after / before) for before, after in zip(*times)]
            mean = statistics.mean(logs)
            freedom = max(k for k in T95 if k <= len(logs) - 1)
            reach = T95[freedom] * statistics.stdev(logs) / math.sqrt(len(logs))
            print(f"| {model.stem} | {math.exp(mean):.4f} | {math.exp(mean - reach):.4f} to {math.exp(mean + reach):.4f} | "
                  f"{min(times[0]):.1f} | {min(times[1]):.1f} | {memory[0]:.1f} | {memory[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
