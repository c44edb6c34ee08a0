// Memory whose addresses the host cannot use: each lies in a range without access, and the bytes are at a
// fixed distance from it. A device that executes on the host adds the distance where it may touch the memory;
// whoever else follows such an address ends in a fault at once.
#pragma once

#include "runtime/base/Result.h"

#include <cstddef>
#include <map>
#include <memory>

namespace moert {

class ShadowMemory {
public:
  /// Reserves address space, no memory.
  static Result<std::unique_ptr<ShadowMemory>> create();
  ~ShadowMemory();
  ShadowMemory(const ShadowMemory &) = delete;

  /// The address of zeroed memory. A page without access stands before and behind its pages.
  Result<uint64_t> allocate(uint64_t bytes);
  /// Nothing can be read there afterwards.
  void release(uint64_t address);

  int64_t distance() const { return int64_t(half_); }
  std::byte *bytes(uint64_t address) const { return reinterpret_cast<std::byte *>(address + half_); }

private:
  ShadowMemory(std::byte *base, uint64_t half) : base_(base), half_(half) {}
  std::byte *base_;
  uint64_t half_;                       // the range of addresses, and as much behind it for the bytes
  std::map<uint64_t, uint64_t> blocks_; // address, bytes in whole pages
};

} // namespace moert
