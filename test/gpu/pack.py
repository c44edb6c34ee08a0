"""Packs all that a machine with a GPU needs to test this build, where neither the compiler nor MLIR nor a network is.

    test/gpu/pack.py BUILD OUT.tar.gz [--architecture sm_90a] [--models hmoe_28,...] [--cases 8] [--seed 1000] [--op flow.add ...]

The machine needs NVIDIA's driver for CUDA 13, and for comparisons of speed PyTorch. There: unpack, and start run.sh (README.md). In
the pack are moert and gpu-cases; the example models for CPU, GPU and emulator, in f32 and in tf32, and what the emulator and the CPU give for
them; cases of every op with the values and bounds of its evaluator; PyTorch's step; and the scripts of this folder. Takes minutes: every case
is compiled, and the models run on the emulator here. Fails where the pack has more than 64 MiB, packed or unpacked.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "test/end-to-end"))
from runs import make_set  # noqa: E402

LIMIT = 64 << 20
CPU = "cpu:x86-64-v3"
MODELS = ("linear", "mnist_cnn", "hmoe_28")
# What is copied as it is: from the repository, to the pack.
SCRIPTS = {"test/gpu/run.sh": "run.sh", "test/gpu/models.py": "models.py", "test/gpu/README.md": "README.md",
           "test/bench/torch_step.py": "bench/torch_step.py", "test/witness/models.py": "witness/models.py"}


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


def fill(pack, a):
    """Everything but what the models give."""
    binaries = a.build / "bin"
    (pack / "bin").mkdir()
    for name in ("moert", "gpu-cases"):
        shutil.copy2(binaries / name, pack / "bin" / name)
    for source, target in SCRIPTS.items():
        (pack / target).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / source, pack / target)
    (pack / "architecture.txt").write_text(a.architecture + "\n")
    (pack / "programs").mkdir()
    (pack / "weights").mkdir()
    make_set(pack / "images")
    for model in a.models:
        program = pack / f"programs/{model}.moe"
        for name, precision in ((model, "f32"), (f"{model}-tf32", "tf32")):
            run(binaries / "moec", "compile", f"examples/models/{model}.mlir", f"--target={CPU}", f"--target=cuda:{a.architecture}",
                f"--target=emulator:{a.architecture}", f"--precision={precision}", "-o", pack / f"programs/{name}.moe", cwd=ROOT)
        with tempfile.TemporaryDirectory() as scratch:  # PyTorch's step begins at the same parameters
            run(binaries / "moert", "train", program, "--out", f"{scratch}/run", "--steps", 0, "--set", f"data.path={pack}/images",
                "--device", "cpu", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shutil.copy2(f"{scratch}/run/last/model.safetensors", pack / f"weights/{model}.safetensors")
    ops = [word for op in a.op or () for word in ("--op", op)]
    run(binaries / "moec", "check-ops", "--dialect", "flow", *ops, "--write", pack / "cases", f"--target={CPU}",
        f"--target=cuda:{a.architecture}", "--cases", a.cases, "--seed", a.seed, stdout=subprocess.DEVNULL)


def expect(pack, a):
    """What the models give on the emulator and on the CPU."""
    emulator = a.build / "lib/libmoe-emulator.so"
    (pack / "lib").mkdir()
    shutil.copy2(emulator, pack / "lib")
    for device in ("emulator", "cpu"):
        run(sys.executable, pack / "models.py", pack, "--device", device, "--write", pack / f"expected-{device}.json")
    shutil.rmtree(pack / "lib")


def unpacked(pack):
    return sum(path.stat().st_size for path in pack.rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path, help="a build with moec, moert, gpu-cases and the emulator")
    parser.add_argument("out", type=pathlib.Path, help="the pack to write: OUT.tar.gz")
    parser.add_argument("--architecture", default="sm_90a", help="of the GPU: sm_80, sm_90a or sm_100a")
    parser.add_argument("--models", default=",".join(MODELS), help="of examples/models")
    parser.add_argument("--cases", type=int, default=8, help="of each op")
    parser.add_argument("--seed", type=int, default=1000, help="of the first case")
    parser.add_argument("--op", action="append", help="only the cases of this op: flow.add")
    a = parser.parse_args()
    a.models, a.build, a.out = a.models.split(","), a.build.resolve(), a.out.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        pack = pathlib.Path(scratch) / "moe-gpu"
        pack.mkdir()
        fill(pack, a)
        expect(pack, a)
        whole = unpacked(pack)
        with tarfile.open(a.out, "w:gz") as archive:
            archive.add(pack, "moe-gpu")
    packed = a.out.stat().st_size
    print(f"{a.out.name}: {packed / (1 << 20):.1f} MiB, {whole / (1 << 20):.1f} MiB unpacked, for {a.architecture}")
    if max(packed, whole) > LIMIT:
        a.out.unlink()
        sys.exit(f"expected a pack of at most {LIMIT >> 20} MiB, found {max(packed, whole) / (1 << 20):.1f}; take fewer --cases")


if __name__ == "__main__":
    main()
