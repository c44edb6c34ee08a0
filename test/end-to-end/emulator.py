"""Training on the emulated GPU, from outside: the same numbers as the CPU's up to rounding, the same bytes under every order of
warps, and checkpoints that continue on the other device.

    emulator.py BIN MODELS FOLDER CHECK...      (checks: linear, hmoe_28, mnist_cnn, checked, memory, tf32)
"""

import array
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys

from runs import make_set

# Losses and parameters of the two devices. A step's sums have other orders on them, and Adam divides a gradient by its own size,
# so that the parameters of a few steps may differ by a share of steps * lr where a gradient is near rounding.
LOSS, PARAMETERS, LR = 2e-3, 12e-3, 1e-3
# What a product is wrong by at most in tf32 is 2^-10 of itself. Errors of the terms of a sum are of both signs, but each layer adds
# its own, and each changes a few decisions of ReLU and of maxima, which change gradients.
TF32_LOSS, TF32_GRADIENT = 2**-10, 2**-5


def tensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    return {name: array.array("f", data[8 + length:][slice(*row["data_offsets"])])
            for name, row in header.items() if name != "__metadata__"}


class Emulator:
    def __init__(self, binaries, models, folder):
        self.binaries, self.models, self.folder = binaries, models, folder
        shutil.rmtree(folder, ignore_errors=True)
        self.images, self.modes = make_set(folder / "images"), set()

    def compile(self, model, precision):
        program = self.folder / f"{model}.{precision}.moe"
        if not program.exists():
            subprocess.run([self.binaries / "moec", "compile", self.models / f"{model}.mlir", "--target=cpu",
                            "--target=emulator:sm_90a", f"--precision={precision}", "-o", program], check=True)
        return program

    def train(self, model, name, device, steps, batch, *more, resume=False, fails=False, precision="f32", **environment):
        command = [self.binaries / "moert", "train", self.compile(model, precision), "--out", self.folder / name, "--device", device,
                   "--steps", str(steps), *more]
        command += ["--resume"] if resume else [
            "--set", f"data.path={self.images}", "--set", "data.angles=[0,10,20]", "--set", f"train.batch_per_domain={batch}",
            "--set", "eval.every=0", "--set", "log.every=1", "--set", f"optimizer.lr={LR}"]
        done = subprocess.run(command, capture_output=True, text=True, env=(everything := os.environ | environment))
        if device == "emulator":
            self.modes.add(" ".join([everything.get("MOE_EMULATOR", "fast"), "seed", everything.get("MOE_EMULATOR_SEED", "0")]))
        assert (done.returncode == 1) == fails, (command, done)
        self.said = done.stdout
        return done.stderr

    def losses(self, name):
        return [json.loads(line)["loss"] for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]

    def same_bytes(self, one, other):
        for file in ("last/model.safetensors", "last/optimizer.safetensors"):
            assert (self.folder / one / file).read_bytes() == (self.folder / other / file).read_bytes(), (one, other, file)

    def near(self, one, other):
        for a, b in zip(self.losses(one), self.losses(other), strict=True):
            assert abs(a - b) <= LOSS * max(1, abs(a)), (one, other, a, b)
        a, b = (tensors(self.folder / name / "last/model.safetensors") for name in (one, other))
        assert a.keys() == b.keys()
        worst = max(max((abs(x - y) for x, y in zip(a[path], b[path], strict=True)), default=0) for path in a)
        assert worst <= PARAMETERS, (one, other, worst)

    def linear(self):
        for name, first, second in (("cpu", "cpu", "cpu"), ("emulator", "emulator", "emulator"), ("to_cpu", "emulator", "cpu"),
                                    ("from_cpu", "cpu", "emulator")):
            self.train("linear", name, first, 6, 8)
            self.train("linear", name, second, 12, 8, resume=True)
            note = f"{first} " in self.said and "for another target; it continues, but not bit for bit" in self.said
            assert note == (first != second), self.said
        for name in ("emulator", "to_cpu", "from_cpu"):
            self.near("cpu", name)
        # Other orders of blocks, warps and lanes, other threads of the host, and copies of kernels that land early.
        self.train("linear", "order", "emulator", 6, 8, "--threads", "1", MOE_EMULATOR_SEED="7", MOE_EMULATOR_COPIES="early")
        self.train("linear", "order", "emulator", 12, 8, resume=True, MOE_EMULATOR_SEED="8")
        self.same_bytes("emulator", "order")

    def model(self, model, steps=2, batch=2):
        self.train(model, f"{model}.cpu", "cpu", steps, batch)
        self.train(model, f"{model}.emulator", "emulator", steps, batch)
        self.near(f"{model}.cpu", f"{model}.emulator")
        self.train(model, f"{model}.order", "emulator", steps, batch, MOE_EMULATOR_SEED="3")
        self.same_bytes(f"{model}.emulator", f"{model}.order")

    def hmoe_28(self):
        self.model("hmoe_28")

    def mnist_cnn(self):
        self.model("mnist_cnn")

    def checked(self):
        """No access of a kernel is wrong, and no two race: the checker would fail the step."""
        for model, steps in (("linear", 4), ("hmoe_28", 1)):
            self.train(model, f"{model}.checked", "emulator", steps, 2, MOE_EMULATOR="checked", MOE_EMULATOR_SEED="5")

    def tf32(self):
        """A step with products in tf32, against one in f32: Adam's first moments are the gradients, up to a factor."""
        for model in ("linear", "mnist_cnn", "hmoe_28"):
            for precision in ("f32", "tf32"):
                self.train(model, f"{model}.{precision}", "emulator", 1, 4, precision=precision)
            (a,), (b,) = (self.losses(f"{model}.{precision}") for precision in ("f32", "tf32"))
            assert a != b and abs(a - b) <= TF32_LOSS * abs(a), (model, a, b)
            a, b = (tensors(self.folder / f"{model}.{precision}" / "last/optimizer.safetensors") for precision in ("f32", "tf32"))
            for path in a:
                if path.startswith("adam.m:"):
                    size, far = math.hypot(*a[path]), math.dist(a[path], b[path])
                    assert far <= TF32_GRADIENT * size, (model, path, far / size)

    def memory(self):
        said = self.train("hmoe_28", "small", "emulator", 1, 64, MOE_EMULATOR_MEMORY="48", fails=True)
        for words in ("takes", "MiB beside the states", "free on the device; its largest buffers:", "use a smaller batch"):
            assert words in said, said


def main():
    run = Emulator(*(pathlib.Path(argument) for argument in sys.argv[1:4]))
    for check in sys.argv[4:]:
        getattr(run, check)()
        print(f"{check}: ok ({', '.join(sorted(run.modes))})")
        run.modes.clear()


if __name__ == "__main__":
    main()
