#!/usr/bin/env bash
# Tests and measures a build on a machine with a GPU, from what test/gpu/pack.py has packed elsewhere.
#   run.sh [PART ...]            in the folder of an unpacked pack: all parts unless some are named
#   test/gpu/run.sh [PART ...]   in the repository: unpacks $MOE_GPU_PACK, or build/gpu.tar.gz, first
#   run.sh --list                the parts
# Results go to the folder $OUT (gpu-results here, unless it is set), as they are found: PART.log, and a line a part in summary.txt.
# A part takes at most four minutes. One that cannot run says why, and the others go on. Ends with 1 where a part failed, or none ran.
# $MOE_GPU_DEVICE names another device of moert than `cuda`: the test of this script runs the parts ops and models on an emulator.
set -uo pipefail
LIMIT=240
NOT_RUN=77 # the exit status of a part that this machine cannot run
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=${MOE_GPU_DEVICE:-cuda}
# A model and its batch: what sanitizers run in their time, and what is timed.
SANITIZED=("linear 2x4" "mnist_cnn 1x1" "hmoe_28 1x1")
BATCH=5x64 IMAGES=320 STEPS=50

cannot() { echo "not run: $*"; exit $NOT_RUN; }

# moert's own message says what is missing: the driver, a GPU, or code for it.
need_gpu() {
  [[ $device == cuda ]] || return 0
  local said
  nvidia-smi -L 2>/dev/null | grep -q '^GPU' && return 0
  said=$(bin/moert bench programs/linear.moe --device cuda --batch 1x1 --steps 1 2>&1 >/dev/null) && return 0
  cannot "no GPU: ${said#moert: error: }"
}
need_nvidia() { [[ $device == cuda ]] || cannot "only on a GPU of NVIDIA, found the device '$device'"; need_gpu; }
need() { command -v "$1" >/dev/null || cannot "expected the program '$1' ($2), found none"; }
models() { ls programs | sed 's/\.moe$//'; }
clocks() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_event_reasons.active --format=csv ||
    nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv
}

part_ops() { need_gpu; bin/gpu-cases cases --device "$device"; }
part_models() { need_gpu; python3 models.py . --device "$device"; }

sanitize() {
  need_nvidia
  need compute-sanitizer "of the CUDA toolkit"
  local failed=0 row model batch
  for row in "${SANITIZED[@]}"; do
    read -r model batch <<<"$row"
    [[ -e programs/$model.moe ]] || continue
    echo "$1 of a step of $model at $batch"
    # 99: the tool's word for findings, unlike any exit status of moert.
    compute-sanitizer --tool "$1" --error-exitcode 99 bin/moert bench "programs/$model.moe" --device cuda --batch "$batch" --steps 1 ||
      { echo "FAILED: $1 of $model ended with $?"; failed=1; }
  done
  return $failed
}
part_memcheck() { sanitize memcheck; }
part_racecheck() { sanitize racecheck; }
part_initcheck() { sanitize initcheck; }
part_synccheck() { sanitize synccheck; }

part_timings() {
  need_nvidia
  local model failed=0
  echo "clocks before"; clocks
  for model in $(models); do
    bin/moert bench "programs/$model.moe" --device cuda --batch $BATCH --steps $STEPS --json || failed=1
  done
  echo "clocks after"; clocks
  return $failed
}

# PyTorch's step in these variants, with products in f32 and in tf32.
pytorch() {
  need_nvidia
  python3 -c 'import sys, safetensors, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
    cannot "expected a python3 with safetensors and a PyTorch that finds the GPU, found none"
  local model precision variant failed=0
  echo "clocks before"; clocks
  for model in mnist_cnn hmoe_28; do
    [[ -e weights/$model.safetensors ]] || continue
    for variant; do
      for precision in f32 tf32; do
        echo "PyTorch, $model, $variant, $precision"
        python3 bench/torch_step.py --model $model --params weights/$model.safetensors --device cuda --variant "$variant" \
          --precision $precision --batch $IMAGES --steps $STEPS --warmup 10 || failed=1
      done
    done
  done
  echo "clocks after"; clocks
  return $failed
}
part_torch() { pytorch eager channels_last; }
part_torch_compiled() { pytorch compile compile_graphs; }

# Each kernel's time by the GPU's own counters, beside docs/measurements/cuda.md's limits.
part_kernels() {
  need_nvidia
  need ncu "Nsight Compute, of the CUDA toolkit"
  [[ -e programs/hmoe_28.moe ]] || cannot "the pack has no hmoe_28"
  ncu --csv --page raw --clock-control none --graph-profiling node --metrics gpu__time_duration.sum,dram__bytes.sum \
    bin/moert bench programs/hmoe_28.moe --device cuda --batch $BATCH --steps 1
}

parts=(ops models memcheck racecheck initcheck synccheck timings torch torch_compiled kernels)
case ${1-} in
  --list) printf '%s\n' "${parts[@]}"; exit ;;
  --part) "part_$2"; exit ;; # by this script itself, so that a part can be stopped
esac
for part; do
  printf '%s\n' "${parts[@]}" | grep -qx -e "$part" || { echo "expected a part of '$0 --list', found '$part'" >&2; exit 2; }
done
(($#)) && parts=("$@")

OUT=$(realpath -m "${OUT:-gpu-results}")
mkdir -p "$OUT" || exit 1
if [[ ! -d $here/programs ]]; then # in the repository
  pack=$(realpath -m "${MOE_GPU_PACK:-$here/../../build/gpu.tar.gz}")
  [[ -e $pack ]] || { echo "expected a pack at $pack, found none; make one: test/gpu/pack.py build build/gpu.tar.gz" >&2; exit 1; }
  scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
  tar xzf "$pack" -C "$scratch" || exit 1
  here=$scratch/moe-gpu
fi
cd "$here" || exit 1

# The sanitizers share a file, since some places return few.
log_of() { [[ $1 == *check ]] && echo sanitizers.log || echo "$1.log"; }
: >"$OUT/summary.txt"
for part in "${parts[@]}"; do rm -f "$OUT/$(log_of "$part")"; done
failed=0 ran=0
for part in "${parts[@]}"; do
  start=$SECONDS
  log=$(log_of "$part")
  echo "== $part" | tee -a "$OUT/$log"
  timeout --kill-after=10 $LIMIT bash ./run.sh --part "$part" 2>&1 | tee -a "$OUT/$log"
  status=${PIPESTATUS[0]}
  case $status in
    0) result=passed; ran=1 ;;
    "$NOT_RUN") result="not run: $(grep '^not run: ' "$OUT/$log" | tail -n 1 | cut -c 10-)" ;;
    124 | 137) result="FAILED: stopped after $LIMIT s"; failed=1 ran=1 ;;
    *) result="FAILED, see $log"; failed=1 ran=1 ;;
  esac
  printf '%-14s %4d s  %s\n' "$part" $((SECONDS - start)) "$result" >>"$OUT/summary.txt"
done
cat "$OUT/summary.txt"
((failed == 0 && ran == 1))
