"""lit over the texts below test/: `build/bin` and LLVM's tools are on the path, `%root` is the repository.

Run all of it by `ninja -C build check-lit` or ctest; one folder by
`/usr/lib/llvm-22/bin/lit --param build=build -v test/language`; `--param llvm=PREFIX` where LLVM lies elsewhere. A text that
takes more than a few seconds says `REQUIRES: slow`: `--param part=fast` leaves it out, `--param part=slow` runs only those.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lit_part import Part  # a module of its own, since lit hands the format to other processes

config.name = "moe"
config.test_format = Part(lit_config.params.get("part", "all"))
config.available_features.add("slow")
config.suffixes = [".mlir", ".test"]
config.excludes = ["inputs", "unit", "bench"]
config.test_source_root = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(config.test_source_root)
build = os.path.abspath(lit_config.params.get("build", os.path.join(root, "build")))
llvm = lit_config.params.get("llvm", "/usr/lib/llvm-22")
config.test_exec_root = os.path.join(build, "test", "lit")
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(build, "bin"), os.path.join(llvm, "bin"), os.environ.get("PATH", "")])
if "MOERT_DEVICE" in os.environ:  # the device of every moert that a test does not give another one
    config.environment["MOERT_DEVICE"] = os.environ["MOERT_DEVICE"]
config.substitutions.append(("%root", root))
config.substitutions.append(("%build", build))
config.substitutions.append(("%llvm_include", os.path.join(llvm, "include")))
# The witnesses' environment, made by .ci/install.sh test.
cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
config.substitutions.append(("%python", os.path.join(cache, "moe", "venv", "bin", "python")))
# NVIDIA's assembler, where the compiler finds it by itself.
toolkit = os.environ.get("CUDA_HOME") or "/usr/local/cuda"
config.environment["CUDA_HOME"] = toolkit
if any(os.path.exists(os.path.join(toolkit, place)) for place in
       ("lib64/libnvJitLink.so.13", "lib/libnvJitLink.so.13", "lib64/libnvJitLink.so.12", "lib/libnvJitLink.so.12", "bin/ptxas")):
    config.available_features.add("cuda-assembler")
if os.path.exists("/dev/nvidiactl"):
    config.available_features.add("gpu")
for tool, feature in (("nvim", "neovim"), ("node", "node")):  # node only where it happens to be
    if shutil.which(tool):
        config.available_features.add(feature)
for tool in ("moec", "moe-opt", "moe-lsp", "moert", "gpu-cases"):
    if os.path.exists(os.path.join(build, "bin", tool)):
        config.available_features.add(tool)
