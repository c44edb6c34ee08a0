#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test. Ends with ctest's summary.
# Options after -- go to ctest: test/run.sh -- -R compiler-tests
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/install.sh test
[[ ${1:-} == -- ]] && shift
echo "configuring and building in build/"
cmake --preset release >/dev/null
cmake --build build
ctest --test-dir build --output-on-failure --timeout 900 -j "$(nproc)" "$@"
