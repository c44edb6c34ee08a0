"""The vision transformers of examples/models beside timm's models of the same sizes.

    timm_models.py <folder of moec and moert> [--models vit_28,vit_small_patch16_224,...] [--targets cpu,...] [--rows 2] [--draws 2] [--report]

Both sides have the same random parameters, which timm's model loads strictly: the names and shapes of a program's parameters are
exactly those of its state dict. Pixels are random; ours are from 0 to 1, timm's are standardised. For every model, the scores and the
exposed features must differ from timm's in f32 by at most 1e-5 of the largest value. For the models in GRADIENTS, labels are random
as well, and the loss and all its gradients are held against timm's with the tolerances of gradients.py: the evaluator and timm in f64
agree on what is computed, and compiled code is at most twice as far from that as timm in f32.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gradients import FLOOR, ROOT, error, load, run  # noqa: E402

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LISTS = {name: str(list(numbers)) for name, numbers in zip(("mean", "deviation"), IMAGENET)}   # as -D takes them
HALF = (0.5,), (0.5,)
SMALL = {"embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 7}
SMALL_OPTIONS = {"dim": 24, "depth": 3, "heads": 3, "classes": 7}

# Our text, its parameters, the pixels' mean and deviation, and how timm's model is made.
MODELS = {
    "vit_28": ("vit", {"channels": 1, "size": 28, "patch": 4, "dim": 64, "depth": 4, "heads": 4, "classes": 10}, HALF,
               lambda: VisionTransformer(28, 4, 1, 10, embed_dim=64, depth=4, num_heads=4)),
    "vit_64": ("vit", {"size": 64, "patch": 8, "dim": 48, "depth": 2, "heads": 3, "ratio": 2, "classes": 5}, HALF,
               lambda: VisionTransformer(64, 8, 3, 5, embed_dim=48, depth=2, num_heads=3, mlp_ratio=2)),
    "vit_64_colours": ("vit", {"size": 64, "patch": 8, "dim": 48, "depth": 2, "heads": 3, "ratio": 2, "classes": 5, **LISTS}, IMAGENET,
                       lambda: VisionTransformer(64, 8, 3, 5, embed_dim=48, depth=2, num_heads=3, mlp_ratio=2)),
    "dinov2_42": ("vit_dinov2", {"size": 42, **SMALL_OPTIONS}, IMAGENET, lambda: VisionTransformer(42, 14, init_values=1e-5, **SMALL)),
    "dinov2_reg_42": ("vit_dinov2_reg", {"size": 42, "registers": 2, **SMALL_OPTIONS}, IMAGENET,
                      lambda: VisionTransformer(42, 14, init_values=1e-5, reg_tokens=2, no_embed_class=True, **SMALL)),
    "vit_small_patch16_224": ("vit", {}, HALF, lambda: timm.create_model("vit_small_patch16_224")),
    "vit_base_patch16_224": ("vit", {"dim": 768, "heads": 12}, HALF, lambda: timm.create_model("vit_base_patch16_224")),
    "vit_small_patch14_dinov2": ("vit_dinov2", {"classes": 65}, IMAGENET, lambda: timm.create_model("vit_small_patch14_dinov2", num_classes=65)),
    "vit_small_patch14_reg4_dinov2": ("vit_dinov2_reg", {"classes": 65, "size": 224}, IMAGENET,
                                      lambda: timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=65, img_size=224)),
}
GRADIENTS = ("vit_28", "vit_64", "dinov2_42", "dinov2_reg_42")


def randomize(model, seed):
    """Random parameters at which no layer dies or saturates, layer scales included."""
    generator = torch.Generator().manual_seed(seed)
    for path, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        fan = value[0].numel() if value.ndim > 1 and "token" not in path and "embed" not in path else 1
        if value.ndim > 1:
            noise *= 1.2 / fan**0.5 if fan > 1 else 0.5
        else:
            noise = 0.2 * noise + (path.endswith(("norm.weight", "norm1.weight", "norm2.weight")) or path.endswith("gamma"))
        value.data = noise


def standardized(image, numbers):
    mean, deviation = (torch.tensor(each, dtype=image.dtype)[:, None, None] for each in numbers)
    return (image - mean) / deviation


def gradients(model, image, label, dtype):
    model = model.to(dtype).train()   # without dropout and drop path, training differs in nothing
    model.zero_grad()
    loss = F.cross_entropy(model(image.to(dtype)), label)
    loss.backward()
    return {"loss": loss.detach().numpy()} | {f"grad.{path}": value.grad.numpy().copy() for path, value in model.named_parameters()}


class Check:
    def __init__(self, binaries, name, target, folder, options):
        self.binaries, self.name, self.target, self.folder, self.options = binaries, name, target, folder, options
        self.text, self.defines, self.pixels, self.make = MODELS[name]
        self.text = ROOT / f"examples/models/{self.text}.mlir"
        # Which samples skip a branch is random, and cannot be the same on both sides.
        self.defines = [f"-D{key}={value}" for key, value in {**self.defines, "drop_path": 0}.items()]
        self.program = f"{folder}/p.moe"
        self.device = ["--device", target.split(":")[0]]
        run(binaries / "moec", "compile", self.text, *self.defines, "--gradients", "--target", target, "-o", self.program)
        self.failures = 0

    def say(self, bad, text):
        self.failures += bad
        if bad or self.options.report:
            print("FAIL" if bad else "ok  ", self.name, self.target, text, flush=True)

    def names(self, model):
        run_json = json.loads(run(self.binaries / "moec", "inspect", self.program, "--json"))
        ours = {each["path"]: tuple(each["shape"]) for each in run_json["parameters"]}
        theirs = {path: tuple(value.shape) for path, value in model.state_dict().items()}
        self.say(ours != theirs, f"parameters: of one side only {sorted(set(ours.items()) ^ set(theirs.items()))}")

    def inputs(self, seed, model, **arrays):
        safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{self.folder}/p.safetensors")
        command = ["--params", f"{self.folder}/p.safetensors"]
        for key, value in arrays.items():
            np.save(f"{self.folder}/{key}.npy", value)
            command += ["--input", f"{key}=@{self.folder}/{key}.npy"]
        return command

    def forward(self, seed):
        model = self.make().eval()
        randomize(model, seed)
        self.names(model)
        shape = (self.options.rows, model.patch_embed.proj.in_channels, *model.patch_embed.img_size)
        image = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        inputs = self.inputs(seed, model, image=image.numpy())
        run(self.binaries / "moert", "infer", self.program, *self.device, *inputs, "--output-folder", f"{self.folder}/forward")
        ours = load(f"{self.folder}/forward")
        with torch.no_grad():
            features = model.forward_features(standardized(image, self.pixels))
            theirs = {"features": features[:, 0].numpy(), "logits": model.forward_head(features).numpy()}
        for key, value in theirs.items():
            off = float(np.abs(ours[key] - value).max() / np.abs(value).max())
            self.say(not off <= 1e-5 or value.std() < 0.01, f"{key}: {off:.1e} of the largest value")

    def backward(self):
        errors = []
        for seed in range(self.options.draws):
            model = self.make()
            randomize(model, seed)
            generator = torch.Generator().manual_seed(seed)
            image = torch.rand((self.options.rows, model.patch_embed.proj.in_channels, *model.patch_embed.img_size), generator=generator)
            label = torch.randint(0, model.num_classes, (self.options.rows,), generator=generator)
            inputs = [*self.inputs(seed, model, image=image.numpy(), label=label.int().numpy()), "--entry", "gradients"]
            run(self.binaries / "moert", "infer", self.program, *self.device, *inputs, "--output-folder", f"{self.folder}/ours")
            run(self.binaries / "moec", "evaluate", self.text, *self.defines, "--gradients", *inputs, "--output-folder", f"{self.folder}/truth")
            ours, truth = load(f"{self.folder}/ours"), load(f"{self.folder}/truth")
            # The evaluator reads the numbers of the pixels as they are written, so timm's f64 does as well.
            sides = [ours] + [gradients(model, standardized(image.to(dtype), self.pixels), label, dtype) for dtype in (torch.float32, torch.float64)]
            errors.append({key: [error(side[key], truth[key]) for side in sides] for key in sides[1]})
        worst = 0, ""
        for key in sorted(errors[0]):
            mine, theirs, semantic = np.array([each[key] for each in errors]).T
            ratio = float(np.exp(np.log(np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR)).mean()))
            worst = max(worst, (ratio, key))
            self.say(semantic.max() > 1e-9 or not ratio <= 2,
                     f"{key}: ratio {ratio:.2f}, ours {mine.max():.2e}, timm {theirs.max():.2e}, timm in f64 {semantic.max():.1e}")
        return f", {len(errors[0])} tensors of gradients, largest ratio {worst[0]:.2f} ({worst[1]})"


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("--models", default=",".join(MODELS))
    a.add_argument("--targets", default="cpu")
    a.add_argument("--rows", type=int, default=2)
    a.add_argument("--draws", type=int, default=2)
    a.add_argument("--report", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(2)
    failures = 0
    for name in a.models.split(","):
        for target in a.targets.split(","):
            with tempfile.TemporaryDirectory() as folder:
                check = Check(a.binaries.resolve(), name, target, folder, a)
                check.forward(0)
                more = check.backward() if name in GRADIENTS else ""
                print(f"{name} {target}: forward{more}: {check.failures} failures", flush=True)
                failures += check.failures
    sys.exit(1 if failures else 0)


main()
