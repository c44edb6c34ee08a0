"""Pretrained weights: what timm and `moert train --init` say of the same files.

    init.py BIN FOLDER [CHECK...]      (checks: the functions of CHECKS below)

Weights are timm's own models with random values, a file for each case; the data is a set of a few random images made here, since no
step is trained but where a check says so.
"""
import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

MODEL = pathlib.Path(__file__).parent / "inputs/vit_timm.mlir"
SMALL = dict(patch_size=4, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4)
SIZES = ["-Dchannels=1", "-Dsize=28", "-Dpatch=4", "-Ddim=64", "-Ddepth=4", "-Dheads=4", "-Dclasses=10"]
SPARSE = "-Dlast=@Sparse<heads = 4, count = 3>"


def random_model(seed, **options):
    """timm's model, every parameter of it random: its own biases are zeros, and its norms ones."""
    model = VisionTransformer(**SMALL | {"img_size": 28} | options).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=draw) * (0.05 if p.dim() > 1 else 0.2) + (1 if "norm" in name and "weight" in name else 0))
    return model


class Init:
    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.programs, self.sets = {}, {}

    def program(self, name, *options, sizes=SIZES):
        path = self.folder / f"{name}.moe"
        if not path.exists():
            subprocess.run([self.binaries / "moec", "compile", MODEL, "-o", path, *sizes, *options], check=True, capture_output=True)
        return path

    def images(self, size=28):
        """A set of forty images, of ten classes."""
        folder = self.folder / f"images-{size}"
        if not folder.exists():
            folder.mkdir()
            pixels = np.random.default_rng(size)
            for part, count in (("train", 30), ("t10k", 10)):
                (folder / f"{part}-images-idx3-ubyte").write_bytes(
                    struct.pack(">IIII", 0x803, count, size, size) + pixels.integers(0, 256, (count, size, size), dtype=np.uint8).tobytes())
                (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count)))
        return folder

    def save(self, name, tensors):
        path = self.folder / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        return path

    def command(self, program, out, *more, size=28, steps=0):
        return [str(a) for a in (self.binaries / "moert", "train", program, "--out", self.folder / out, "--steps", steps, "--set",
                                 f"data.path={self.images(size)}", "--set", "data.angles=[0,10]", "--set", "train.batch_per_domain=4", *more)]

    def train(self, program, out, *more, **options):
        shutil.rmtree(self.folder / out, ignore_errors=True)
        done = subprocess.run(self.command(program, out, *more, **options), capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout

    def refused(self, program, *more, code=1, texts=(), **options):
        shutil.rmtree(self.folder / "refused", ignore_errors=True)
        done = subprocess.run(self.command(program, "refused", *more, **options), capture_output=True, text=True)
        assert done.returncode == code, done
        for text in texts:
            assert text in done.stderr, (text, done.stderr)
        assert not (self.folder / "refused").exists(), "a run that is refused leaves no folder"

    def tensors(self, out):
        return load_file(self.folder / out / "last/model.safetensors")

    def logits(self, program, out, image):
        np.save(self.folder / "image.npy", image.numpy())
        subprocess.run([self.binaries / "moert", "infer", program, "--checkpoint", self.folder / out / "last", "--input",
                        f"image=@{self.folder}/image.npy", "--output", f"logits=@{self.folder}/logits.npy"], check=True, capture_output=True)
        return torch.from_numpy(np.load(self.folder / "logits.npy"))

    # --- checks ---

    def same_logits(self):
        """timm's weights into a program and back: strictly the same tensors, and the same scores."""
        self.round_trip(random_model(1), self.program("dense"), "dense", 28)

    def round_trip(self, model, program, out, size):
        weights = self.save(out, model.state_dict())
        said = self.train(program, out, "--init", weights, size=size)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert f"weights from {weights} (SHA-256 {digest}):" in said and f"loaded ({len(model.state_dict())}):" in said, said
        assert json.loads((self.folder / out / "last/state.json").read_text())["init"] == {"file": str(weights), "sha256": digest}
        again = VisionTransformer(**SMALL | {"img_size": 28}) if size == 28 else timm.create_model("vit_small_patch16_224", in_chans=1, num_classes=10)
        again.load_state_dict(self.tensors(out), strict=True)
        for name, p in model.state_dict().items():
            assert torch.equal(p, again.state_dict()[name]), name
        image = torch.rand((3, 1, size, size), generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            expected = again.eval()((image - 0.5) / 0.5)
        found = self.logits(program, out, image)
        error = ((found - expected).abs().max() / expected.abs().max()).item()
        assert error <= 1e-5, error
        print(f"logits agree to {error:.1e} of the largest")


CHECKS = [name for name, value in vars(Init).items() if callable(value) and value.__doc__ and name[0] != "_" and name != "images"]


def main():
    init = Init(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    for name in sys.argv[3:] or CHECKS:
        getattr(init, name)()
        print(f"{name}: ok")


if __name__ == "__main__":
    main()
