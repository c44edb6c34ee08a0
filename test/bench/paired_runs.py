"""Training runs paired with PyTorch: the same initial values, the same batches, domain 0 held out.

    paired_runs.py accuracy [--models hmoe_28,mnist_cnn] [--seeds 5] [--steps 600] [--batch 16]
    paired_runs.py losses   [--models ...] [--seeds 1] [--steps 200] [--batch 16]

`accuracy`: per seed the held-out domain's accuracy (all its images) and the mean out-split accuracy of the training domains, on both
sides, then the mean difference and its 90 % interval (Student's t). `losses`: per seed the largest and the mean distance of the loss
curves, ours to PyTorch at one thread, beside PyTorch at one thread to PyTorch at two, then the geometric mean of their ratios.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

import safetensors.torch
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "witness"))
import data  # noqa: E402
import models  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "examples/recipes/rotated_fashion_mnist.toml"
STUDENT_90 = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 8: 1.895, 10: 1.833}  # two-sided, n - 1 degrees of freedom


def moert(program, out, steps, batch, seed, extra=()):
    command = [BIN / "moert", "train", program, "--recipe", RECIPE, "--out", out, "--steps", str(steps), "--seed", str(seed),
               "--set", f"train.batch_per_domain={batch}", *extra]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def witness(model, weights, images, steps, batch, seed, threads, lr=1e-3):
    torch.set_num_threads(threads)
    p = {k: v.clone().requires_grad_() for k, v in weights.items()}
    optimizer = torch.optim.Adam(p.values(), lr=lr)
    losses = []
    for step in range(steps):
        image, label, domain = (torch.from_numpy(t) for t in images.batch(step, batch, seed))
        optimizer.zero_grad()
        loss, _ = models.LOSSES[model](p, image, label, domain, progress=step / steps)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return p, losses


@torch.no_grad()
def accuracy(model, p, images, domain, split):
    image, label = images.evaluate(domain, split)
    right = 0
    for i in range(0, len(label), 256):
        logits = getattr(models, model)(p, torch.from_numpy(image[i:i + 256]))["logits"]
        right += int((logits.argmax(1) == torch.from_numpy(label[i:i + 256])).sum())
    return right / len(label)


def initial(program, folder, seed):
    moert(program, folder, 0, 16, seed)
    return {k: v for k, v in safetensors.torch.load_file(pathlib.Path(folder) / "last/model.safetensors").items()
            if not k.startswith("optimizer")}


def metrics(folder):
    return [json.loads(line) for line in open(pathlib.Path(folder) / "metrics.jsonl")]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("what", choices=("accuracy", "losses"))
    a.add_argument("--models", default="hmoe_28,mnist_cnn")
    a.add_argument("--seeds", type=int, help="5, or 1 for losses")
    a.add_argument("--steps", type=int)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin", help="the folder of moec and moert")
    a = a.parse_args()
    global BIN
    BIN = a.bin
    images = data.Rotated()
    domains = range(1, 6)
    for model in a.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/{model}.moe"
            subprocess.run([BIN / "moec", "compile", ROOT / f"examples/models/{model}.mlir", "-o", program], check=True)
            if a.what == "losses":
                steps, ratios = a.steps or 200, []
                for seed in range(a.seeds or 1):
                    weights = initial(program, f"{folder}/i{seed}", seed)
                    moert(program, f"{folder}/r{seed}", steps, a.batch, seed, ("--set", "log.every=1", "--set", "eval.every=0"))
                    ours = {m["step"]: m["loss"] for m in metrics(f"{folder}/r{seed}") if "loss" in m}
                    _, one = witness(model, weights, images, steps, a.batch, seed, 1)
                    _, two = witness(model, weights, images, steps, a.batch, seed, 2)
                    mine = [abs(ours[s] - one[s]) for s in range(steps) if s in ours]
                    theirs = [abs(x - y) for x, y in zip(one, two)]
                    ratios.append((max(mine) / max(theirs), statistics.mean(mine) / statistics.mean(theirs)))
                    print(f"{model}, seed {seed}: {len(mine)} losses; ours to PyTorch at one thread: largest {max(mine):.3g}, mean {statistics.mean(mine):.3g}; "
                          f"PyTorch at one thread to two: largest {max(theirs):.3g}, mean {statistics.mean(theirs):.3g}", flush=True)
                print(f"{model}: geometric means of the ratios: largest {statistics.geometric_mean(r[0] for r in ratios):.2f}, "
                      f"mean {statistics.geometric_mean(r[1] for r in ratios):.2f}", flush=True)
                continue
            steps = a.steps or 600
            print(f"\n{model}, {steps} steps of 5 x {a.batch} images, domain 0 held out\n\n| seed | held out, ours | PyTorch | out-splits, ours | PyTorch |\n|---|---|---|---|---|", flush=True)
            held, out = [], []
            for seed in range(a.seeds or 5):
                weights = initial(program, f"{folder}/i{seed}", seed)
                moert(program, f"{folder}/r{seed}", steps, a.batch, seed, ("--set", f"eval.every={steps}", "--set", "eval.images=0"))
                last = [m for m in metrics(f"{folder}/r{seed}") if "env0_in_acc" in m][-1]
                n = {s: len(images.split[0][s]) for s in ("in", "out")}
                ours_held = (last["env0_in_acc"] * n["in"] + last["env0_out_acc"] * n["out"]) / (n["in"] + n["out"])
                ours_out = statistics.mean(last[f"env{d}_out_acc"] for d in domains)
                p, _ = witness(model, weights, images, steps, a.batch, seed, 2)
                acc = {s: accuracy(model, p, images, 0, s) for s in ("in", "out")}
                torch_held = (acc["in"] * n["in"] + acc["out"] * n["out"]) / (n["in"] + n["out"])
                torch_out = statistics.mean(accuracy(model, p, images, d, "out") for d in domains)
                held.append(100 * (ours_held - torch_held))
                out.append(100 * (ours_out - torch_out))
                print(f"| {seed} | {100 * ours_held:.2f} | {100 * torch_held:.2f} | {100 * ours_out:.2f} | {100 * torch_out:.2f} |", flush=True)
            for name, d in (("held-out domain", held), ("training domains' out-splits", out)):
                if len(d) > 1:
                    half = STUDENT_90[len(d)] * statistics.stdev(d) / math.sqrt(len(d))
                    print(f"\n{name}: mean difference {statistics.mean(d):+.2f} points, 90 % interval [{statistics.mean(d) - half:+.2f}, {statistics.mean(d) + half:+.2f}]", flush=True)


main()
