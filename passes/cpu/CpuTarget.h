// What the code generator knows about the CPU that it writes for: the one description that every tile, chunk
// and vector width follows from. A level is a name that a user gives (`cpu`, `cpu:x86-64-v3`,
// `cpu:x86-64-v4`); `cpu` is this machine with all that it has. Cache sizes are fixed by the level and never
// read from the machine, so that the same input gives the same program everywhere.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moe::cpu {

struct CpuTarget {
  std::string level;                 // "x86-64-v3", "x86-64-v4", or the host's name as LLVM has it
  std::string cpu;                   // LLVM's -mcpu
  std::string llvmFeatures;          // LLVM's -mattr: "+avx2,+fma"
  std::vector<std::string> features; // what the code may use, as /proc/cpuinfo spells it; sorted
  int64_t vectorBytes = 32;          // 64 with AVX-512
  int64_t registers = 16;            // vector registers: 32 with AVX-512
  int64_t l1Bytes = 32 * 1024;       // data, a core
  int64_t l2Bytes = 512 * 1024;      // a core
  bool masks = false;                // AVX-512 mask registers: masked loads and stores cost nothing

  int64_t lanes(int64_t elementBytes = 4) const { return vectorBytes / elementBytes; }
  bool avx512() const { return vectorBytes == 64; }
};

// The target of `--target`'s value: "cpu", "cpu:x86-64-v3", "cpu:x86-64-v4". Nothing for another name;
// `error` then says what was expected. `cpu` on a machine below x86-64-v3 is an error too.
std::optional<CpuTarget> cpuTarget(llvm::StringRef name, std::string &error);

// The level that tests run beside the host's: x86-64-v3 where the host has AVX-512, else nothing.
std::optional<CpuTarget> levelBelowHost();

} // namespace moe::cpu
