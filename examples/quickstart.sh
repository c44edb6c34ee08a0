#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained mixture of experts: installs, builds, compiles examples/models/hmoe_28.mlir,
# trains it on RotatedFashionMNIST for a few minutes, evaluates it and classifies one image.
#   examples/quickstart.sh [steps]      (default 300)
set -euo pipefail
cd "$(dirname "$0")/.."
steps=${1:-300}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

.ci/install.sh build
if [[ ! -x build/bin/moec || ! -x build/bin/moert ]]; then
  say "building (some minutes the first time)"
  cmake --preset release -DMOE_TESTS=OFF >/dev/null
  cmake --build build
fi
export PATH="$PWD/build/bin:$PATH"
mkdir -p runs

say "moec compile examples/models/hmoe_28.mlir -o runs/hmoe.moe"
moec compile examples/models/hmoe_28.mlir -o runs/hmoe.moe
moec inspect runs/hmoe.moe --batch 5x64

out=runs/quickstart-$(date +%Y%m%d-%H%M%S)
say "moert train runs/hmoe.moe --recipe examples/recipes/rotated_fashion_mnist.toml --steps $steps --out $out"
moert train runs/hmoe.moe --recipe examples/recipes/rotated_fashion_mnist.toml --steps "$steps" --out "$out"

say "moert eval runs/hmoe.moe --checkpoint $out/best"
moert eval runs/hmoe.moe --checkpoint "$out/best"

say "moert infer runs/hmoe.moe --checkpoint $out/best --input image=@examples/data/shirt.png"
moert infer runs/hmoe.moe --checkpoint "$out/best" --input image=@examples/data/shirt.png
