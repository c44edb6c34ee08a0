// The CPU targets. Features have two spellings, LLVM's and that of /proc/cpuinfo. A program records the
// second one, and the loader refuses a CPU that lacks one of the program's features.
#include "passes/host/CpuTarget.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/TargetParser/Host.h"
#include <algorithm>
#include <iterator>

namespace moe::host {

// The features of x86-64-v3 and v4 beyond the baseline, as the x86-64 psABI defines them.
static const char *const v3Features[] = {"avx", "avx2", "bmi1",  "bmi2", "f16c",
                                         "fma", "abm",  "movbe", "xsave"};
static const char *const v4Features[] = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};

// LLVM's spelling of a feature of /proc/cpuinfo.
static llvm::StringRef llvmName(llvm::StringRef feature) {
  return llvm::StringSwitch<llvm::StringRef>(feature)
      .Case("bmi1", "bmi")
      .Case("abm", "lzcnt")
      .Default(feature);
}

static CpuTarget makeTarget(llvm::StringRef level, llvm::StringRef cpu, bool avx512) {
  CpuTarget target;
  target.level = level.str();
  target.cpu = cpu.str();
  target.features.assign(std::begin(v3Features), std::end(v3Features));
  if (avx512) {
    target.features.insert(target.features.end(), std::begin(v4Features), std::end(v4Features));
    target.vectorBytes = 64;
    target.registers = 32;
    target.l2Bytes = 1024 * 1024;
    target.masks = true;
  }
  std::sort(target.features.begin(), target.features.end());
  for (const std::string &feature : target.features)
    target.llvmFeatures += (target.llvmFeatures.empty() ? "+" : ",+") + llvmName(feature).str();
  return target;
}

static bool hostHas(const CpuTarget &target) {
  llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  return std::all_of(target.features.begin(), target.features.end(),
                     [&](const std::string &feature) { return host.lookup(llvmName(feature)); });
}

std::optional<CpuTarget> cpuTarget(llvm::StringRef name, std::string &error) {
  CpuTarget v3 = makeTarget("x86-64-v3", "x86-64-v3", false), v4 = makeTarget("x86-64-v4", "x86-64-v4", true);
  if (name == "cpu:x86-64-v3")
    return v3;
  if (name == "cpu:x86-64-v4")
    return v4;
  if (name != "cpu") {
    error = "expected a target 'cpu', 'cpu:x86-64-v3' or 'cpu:x86-64-v4', found '" + name.str() + "'";
    return std::nullopt;
  }
  // The host: the highest level that it has, with the features that the code generator uses.
  bool avx512 = hostHas(v4);
  if (!avx512 && !hostHas(v3)) {
    error = "expected a CPU with AVX2 and FMA (x86-64-v3), found '" + llvm::sys::getHostCPUName().str() +
            "'; name a level with --target=cpu:x86-64-v3 to compile for another machine";
    return std::nullopt;
  }
  llvm::StringRef host = llvm::sys::getHostCPUName();
  return makeTarget(host, avx512 ? "x86-64-v4" : "x86-64-v3", avx512);
}

std::optional<CpuTarget> levelBelowHost() {
  std::string error;
  std::optional<CpuTarget> host = cpuTarget("cpu", error);
  if (!host || !host->avx512())
    return std::nullopt;
  return cpuTarget("cpu:x86-64-v3", error);
}

} // namespace moe::host
