"""The example's model against PyTorch: witness.py EXTRA MODEL. Compiles it with its gradients, draws parameters and images, and
compares outputs and every parameter's gradient: the evaluator's with PyTorch's in f64, the compiled program's within f32."""
import subprocess
import sys

import numpy
import torch
from safetensors.torch import save_file

extra, model = sys.argv[1:]
torch.manual_seed(3)
shapes = {"features.weight": (8, 1, 5, 5), "head.weight": (10, 224), "head.bias": (10,)}
values = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
image, label = torch.randn(6, 1, 28, 28), torch.randint(0, 10, (6,), dtype=torch.int32)
save_file(values, "w.safetensors")
numpy.save("image.npy", image.numpy())
numpy.save("label.npy", label.numpy())

leaves = {name: value.double().requires_grad_() for name, value in values.items()}
maps = torch.nn.functional.conv2d(image.double(), leaves["features.weight"], padding=2)
edges = maps - torch.roll(maps, 1, dims=3)
peaks = torch.logsumexp(torch.nn.functional.softsign(edges), dim=2)
logits = peaks.flatten(1) @ leaves["head.weight"].T + leaves["head.bias"]
torch.nn.functional.cross_entropy(logits, label.long()).backward()
expected = {f"grad.{name}": leaf.grad.numpy() for name, leaf in leaves.items()}

given = ["--params", "w.safetensors", "--input", "image=@image.npy", "--input", "label=@label.npy", "--entry", "gradients"]
subprocess.run(["moec", "compile", "--load", extra, model, "--gradients", "-o", "witness.moe"], check=True)
subprocess.run(["moert", "infer", "witness.moe", *given, "--output-folder", "compiled"], check=True, stdout=subprocess.DEVNULL)
subprocess.run(["moec", "evaluate", "--load", extra, model, "--gradients", *given, "--output-folder", "evaluated"], check=True,
               stdout=subprocess.DEVNULL)
wrong = 0
for name, gradient in expected.items():
    for folder, tolerance in (("evaluated", 1e-12), ("compiled", 2e-5)):
        found = numpy.load(f"{folder}/{name}.npy")
        difference = abs(found - gradient).max() / abs(gradient).max()
        if found.shape != gradient.shape or not difference <= tolerance:
            print(f"{folder} {name}: expected PyTorch's within {tolerance}, found a difference of {difference}", file=sys.stderr)
            wrong += 1
print(f"{len(expected)} gradients")
sys.exit(1 if wrong else 0)
