#!/usr/bin/env bash
# Everything that the test run takes a sample of, in full: every preset built and its tests run, every fuzz target, every
# change of a damaged program, every failing system call, and mutations of the sources. Takes hours on two cores.
#   test/nightly.sh [--minutes M] [STEP ...]     all steps unless some are named; M minutes for each fuzz target (10)
#   test/nightly.sh --list                       the steps
# Prints a table of the steps with their time and result, and keeps what each printed in build-nightly/STEP.log. Goes on after
# a step that fails, and ends with 1 if any did.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
minutes=10
python=${XDG_CACHE_HOME:-$HOME/.cache}/moe/venv/bin/python
logs=$root/build-nightly

# Builds a preset's targets (all of them where none is named) in its folder.
build() {
  local preset=$1; shift
  local folder=build-$preset
  [[ $preset == release ]] && folder=build
  cmake --preset "$preset" >/dev/null && cmake --build "$folder" ${1:+--target "$@"}
}

emulator_seeds="11 12 13" # beside those of test/run.sh
step_tests() { test/run.sh; }
step_isolated() { MOERT_DEVICE=isolated /usr/lib/llvm-22/bin/lit --param build=build -j2 test/end-to-end test/runtime; }
step_emulator() {
  for seed in $emulator_seeds; do
    MOE_EMULATOR_SEED=$seed "$python" test/end-to-end/emulator.py build/bin examples/models build/nightly-emulator \
      linear hmoe_28 mnist_cnn checked memory tf32 || return
  done
}
step_gpu_cases() {
  rm -rf "$logs/cases" && build/bin/moec check-ops --dialect flow --seed "$(date +%j)000" --cases 40 --write "$logs/cases" \
    --target=cpu:x86-64-v3 --target=emulator:sm_90a &&
    build/bin/gpu-cases "$logs/cases" --device cpu && build/bin/gpu-cases "$logs/cases" --device emulator
}
step_gpu_pack() { python3 test/gpu/pack.py build "$logs/gpu.tar.gz"; }
step_asan() { build asan && ctest --test-dir build-asan --no-tests=error --output-on-failure; }
step_ubsan() { build ubsan && ctest --test-dir build-ubsan --no-tests=error --output-on-failure; }
step_tsan() { build tsan && ctest --test-dir build-tsan --no-tests=error --output-on-failure; }
step_compiler_asan() {
  # LLVM's allocators poison memory in instrumented code alone, which LLVM itself is not.
  build compiler-asan && ASAN_OPTIONS=allow_user_poisoning=0 ctest --test-dir build-compiler-asan --no-tests=error \
    --output-on-failure --timeout 7200 -E '^lit'
}
step_damage() { build/bin/damage-test --all; }
step_shapes() { build/bin/shape-test --seed "$(date +%j)" --cases 3000; }
step_shapes_emulated() {
  build/bin/shape-test --seed "$(date +%j)" --cases 1500 --target emulator &&
    build/bin/shape-test --seed "$(date +%j)" --cases 600 --target emulator --precision tf32
}
step_models() { build/bin/model-test --seed "$(date +%j)" --cases 400 --coverage 400; }
step_edits() {
  PATH=$root/build/bin:$PATH python3 test/lsp/inputs/edits.py "$root" "$(date +%j)" 100000
}
step_ops() { build/bin/moec check-ops --dialect flow --seed "$(date +%j)000" --cases 500; }
step_pairs() { build/bin/pair-test --all --seed "$(date +%j)"; }
step_kills() {
  "$python" test/end-to-end/runs.py build/bin examples/models/hmoe_28.mlir "$logs/kills" kills --kills 30 --steps 120
}
step_failing_calls() { "$python" test/end-to-end/failing_calls.py build/bin "$logs/failing_calls" --all; }
step_failing_driver() { "$python" test/end-to-end/failing_driver.py build/bin "$logs/failing_driver" --all; }
step_program_fuzz() {
  build fuzz program-fuzz && mkdir -p "$logs/corpus/program" &&
    for model in linear mnist_cnn; do build/bin/moec compile examples/models/$model.mlir -o "$logs/corpus/program/$model.moe" || return 1; done &&
    build-fuzz/bin/program-fuzz -max_total_time=$((minutes * 60)) -rss_limit_mb=4096 -artifact_prefix="$logs/" "$logs/corpus/program"
}
step_races() { build/bin/race-test --seed "$(date +%j)00000" --cases 20000; }
step_readers() { build/bin/reader-test --seed "$(date +%j)" --cases 20000; }
step_readers_fuzz() {
  build fuzz readers-fuzz reader-test && test/fuzz/readers/run.sh build-fuzz $((minutes * 60)) "$logs/corpus/readers"
}
step_texts() { build/bin/text-test --seed "$(date +%j)" --cases 200000; }
step_text_fuzz() {
  build fuzz text-fuzz && mkdir -p "$logs/corpus/text" && "$python" test/fuzz/text/corpus.py "$logs/corpus/text" "$logs/corpus/words.dict" &&
    ASAN_OPTIONS=allow_user_poisoning=0 build-fuzz/bin/text-fuzz -max_total_time=$((minutes * 60)) -rss_limit_mb=8192 -timeout=60 \
      -dict="$logs/corpus/words.dict" -artifact_prefix="$logs/" "$logs/corpus/text"
}
step_long_sums() { build/bin/compiler-tests --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_*'; }
step_compile_work() { PATH=$root/build/bin:$PATH "$python" test/moec/compile_work.py --all; }
step_gradients() { "$python" test/witness/gradients.py build/bin --draws 8 --targets cpu,cpu:x86-64-v3,emulator:sm_90a; }
step_mutations() { python3 test/mutation/mutate.py; }

steps=($(declare -F | sed -n 's/^declare -f step_//p'))
# The ordinary tests first: they build what other steps run. Mutations last: they take longest.
steps=(tests $(printf '%s\n' "${steps[@]}" | grep -vx -e tests -e mutations) mutations)
chosen=()
while (($#)); do
  case $1 in
    --list) printf '%s\n' "${steps[@]}"; exit ;;
    --minutes) minutes=${2:?expected a number of minutes after --minutes}; shift ;;
    *) printf '%s\n' "${steps[@]}" | grep -qx -e "$1" || { echo "expected a step of '$0 --list', found '$1'" >&2; exit 2; }
       chosen+=("$1") ;;
  esac
  shift
done
((${#chosen[@]})) && steps=("${chosen[@]}")
.ci/install.sh test
mkdir -p "$logs"
echo "random tests take seeds of today, $(date +%j); the emulator runs in fast and checked mode, with seeds $emulator_seeds in step emulator"
failed=0
# What most steps run; `tests` builds it by itself.
if [[ " ${steps[*]} " != " tests "* ]]; then
  build release >"$logs/build.log" 2>&1 || { echo "the release preset does not build, see build-nightly/build.log" >&2; exit 1; }
fi
for step in "${steps[@]}"; do
  start=$SECONDS
  if "step_$step" >"$logs/$step.log" 2>&1; then result=passed; else result="FAILED, see build-nightly/$step.log"; failed=1; fi
  printf '%-16s %5d s  %s\n' "$step" $((SECONDS - start)) "$result"
done
exit $failed
