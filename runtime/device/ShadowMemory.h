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
  /// When addresses that were given back are given again: `soon` keeps memory together; `late`, only when all others have been
  /// given, so that whoever uses an address after its end meets no memory.
  enum class Reuse { soon, late };

  /// Reserves address space, no memory.
  static Result<std::unique_ptr<ShadowMemory>> create(Reuse reuse = Reuse::soon);
  ~ShadowMemory();
  ShadowMemory(const ShadowMemory &) = delete;

  /// The address of zeroed memory. A page without access stands before and behind its pages.
  Result<uint64_t> allocate(uint64_t bytes);
  /// Addresses without memory, at a multiple of `alignment` (a power of two of whole pages): what grows by `map` and never moves.
  Result<uint64_t> reserve(uint64_t bytes, uint64_t alignment);
  /// Puts `bytes` of a file, whole pages from `offset` on, at addresses of a reserved range.
  Status map(uint64_t address, uint64_t bytes, int file, uint64_t offset);
  void unmap(uint64_t address, uint64_t bytes);
  /// Ends what `allocate` or `reserve` gave. Nothing can be read there afterwards.
  void release(uint64_t address);

  /// All addresses lie in [base, base + size).
  uint64_t base() const { return reinterpret_cast<uint64_t>(base_); }
  uint64_t size() const { return half_; }

  int64_t distance() const { return int64_t(half_); }
  std::byte *bytes(uint64_t address) const { return reinterpret_cast<std::byte *>(address + half_); }

private:
  ShadowMemory(std::byte *base, uint64_t half, Reuse reuse) : base_(base), half_(half), reuse_(reuse) {}
  Result<uint64_t> place(uint64_t size, uint64_t alignment);
  /// A free place in [from, end of the range), or 0.
  uint64_t placeFrom(uint64_t from, uint64_t size, uint64_t alignment) const;

  std::byte *base_;
  uint64_t half_; // the range of addresses, and as much behind it for the bytes
  Reuse reuse_;
  uint64_t next_ = 0;                   // where the last block ended
  std::map<uint64_t, uint64_t> blocks_; // address, bytes in whole pages
};

} // namespace moert
