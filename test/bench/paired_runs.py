"""Training runs paired with PyTorch: the same initial values, batches and random numbers, domain 0 held out.

    paired_runs.py accuracy [--models hmoe_28,mnist_cnn,gmoe_28] [--seeds 5] [--steps 600] [--batch 16] [--twice]
    paired_runs.py losses   [--models ...] [--seeds 1] [--steps 200] [--batch 16] [--exactly]

`accuracy`: per seed the held-out domain's accuracy (all its images), the mean out-split accuracy of the training domains, and the mean
over all six, on both sides, then the mean differences and their 90 % intervals (Student's t). With `--twice` PyTorch runs at two threads
and again at one, and its differences from itself are given the same way: what rounding alone does. `losses`: per seed the largest and
the mean distance of the loss curves, ours to PyTorch at one thread, beside PyTorch at one thread to PyTorch at two, then the geometric
mean of their ratios; with `--exactly` also the distance of each from PyTorch in f64, since the two runs of PyTorch share most of their error.
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
import gmoe  # noqa: E402
import models  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
EVAL_BATCH = 64   # the recipe's default: a routing with a capacity drops rows by the batch


class Paired:
    """A model on both sides: its text and options, its recipe, and what PyTorch computes of parameters and a batch."""

    def __init__(self, text, recipe, logits, loss, options=(), optimizer="adam", torch_optimizer=torch.optim.Adam, **rates):
        self.text, self.recipe = ROOT / f"examples/models/{text}.mlir", ROOT / f"examples/recipes/{recipe}.toml"
        self.logits, self.loss = logits, loss
        self.options = [*(f"-D{key}={value}" for key, value in dict(options).items()), f"--optimizer={optimizer}"]
        self.optimizer = lambda parameters: torch_optimizer(parameters, lr=1e-3, **rates)

    def compile(self, program):
        subprocess.run([BIN / "moec", "compile", self.text, *self.options, "-o", program], check=True)


def plain(name):
    def loss(p, image, label, domain, steps, step, seed):
        return models.LOSSES[name](p, image, label, domain, progress=step / steps)[0]
    return Paired(name, "rotated_fashion_mnist", lambda p, image: getattr(models, name)(p, image)["logits"], loss)


MODELS = {"hmoe_28": plain("hmoe_28"), "mnist_cnn": plain("mnist_cnn"),
          "gmoe_28": Paired("gmoe", "gmoe_28", lambda p, image: gmoe.forward(p, image)[0],
                            lambda p, image, label, domain, steps, step, seed: gmoe.training_loss(p, image, label, seed, step),
                            gmoe.OPTIONS, "adamw", torch.optim.AdamW, weight_decay=0.05)}
STUDENT_90 = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895, 9: 1.860, 10: 1.833, 15: 1.761, 20: 1.729}  # two-sided, n - 1 degrees of freedom


def moert(model, program, out, steps, batch, seed, extra=()):
    command = [BIN / "moert", "train", program, "--recipe", MODELS[model].recipe, "--out", out, "--steps", str(steps), "--seed", str(seed),
               "--set", f"train.batch_per_domain={batch}", *extra]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def witness(model, weights, images, steps, batch, seed, threads, dtype=torch.float32):
    torch.set_num_threads(threads)
    p = {k: v.to(dtype, copy=True).requires_grad_() for k, v in weights.items()}
    optimizer = MODELS[model].optimizer(p.values())
    losses = []
    for step in range(steps):
        image, label, domain = (torch.from_numpy(t) for t in images.batch(step, batch, seed))
        optimizer.zero_grad()
        loss = MODELS[model].loss(p, image.to(dtype), label, domain, steps, step, seed)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return p, losses


@torch.no_grad()
def accuracy(model, p, images, domain, split):
    image, label = images.evaluate(domain, split)
    right = 0
    for i in range(0, len(label), EVAL_BATCH):
        logits = MODELS[model].logits(p, torch.from_numpy(image[i:i + EVAL_BATCH]))
        right += int((logits.argmax(1) == torch.from_numpy(label[i:i + EVAL_BATCH])).sum())
    return right / len(label)


def initial(model, program, folder, seed):
    moert(model, program, folder, 0, 16, seed)
    return {k: v for k, v in safetensors.torch.load_file(pathlib.Path(folder) / "last/model.safetensors").items()
            if not k.startswith("optimizer")}


def metrics(folder):
    return [json.loads(line) for line in open(pathlib.Path(folder) / "metrics.jsonl")]


def compare_losses(model, program, folder, images, seeds, steps, batch, exactly):
    ratios = []
    for seed in seeds:
        weights = initial(model, program, f"{folder}/i{seed}", seed)
        moert(model, program, f"{folder}/r{seed}", steps, batch, seed, ("--set", "log.every=1", "--set", "eval.every=0"))
        ours = {m["step"] - 1: m["loss"] for m in metrics(f"{folder}/r{seed}") if "loss" in m}
        _, one = witness(model, weights, images, steps, batch, seed, 1)
        _, two = witness(model, weights, images, steps, batch, seed, 2)
        if exactly:
            _, exact = witness(model, weights, images, steps, batch, seed, 2, dtype=torch.float64)
            to = {name: [abs(losses[s] - exact[s]) for s in range(steps) if s in ours] for name, losses in (("ours", ours), ("one thread", one), ("two", two))}
            print(f"{model}, seed {seed}, to PyTorch in f64: " + "; ".join(f"{name} largest {max(d):.3g}, mean {statistics.mean(d):.3g}" for name, d in to.items()), flush=True)
        mine = [abs(ours[s] - one[s]) for s in range(steps) if s in ours]
        theirs = [abs(x - y) for x, y in zip(one, two)]
        ratios.append((max(mine) / max(theirs), statistics.mean(mine) / statistics.mean(theirs)))
        print(f"{model}, seed {seed}: {len(mine)} losses; ours to PyTorch at one thread: largest {max(mine):.3g}, mean {statistics.mean(mine):.3g}; "
              f"PyTorch at one thread to two: largest {max(theirs):.3g}, mean {statistics.mean(theirs):.3g}", flush=True)
    print(f"{model}: geometric means of the ratios: largest {statistics.geometric_mean(r[0] for r in ratios):.2f}, "
          f"mean {statistics.geometric_mean(r[1] for r in ratios):.2f}", flush=True)


def held_and_out(of, images):
    """In %: the held-out domain 0, the mean of the other domains' out-splits, and the mean over all domains; of(domain, split) is an accuracy."""
    n = {s: len(images.split[0][s]) for s in ("in", "out")}
    held = (of(0, "in") * n["in"] + of(0, "out") * n["out"]) / (n["in"] + n["out"])
    out = [of(d, "out") for d in range(1, len(images.split))]
    return 100 * held, 100 * statistics.mean(out), 100 * statistics.mean([held, *out])


