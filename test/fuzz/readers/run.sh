#!/usr/bin/env bash
# Searches with libFuzzer for a while in each of the runtime's readers, from the seeds and what earlier runs found:
#   cmake --preset fuzz && cmake --build build-fuzz --target readers-fuzz reader-test
#   test/fuzz/readers/run.sh build-fuzz 180 [CORPUS]      180 seconds a reader
# Ends with 1 at the first finding, whose input it names.
set -euo pipefail
build=$(realpath "${1:?give the folder of the fuzz build}") seconds=${2:-180} corpus=${3:-$build/corpus-readers}
mkdir -p "$corpus"
"$build/bin/reader-test" --write "$corpus"
for words in "$corpus"/*.dict; do
  reader=$(basename "$words" .dict)
  echo "$reader: $seconds s"
  "$build/bin/readers-fuzz" "--reader=$reader" -dict="$words" -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=256 \
    -rss_limit_mb=1024 -artifact_prefix="$corpus/$reader-" -print_final_stats=1 "$corpus/$reader" > "$corpus/$reader.log" 2>&1 ||
    { tail -40 "$corpus/$reader.log"; exit 1; }
  grep -E "stat::(number_of_executed_units|new_units_added)" "$corpus/$reader.log"
done
