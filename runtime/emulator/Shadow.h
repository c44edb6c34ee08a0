// What the checked mode remembers of each byte of memory: whether it was written, and who last wrote and read it. An access is
// compared with these records, so a race is found in every run in which both accesses happen, whatever their order was.
//
// A record is 64 bits: the run (a block of a kernel, or a copy; see Order.h), the thread in the block, whether it was an atomic
// operation, and the stamp, which counts the block's synchronisations. Of two accesses in a run, the earlier one is ordered before
// the later one if both are of one thread, if a barrier of the block was in between, or if a warp synchronisation of both threads
// was.
//
// A page has a record for each word of four bytes, until a part of a word is accessed; from then on it has one for each byte. Of
// readers that are not ordered, those are kept that a later write can be ordered with one by one: lanes of one warp as a mask, and
// others in a list if need be. Of two readers in different warps or blocks, a write in the same launch races with one at least, so
// further ones are not needed. Of atomic operations, the last one is kept.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace moe::emu {

class Order;
using Record = uint64_t;

constexpr uint32_t kStampBits = 21, kMostStamp = (1u << kStampBits) - 1;
inline Record makeRecord(uint32_t run, uint32_t thread, uint32_t stamp) {
  return uint64_t(run) << 32 | uint64_t(thread) << (kStampBits + 1) | stamp;
}
constexpr Record kAtomic = uint64_t(1) << kStampBits;
inline uint32_t runOf(Record record) { return uint32_t(record >> 32); }
inline uint32_t threadOf(Record record) { return uint32_t(record >> (kStampBits + 1)) & 1023; }
inline uint32_t stampOf(Record record) { return uint32_t(record) & kMostStamp; }

/// Who accesses memory now.
struct Accessor {
  Record record = 0;    // of a plain access
  uint32_t barrier = 0; // stamp of the block's last barrier: what was before it is ordered
  const uint32_t *known =
      nullptr; // for each lane of the warp, the stamp up to which it is ordered before this thread
  uint32_t firstRun =
      0; // of this piece of work; runs from it on are blocks that are not ordered with this one
  uint32_t allBefore = 0;       // runs below it are ordered before this piece of work
  const Order *order = nullptr; // decides on those in between
  const void *clock = nullptr;  // the Clock of this piece of work
};

/// Records of up to four bytes.
struct Cell {
  Record write, read[2];
  uint32_t lanes; // that have read as the first reader has, in its warp and with its stamp
  uint32_t writeSite, readSite;
};

/// 4096 bytes.
struct ShadowPage {
  static constexpr uint32_t kBytes = 4096;
  uint64_t end = 0;                      // address where the block ends that the page is of; 0: no memory
  std::array<uint64_t, 64> written = {}; // a bit a byte
  std::unique_ptr<Cell[]> cells;         // none before the first access
  bool single = false;                   // a cell a byte, else a cell a word
  std::vector<std::pair<uint32_t, Record>> readers; // further ones, by cell
  std::unique_ptr<std::array<uint64_t, 64>>
      inFlight; // bytes that an asynchronous copy of a kernel has not written yet

  void setWritten(uint32_t offset, uint32_t bytes, bool written);
  bool isWritten(uint32_t offset, uint32_t bytes) const;
  void setInFlight(uint32_t offset, uint32_t bytes, bool inFlight);
  bool isInFlight(uint32_t offset, uint32_t bytes) const;
  /// Forgets who accessed the bytes.
  void forgetAccesses();
  /// Forgets all but where the block ends.
  void clear();
};

enum class Trouble : uint8_t { none, unwritten, inFlight, race };
struct Conflict {
  Trouble trouble = Trouble::none;
  bool earlierWrote = false; // of a race: the access that was recorded
  uint32_t earlierSite = 0;
  Record earlier = 0;
};

enum class Mode : uint8_t { read, write, atomic };

/// Checks an access to bytes of a page against what is recorded, and records it. In shared memory, records of other runs are of
/// blocks that have ended.
template <bool kShared>
Conflict touch(ShadowPage &page, uint32_t offset, uint32_t bytes, const Accessor &now, Mode mode,
               uint32_t site);

extern template Conflict touch<false>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);
extern template Conflict touch<true>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);

} // namespace moe::emu
