#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test; --fast leaves out those that are labelled slow. Ends with
# ctest's summary, and fails where no test ran.
# Options after -- go to ctest: test/run.sh -- -R compiler-tests
set -euo pipefail
cd "$(dirname "$0")/.."
selection=()
while (($#)); do
  case $1 in
    --fast) selection=(-LE slow) ;;
    --) shift; break ;;
    *) echo "usage: test/run.sh [--fast] [-- CTEST-OPTIONS], found '$1'" >&2; exit 2 ;;
  esac
  shift
done
.ci/install.sh test
echo "configuring and building in build/"
# The preset decides every option of the project, whatever an earlier command left in build/. A folder that CMake cannot
# configure again (another generator, a copy of another clone's) is configured afresh.
cmake --preset release >/dev/null 2>&1 || cmake --fresh --preset release >/dev/null
cmake --build build
# docs/architecture.md says which tests these are.
echo "the emulator runs ops and random models in checked mode (seed 0), shapes and races in both modes with several seeds,"
if ((${#selection[@]})); then
  echo "and training of linear in fast mode (seeds 0, 7 and 8, copies late and early)"
else
  echo "training of linear, mnist_cnn and hmoe_28 in fast mode (seeds 0, 3, 7 and 8, copies late and early), and in checked mode (seed 5)"
fi
ctest --test-dir build --no-tests=error --output-on-failure --timeout 900 -j "$(nproc)" "${selection[@]}" "$@"
