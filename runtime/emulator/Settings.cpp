// Reads the environment.
#include "runtime/emulator/Settings.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sched.h>
#include <string_view>
#include <unistd.h>

namespace moe::emu {

namespace {

/// Each thread of the host has a stack for each thread of a block, which may be 1024, and a stack and its guard are two mappings,
/// of which Linux gives a process 65530 unless it is told otherwise.
constexpr uint64_t kMostThreads = 24;
constexpr uint64_t kMostMebibytes = 1 << 30;

constexpr Architecture kArchitectures[] = {
    {"sm_90a", 9, 0, 227 << 10}, {"sm_80", 8, 0, 163 << 10}, {"sm_100a", 10, 0, 227 << 10}};

std::string_view variable(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

Finding wrong(const char *name, const char *expected) {
  return {CUDA_ERROR_INVALID_VALUE,
          concat("expected ", expected, " as ", name, ", found '", std::string(variable(name)), "'")};
}

bool readNumber(std::string_view text, uint64_t &number) {
  if (text.empty())
    return true; // as it is
  char *end = nullptr;
  errno = 0;
  number = strtoull(text.data(), &end, 10);
  return *end == 0 && text[0] >= '0' && text[0] <= '9' && errno == 0;
}

} // namespace

Findings Settings::read(Settings &settings) {
  settings = {};
  const std::string_view mode = variable("MOE_EMULATOR");
  if (!mode.empty() && mode != "fast" && mode != "checked")
    return wrong("MOE_EMULATOR", "'fast' or 'checked'");
  settings.checked = mode == "checked";
  if (!readNumber(variable("MOE_EMULATOR_SEED"), settings.seed))
    return wrong("MOE_EMULATOR_SEED", "a number below 2^64");
  const std::string_view copies = variable("MOE_EMULATOR_COPIES");
  if (!copies.empty() && copies != "late" && copies != "early")
    return wrong("MOE_EMULATOR_COPIES", "'late' or 'early'");
  settings.lateCopies = copies != "early";
  cpu_set_t cpus;
  uint64_t threads = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? uint64_t(CPU_COUNT(&cpus)) : 1;
  threads = std::min(threads, kMostThreads);
  if (!readNumber(variable("MOE_EMULATOR_THREADS"), threads) || threads < 1 || threads > kMostThreads)
    return wrong("MOE_EMULATOR_THREADS", concat("1 to ", kMostThreads).c_str());
  settings.threads = int(threads);
  const std::string_view architecture = variable("MOE_EMULATOR_ARCHITECTURE");
  for (const Architecture &each : kArchitectures)
    if (!settings.architecture && (architecture.empty() || architecture == each.name))
      settings.architecture = &each;
  if (!settings.architecture)
    return wrong("MOE_EMULATOR_ARCHITECTURE", "'sm_80', 'sm_90a' or 'sm_100a'");
  uint64_t mebibytes = (uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE)) / 2) >> 20;
  if (!readNumber(variable("MOE_EMULATOR_MEMORY"), mebibytes) || mebibytes < 1 || mebibytes > kMostMebibytes)
    return wrong("MOE_EMULATOR_MEMORY", concat("1 to ", kMostMebibytes, " MiB").c_str());
  settings.memory = mebibytes << 20;
  if (!readNumber(variable("MOE_EMULATOR_FAIL_CALL"), settings.failCall))
    return wrong("MOE_EMULATOR_FAIL_CALL", "the number of a call");
  if (!readNumber(variable("MOE_EMULATOR_FAIL_KERNEL"), settings.failKernel))
    return wrong("MOE_EMULATOR_FAIL_KERNEL", "the number of a kernel");
  return {};
}

} // namespace moe::emu
