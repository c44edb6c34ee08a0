// A module in memory: kernels of a GPU as functions of the host. Verified before anything of it is used.
#pragma once

#include "runtime/base/Memory.h"
#include "runtime/emulator/Finding.h"
#include "runtime/emulator/KernelAbi.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moe::emu {

/// Bytes of static shared memory that a kernel may have, as NVIDIA's assembler has it.
inline constexpr uint32_t kMostStaticShared = 48 << 10;

struct Parameter {
  bool pointer;
  uint32_t bytes;
  uint32_t offset;      // in the packed arguments
  bool counter = false; // atomic operations are on memory of such parameters alone
};

struct KernelEntry {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t argumentBytes = 0;
  uint32_t shared = 0;  // static shared memory
  uint32_t threads = 0; // at most so many a block
  Entry fast = nullptr, checked = nullptr;
};

struct Source {
  std::string op, file;
  uint32_t line;
};

struct LoadedModule {
  std::vector<KernelEntry> kernels;
  std::vector<Source> sites;
  moert::Memory code;

  const KernelEntry *find(std::string_view name) const;
  /// "op 'linear fc' at model.mlir:12"
  std::string siteText(uint32_t site) const;

  /// Reads a size-prefixed buffer of module.fbs for a GPU such as "sm_90a".
  static Findings load(const void *image, std::string_view architecture,
                       std::shared_ptr<LoadedModule> &module);
};

} // namespace moe::emu
