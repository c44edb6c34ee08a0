// The description of the CPU that code is generated for: the CPU's kernels, and those of an emulated GPU. Every tile, chunk and vector width follows from it.
// The user names it: `cpu:x86-64-v3`, `cpu:x86-64-v4`, or `cpu` for this machine with all its features. Cache
// sizes are constants and never read from the machine, so that the same input gives the same program
// everywhere.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moe::host {

struct CpuTarget {
  std::string level;        // "x86-64-v3", "x86-64-v4", or the host's name as LLVM has it
  std::string cpu;          // LLVM's -mcpu
  std::string llvmFeatures; // LLVM's -mattr: "+avx2,+fma"
  std::vector<std::string>
      features;                 // the features that the code may use, as /proc/cpuinfo spells them; sorted
  int64_t vectorBytes = 32;     // 64 with AVX-512
  int64_t registers = 16;       // vector registers: 32 with AVX-512
  int64_t l1Bytes = 32 * 1024;  // data, a core
  int64_t l2Bytes = 512 * 1024; // a core
  bool masks = false;           // AVX-512 mask registers: masked loads and stores cost nothing

  int64_t lanes(int64_t elementBytes = 4) const { return vectorBytes / elementBytes; }
  bool avx512() const { return vectorBytes == 64; }
};

// The target of `--target`'s value: "cpu", "cpu:x86-64-v3", "cpu:x86-64-v4". Nothing for another name, and
// for `cpu` on a machine below x86-64-v3; `error` then says what was expected.
std::optional<CpuTarget> cpuTarget(llvm::StringRef name, std::string &error);

// A second target that tests can run on the host: x86-64-v3 if the host has AVX-512, otherwise nothing.
std::optional<CpuTarget> levelBelowHost();

} // namespace moe::host
