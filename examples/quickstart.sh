#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained mixture of experts: installs, builds, compiles examples/models/hmoe_28.mlir,
# trains it on RotatedFashionMNIST for a few minutes, evaluates it and classifies one image. Needs root or sudo, and 2.2 GB
# of disk.
#   examples/quickstart.sh [steps]      (default 300)
set -euo pipefail
cd "$(dirname "$0")/.."
steps=${1:-300}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "step 1 of 3: packages (300 MB to download, 2 GB on disk, a minute or two)"
.ci/install.sh build
say "step 2 of 3: building (5 to 15 minutes on two cores, seconds where it is built)"
# A folder that test/run.sh has configured keeps its tests.
tests=OFF
grep -qs '^MOE_TESTS:BOOL=ON' build/CMakeCache.txt && tests=ON
cmake --preset release -DMOE_TESTS=$tests >/dev/null 2>&1 || cmake --fresh --preset release -DMOE_TESTS=$tests >/dev/null
cmake --build build --target moec moert
export PATH="$PWD/build/bin:$PATH"
mkdir -p runs

say "step 3 of 3: compile, train $steps steps, evaluate, infer (a few minutes)"
say "moec compile examples/models/hmoe_28.mlir -o runs/hmoe.moe"
moec compile examples/models/hmoe_28.mlir -o runs/hmoe.moe
moec inspect runs/hmoe.moe --batch 5x64

recipe=examples/recipes/rotated_fashion_mnist.toml
out=runs/quickstart-$(date +%Y%m%d-%H%M%S)
say "moert train runs/hmoe.moe --recipe $recipe --steps $steps --out $out"
moert train runs/hmoe.moe --recipe "$recipe" --steps "$steps" --out "$out"

say "moert eval runs/hmoe.moe --checkpoint $out/best"
moert eval runs/hmoe.moe --checkpoint "$out/best"

say "moert infer runs/hmoe.moe --checkpoint $out/best --input image=@examples/data/shirt.png"
moert infer runs/hmoe.moe --checkpoint "$out/best" --input image=@examples/data/shirt.png

say "done"
cat <<END
The image is a shirt, class 6. Fashion-MNIST has 0 T-shirt/top, 1 Trouser, 2 Pullover, 3 Dress, 4 Coat, 5 Sandal, 6 Shirt,
7 Sneaker, 8 Bag, 9 Ankle boot.

The run is in $out: metrics.jsonl, recipe.toml, and the checkpoints last and best. Go on with it:
  cd '$PWD'; export PATH=\$PWD/build/bin:\$PATH
  moert train runs/hmoe.moe --out $out --resume --steps $((steps * 2))
Or try next, with more in README.md and docs/recipe.md:
  moert eval runs/hmoe.moe --checkpoint $out/best --set eval.images=0
  moert train runs/hmoe.moe --recipe $recipe --set 'data.held_out=[5]' --steps $steps --out runs/held-out-5
  moec compile examples/models/hmoe_28.mlir -Dexperts=3 -o runs/hmoe_3.moe
  moert bench runs/hmoe.moe --entry train --batch 5x64 --profile
END
