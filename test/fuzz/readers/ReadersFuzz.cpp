// libFuzzer's target for the readers, one at a time. Built by the `fuzz` preset; run.sh beside it runs them
// all:
//   build-fuzz/bin/readers-fuzz --reader=recipe -max_total_time=180 CORPUS
#include "test/fuzz/readers/Readers.h"

#include <cstdio>
#include <cstdlib>

using namespace moert::test;

static const Reader *chosen = nullptr;

extern "C" int LLVMFuzzerInitialize(int *count, char ***arguments) {
  constexpr std::string_view option = "--reader=";
  for (int i = 1; i < *count; ++i) // libFuzzer passes over what begins with two dashes
    if (std::string_view argument((*arguments)[i]); argument.starts_with(option))
      chosen = readerOf(argument.substr(option.size()));
  if (chosen)
    return 0;
  fprintf(stderr, "error: expected --reader= and one of:");
  for (const Reader &reader : readers())
    fprintf(stderr, " %s", reader.name);
  fprintf(stderr, "\n");
  exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  chosen->probe({reinterpret_cast<const char *>(data), size});
  return 0;
}