def interval(differences):
    mean, half = statistics.mean(differences), STUDENT_90[len(differences)] * statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.2f} points, 90 % interval [{mean - half:+.2f}, {mean + half:+.2f}]"


def compare_accuracy(model, program, folder, images, seeds, steps, batch, twice):
    sides = ["ours", "PyTorch"] + ["PyTorch, one thread"] * twice
    print(f"\n{model}, {steps} steps of 5 x {batch} images, domain 0 held out; held-out domain, out-splits\n\n| seed | {' | | '.join(sides)} | |\n|{'---|' * (1 + 2 * len(sides))}", flush=True)
    rows = {side: [] for side in sides}
    for seed in seeds:
        weights = initial(model, program, f"{folder}/i{seed}", seed)
        moert(model, program, f"{folder}/r{seed}", steps, batch, seed, ("--set", f"eval.every={steps}", "--set", "eval.images=0"))
        last = [m for m in metrics(f"{folder}/r{seed}") if "env0_in_acc" in m][-1]
        rows["ours"].append(held_and_out(lambda d, split: last[f"env{d}_{split}_acc"], images))
        for side, threads in (("PyTorch", 2), ("PyTorch, one thread", 1))[:1 + twice]:
            p, _ = witness(model, weights, images, steps, batch, seed, threads)
            rows[side].append(held_and_out(lambda d, split: accuracy(model, p, images, d, split), images))
        print(f"| {seed} |" + "".join(f" {rows[side][-1][0]:.2f} | {rows[side][-1][1]:.2f} |" for side in sides), flush=True)
    if len(seeds) < 2:
        return
    for one, other in (("ours", "PyTorch"), ("PyTorch, one thread", "PyTorch"))[:1 + twice]:
        for what, name in enumerate(("held-out domain", "training domains' out-splits", "mean over all domains")):
            print(f"\n{one} minus {other}, {name}: {interval([x[what] - y[what] for x, y in zip(rows[one], rows[other])])}", flush=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("what", choices=("accuracy", "losses"))
    a.add_argument("--models", default=",".join(MODELS))
    a.add_argument("--seeds", type=int, help="how many; 5, or 1 for losses")
    a.add_argument("--first", type=int, default=0, help="the first seed")
    a.add_argument("--steps", type=int, help="600, or 200 for losses")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--twice", action="store_true", help="accuracy: PyTorch against itself too")
    a.add_argument("--exactly", action="store_true", help="losses: the distance of all three from PyTorch in f64 too")
    a.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin", help="the folder of moec and moert")
    a = a.parse_args()
    global BIN
    BIN = a.bin
    images = data.Rotated()
    losses = a.what == "losses"
    seeds = range(a.first, a.first + (a.seeds or (1 if losses else 5)))
    for model in a.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/{model}.moe"
            MODELS[model].compile(program)
            if losses:
                compare_losses(model, program, folder, images, seeds, a.steps or 200, a.batch, a.exactly)
            else:
                compare_accuracy(model, program, folder, images, seeds, a.steps or 600, a.batch, a.twice)


main()
