// The description of the GPU that code is generated for. The user names it: `cuda:sm_90a` for a GPU of that
// architecture, and `emulator:sm_90a` for the same kernels on the CPU, where an emulated driver runs them. Code for the
// emulator is for x86-64-v3 on every machine, so that the same input gives the same program everywhere.
#pragma once
#include "passes/cuda/code/Architecture.h"
#include "passes/host/CpuTarget.h"
#include <optional>
#include <string>
#include <vector>

namespace moe::cuda {

struct CudaTarget {
  Architecture architecture;
  std::optional<host::CpuTarget> host; ///< of the emulator
  std::string level;                   ///< "sm_90a"; of the emulator "sm_90a+x86-64-v3"
  std::vector<std::string> features;   ///< of the host's CPU, as /proc/cpuinfo spells them

  bool emulated() const { return host.has_value(); }
};

/// The first words of targets' names.
constexpr llvm::StringLiteral cudaWord = "cuda", emulatorWord = "emulator";

/// The names of all targets with this first word, the oldest architecture first.
std::vector<std::string> targetNames(llvm::StringRef word);
/// The target of a name. Nothing for another one; `error` then says what was expected.
std::optional<CudaTarget> cudaTarget(llvm::StringRef name, std::string &error);

} // namespace moe::cuda
