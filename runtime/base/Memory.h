// A block of zeroed pages. Large ones ask for huge pages, which spares kernels most of their TLB misses.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>

namespace moert {

/// A failure where the machine has not so many bytes at all: pages come when they are touched, so the system
/// would notice only then.
Status fitsMachine(uint64_t bytes);

class Memory {
public:
  Memory() = default;
  Memory(Memory &&other) noexcept;
  Memory &operator=(Memory &&other) noexcept;
  ~Memory();

  /// Replaces the block by one of at least `bytes`, zeroed; fails when the machine has not that much.
  Status allocate(size_t bytes);
  std::byte *data() const { return data_; }
  size_t size() const { return size_; }

private:
  std::byte *data_ = nullptr;
  size_t size_ = 0;
};

} // namespace moert
