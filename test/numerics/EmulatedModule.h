// The kernels of a group on the emulated driver: buffers are copied to the emulated GPU, launches run one after another,
// and what they wrote is copied back.
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace moe::test {

/// Memory of the host and whether the GPU gets its contents; otherwise its memory is new.
struct EmulatedBuffer {
  void *data;
  size_t bytes;
  bool given;
};

struct EmulatedLaunch {
  std::string kernel;
  std::array<int64_t, 3> grid{}, block{};
  int64_t shared = 0;
  std::vector<void *> buffers; ///< each the beginning of an EmulatedBuffer
  std::vector<int64_t> scalars;
  std::vector<bool> cells; ///< by scalar: the kernel reads it from memory
};

class EmulatedModule {
public:
  explicit EmulatedModule(llvm::ArrayRef<char> section) : section(section.begin(), section.end()) {}
  /// What the driver or its checks found wrong; empty where nothing. `seed` orders blocks, warps and threads.
  std::string run(llvm::ArrayRef<EmulatedLaunch> launches, llvm::ArrayRef<EmulatedBuffer> buffers,
                  bool isChecked, unsigned seed, unsigned threads) const;

private:
  std::vector<char> section;
};

} // namespace moe::test
