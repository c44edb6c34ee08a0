// Bits of written bytes, and the comparison of an access with the records.
#include "runtime/emulator/Shadow.h"
#include "runtime/emulator/Order.h"

#include <algorithm>

namespace moe::emu {

namespace {

/// Calls f(word, bits) for the 64-bit words of a bitmap that a range of bits touches; stops where f returns false.
template <typename F> bool forBits(uint32_t offset, uint32_t bytes, F f) {
  while (bytes) {
    const uint32_t shift = offset % 64, count = std::min(bytes, 64 - shift);
    const uint64_t bits = (count == 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1) << shift;
    if (!f(offset / 64, bits))
      return false;
    offset += count;
    bytes -= count;
  }
  return true;
}

void setBits(std::array<uint64_t, 64> &map, uint32_t offset, uint32_t bytes, bool value) {
  forBits(offset, bytes, [&](uint32_t word, uint64_t bits) {
    map[word] = value ? map[word] | bits : map[word] & ~bits;
    return true;
  });
}

template <bool kShared> inline bool isBefore(Record earlier, const Accessor &now) {
  const uint32_t run = runOf(earlier);
  if (run == runOf(now.record)) {
    const uint32_t thread = threadOf(earlier), stamp = stampOf(earlier), me = threadOf(now.record);
    return thread == me || stamp < now.barrier || (thread / 32 == me / 32 && stamp < now.known[thread % 32]);
  }
  if (kShared || run < now.allBefore)
    return true;
  return run < now.firstRun && now.order->before(run, *static_cast<const Clock *>(now.clock));
}

bool isSameWarp(Record a, Record b) { return runOf(a) == runOf(b) && threadOf(a) / 32 == threadOf(b) / 32; }

} // namespace

void ShadowPage::setWritten(uint32_t offset, uint32_t bytes, bool value) {
  setBits(written, offset, bytes, value);
}

bool ShadowPage::isWritten(uint32_t offset, uint32_t bytes) const {
  return forBits(offset, bytes, [&](uint32_t word, uint64_t bits) { return (written[word] & bits) == bits; });
}

void ShadowPage::setInFlight(uint32_t offset, uint32_t bytes, bool value) {
  if (!inFlight)
    inFlight = std::make_unique<std::array<uint64_t, 64>>();
  setBits(*inFlight, offset, bytes, value);
}

bool ShadowPage::isInFlight(uint32_t offset, uint32_t bytes) const {
  return inFlight && !forBits(offset, bytes,
                              [&](uint32_t word, uint64_t bits) { return ((*inFlight)[word] & bits) == 0; });
}

void ShadowPage::clear() {
  written = {};
  cells.reset();
  single = false;
  inFlight.reset();
}

template <bool kShared>
Conflict touch(ShadowPage &page, uint32_t offset, uint32_t bytes, const Accessor &now, Mode mode,
               uint32_t site) {
  if (kShared && page.isInFlight(offset, bytes))
    return {.trouble = Trouble::inFlight};
  // Memory that was never written is still looked up: the one who writes it later may race with this read.
  const bool isUnwritten = mode != Mode::write && !page.isWritten(offset, bytes);
  if (mode == Mode::write)
    page.setWritten(offset, bytes, true);

  if (!page.cells)
    page.cells = std::make_unique<Cell[]>(ShadowPage::kBytes / 4);
  if (!page.single && (offset | bytes) % 4) {
    auto single = std::make_unique<Cell[]>(ShadowPage::kBytes);
    for (uint32_t i = 0; i < ShadowPage::kBytes; ++i)
      single[i] = page.cells[i / 4];
    page.cells = std::move(single);
    page.single = true;
  }
  const uint32_t shift = page.single ? 0 : 2;
  const Record record = mode == Mode::atomic ? now.record | kAtomic : now.record;
  for (uint32_t i = offset >> shift, end = (offset + bytes - 1) >> shift; i <= end; ++i) {
    Cell &cell = page.cells[i];
    if (cell.write && !isBefore<kShared>(cell.write, now) &&
        !(mode == Mode::atomic && (cell.write & kAtomic)))
      return {Trouble::race, /*earlierWrote=*/true, cell.writeSite, cell.write};
    if (mode == Mode::read) {
      cell.readSite = site;
      if (cell.read[0] == record)
        continue;
      if (!cell.read[0] || isBefore<kShared>(cell.read[0], now))
        cell.read[0] = record;
      else if (!cell.read[1] || isBefore<kShared>(cell.read[1], now) ||
               (isSameWarp(cell.read[0], cell.read[1]) && !isSameWarp(cell.read[0], record)))
        cell.read[1] = record;
      continue;
    }
    for (Record &reader : cell.read) {
      if (reader && !isBefore<kShared>(reader, now))
        return {Trouble::race, /*earlierWrote=*/false, cell.readSite, reader};
      reader = 0;
    }
    cell.write = record;
    cell.writeSite = site;
  }
  return {.trouble = isUnwritten ? Trouble::unwritten : Trouble::none};
}

template Conflict touch<false>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);
template Conflict touch<true>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);

} // namespace moe::emu
