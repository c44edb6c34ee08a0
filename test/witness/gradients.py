"""One step's loss and every gradient of the example models: compiled f32 code and PyTorch f32, both against the f64 evaluator.

    gradients.py <folder of moec and moert> [--rows 5] [--draws 4] [--models mnist_cnn,hmoe_28] [--targets cpu,cpu:x86-64-v3,emulator:sm_90a]

Parameters are all random (experts distinct, biases not zero), inputs and labels too, progress 0.3. The error of a tensor is
the root mean square of its difference over that of its values; below FLOOR, a few units in the last place of the tensor's
scale, it says nothing about either side and counts as FLOOR. Ours must be at most twice PyTorch's own, in the geometric mean
of the draws: a gradient that cancels (d2v's, by two or three digits) has one rounding error common to the whole tensor, and
the ratio of two such numbers is luck in a single draw, on either side. Images are drawn until no rectifier's argument is as
close to 0 as rounding may move it: there the gradient jumps, and which side is right is luck too.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
import safetensors.numpy
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import models  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
PROGRESS = 0.3
FLOOR = 2.0**-22
KINK = 2.0**-20


def load(folder):
    return {p.stem: np.load(p) for p in pathlib.Path(folder).glob("*.npy")}


def torch_gradients(model, params, image, label, domain, dtype):
    p = {k: torch.from_numpy(v).to(dtype).requires_grad_() for k, v in params.items()}
    loss, _ = models.LOSSES[model](p, torch.from_numpy(image).to(dtype), torch.from_numpy(label).long(), torch.from_numpy(domain), PROGRESS)
    loss.backward()
    return {"loss": loss.detach().numpy()} | {f"grad.{k}": v.grad.numpy() for k, v in p.items()}


def nearest_kink(*arguments):
    """How near to 0 a rectifier's argument comes, over that tensor's root mean square."""
    plain, nearest = torch.relu, []
    def relu(x):
        nearest.append(float(x.detach().abs().min() / x.detach().square().mean().sqrt()))
        return plain(x)
    with mock.patch.object(torch, "relu", relu), mock.patch.object(models.F, "relu", relu):
        torch_gradients(*arguments, torch.float64)
    assert nearest, "expected the model to have rectifiers"
    return min(nearest)


def error(a, truth):
    return float(np.sqrt(np.mean((a.astype(np.float64) - truth) ** 2)) / max(np.sqrt(np.mean(truth**2)), 1e-30))


def run(*command):
    out = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{out.stdout}{out.stderr}")
    return out.stdout


def draw(binaries, model, rows, seed, folder, program, device, shapes):
    """The error of every tensor: ours, PyTorch's, and that of PyTorch in f64."""
    rng = np.random.default_rng(seed)
    params = {}
    for path, value in shapes.items():
        fan = int(np.prod(value.shape[1:])) if value.ndim > 1 else 1
        noise = rng.standard_normal(value.shape) * (1.2 / np.sqrt(fan) if value.ndim > 1 else 0.2)
        params[path] = (noise + (1 if path.endswith("norm.weight") else 0)).astype(np.float32)
    safetensors.numpy.save_file(params, f"{folder}/p.safetensors")
    image = rng.random((rows, 1, 28, 28), np.float32)
    while nearest_kink(model, params, image, np.zeros(rows, np.int32), np.zeros(rows, np.int32)) < KINK:
        image = rng.random((rows, 1, 28, 28), np.float32)
    label = rng.integers(0, 10, rows).astype(np.int32)
    label[0] = -1                                    # unknown: leaves the loss and its denominator
    inputs = []
    for name, value in (("image", image), ("label", label)):   # no loss of these two depends on the domain
        np.save(f"{folder}/{name}.npy", value)
        inputs += ["--input", f"{name}=@{folder}/{name}.npy"]
    for side in ("ours", "truth"):
        pathlib.Path(folder, side).mkdir(exist_ok=True)
    common = ["--params", f"{folder}/p.safetensors", "--entry", "gradients", "--progress", PROGRESS]
    run(binaries / "moert", "infer", program, *common, *inputs, "--device", device, "--output-folder", f"{folder}/ours")
    run(binaries / "moec", "evaluate", model_text(model), "--gradients", *common, *inputs, "--output-folder", f"{folder}/truth")
    ours, truth = load(f"{folder}/ours"), load(f"{folder}/truth")
    domain = np.zeros(rows, np.int32)
    witness = torch_gradients(model, params, image, label, domain, torch.float32)
    witness64 = torch_gradients(model, params, image, label, domain, torch.float64)
    return {name: [error(side[name], truth[name]) for side in (ours, witness, witness64)] for name in witness}


def model_text(model):
    return ROOT / f"examples/models/{model}.mlir"


def check(binaries, model, target, rows, draws, report):
    with tempfile.TemporaryDirectory() as folder:
        program, device = f"{folder}/p.moe", target.partition(":")[0]
        run(binaries / "moec", "compile", model_text(model), "--gradients", "--target", target, "-o", program)
        run(binaries / "moert", "train", program, "--recipe", ROOT / "examples/recipes/rotated_fashion_mnist.toml", "--steps", 0,
            "--device", device, "--out", f"{folder}/init")
        shapes = safetensors.numpy.load_file(f"{folder}/init/last/model.safetensors")
        errors = [draw(binaries, model, rows, seed, folder, program, device, shapes) for seed in range(draws)]
    failures, worst, single = 0, (0, ""), (0, "")
    for name in sorted(errors[0]):
        mine, theirs, semantic = np.array([e[name] for e in errors]).T
        ratios = np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR)
        mean = float(np.exp(np.log(ratios).mean()))
        bad = semantic.max() > 1e-9 or not mean <= 2   # the evaluator and PyTorch in f64 agree on what is computed
        failures += bad
        worst, single = max(worst, (mean, name)), max(single, (float(ratios.max()), name))
        if report or bad:
            print(f"{'FAIL' if bad else 'ok  '} {model} {target} {name}: ratio {mean:.2f}, largest {ratios.max():.2f}, ours {mine.max():.2e}, "
                  f"PyTorch {theirs.max():.2e}, PyTorch f64 {semantic.max():.1e}")
    print(f"{model} {target}, {rows} rows, {draws} draws: {len(errors[0])} tensors, {failures} beyond twice PyTorch's error; "
          f"largest ratio {worst[0]:.2f} ({worst[1]}), of a single draw {single[0]:.2f} ({single[1]})", flush=True)
    return failures


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("--rows", type=int, default=5)
    a.add_argument("--draws", type=int, default=4)
    a.add_argument("--models", default="mnist_cnn,hmoe_28")
    a.add_argument("--targets", default="cpu")
    a.add_argument("--report", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(1)
    failures = sum(check(a.binaries.resolve(), m, t, a.rows, a.draws, a.report) for m in a.models.split(",") for t in a.targets.split(","))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
