// Runs a module of the emulator in a simple way, for tests of the code that the compiler makes: each thread of a
// block is a thread of the host. It checks nothing; the emulator proper (runtime/emulator) does.
#pragma once
#include "runtime/emulator/KernelAbi.h"
#include "runtime/emulator/module_generated.h"
#include "llvm/ADT/ArrayRef.h"
#include <string>
#include <vector>

namespace moe::test {

/// What a checked function reports.
struct Access {
  const void *address;
  uint32_t bytes, flags, site;
};

class ThreadedGpu {
public:
  /// `section`: a size-prefixed FlatBuffer, which must live as long as this.
  explicit ThreadedGpu(llvm::ArrayRef<char> section);
  ~ThreadedGpu();
  bool isLoaded() const { return library; }
  const emu::Module &module() const { return *table; }

  /// Launches blocks of a grid of one dimension, one after another. The arguments are packed; `dynamic` is the
  /// number of bytes of dynamic shared memory. Returns what was reported.
  std::vector<Access> launch(const std::string &kernel, bool isChecked, uint32_t blocks, uint32_t threads,
                             const std::vector<uint64_t> &arguments, uint32_t dynamic = 0);

private:
  const emu::Module *table = nullptr;
  void *library = nullptr;
};

} // namespace moe::test
