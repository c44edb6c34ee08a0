#include "passes/cuda/CudaTarget.h"
#include "passes/kernels/Backend.h"
#include "llvm/ADT/Twine.h"

namespace moe::cuda {

std::vector<std::string> targetNames(llvm::StringRef word) {
  std::vector<std::string> names;
  for (const Architecture &architecture : architectures())
    names.push_back((word + ":" + architecture.name).str());
  return names;
}

std::optional<CudaTarget> cudaTarget(llvm::StringRef name, std::string &error) {
  auto [word, architecture] = name.split(':');
  if (std::optional<Architecture> known = architectureOf(architecture);
      known && (word == cudaWord || word == emulatorWord)) {
    CudaTarget target{*known, std::nullopt, known->name.str(), {}};
    if (word == cudaWord)
      return target;
    target.host = host::cpuTarget("cpu:x86-64-v3", error);
    if (!target.host)
      return std::nullopt;
    target.level += "+" + target.host->level;
    target.features = target.host->features;
    return target;
  }
  error = "expected a target " +
          kernels::listOf(targetNames(word == emulatorWord ? emulatorWord : cudaWord)) + ", found '" +
          name.str() + "'";
  return std::nullopt;
}

} // namespace moe::cuda
