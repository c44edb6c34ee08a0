// Bits of written bytes, and the comparison of an access with the records.
#include "runtime/emulator/Shadow.h"
#include "runtime/emulator/Order.h"

#include <algorithm>
#include <bit>

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
bool isSameWarpAndStamp(Record a, Record b) { return ((a ^ b) & ~(Record(31) << (kStampBits + 1))) == 0; }
uint32_t laneBit(Record record) { return 1u << (threadOf(record) % 32); }

/// Whether all lanes of a cell's first reader are ordered before; if not, `reader` is one that is not.
template <bool kShared> inline bool areReadersBefore(const Cell &cell, const Accessor &now, Record &reader) {
  reader = cell.read[0];
  if (!reader || isBefore<kShared>(reader, now)) {
    // The other lanes have the same stamp: in other runs, behind a barrier and for a lane alone, that is all.
    if (!reader || runOf(reader) != runOf(now.record) || stampOf(reader) < now.barrier)
      return true;
    for (uint32_t left = cell.lanes & ~laneBit(reader); left; left &= left - 1) {
      const uint32_t lane = uint32_t(std::countr_zero(left));
      const Record other = makeRecord(runOf(reader), threadOf(reader) / 32 * 32 + lane, stampOf(reader));
      if (!isBefore<kShared>(other, now)) {
        reader = other;
        return false;
      }
    }
    return true;
  }
  return false;
}

/// Records a read.
template <bool kShared> void addReader(ShadowPage &page, uint32_t index, const Accessor &now) {
  Cell &cell = page.cells[index];
  const Record record = now.record;
  Record unordered = 0;
  if (cell.read[0] && isSameWarpAndStamp(cell.read[0], record)) {
    cell.lanes |= laneBit(record);
    return;
  }
  // Often the readers are two warps of this block already, since its last barrier: enough for any write.
  if (cell.read[1] && runOf(cell.read[0]) == runOf(record) && runOf(cell.read[1]) == runOf(record) &&
      stampOf(cell.read[0]) >= now.barrier && stampOf(cell.read[1]) >= now.barrier &&
      !isSameWarp(cell.read[0], cell.read[1]))
    return;
  if (areReadersBefore<kShared>(cell, now, unordered)) {
    cell.read[0] = record;
    cell.lanes = laneBit(record);
    return;
  }
  if (!cell.read[1] || cell.read[1] == record || isBefore<kShared>(cell.read[1], now)) {
    cell.read[1] = record;
    return;
  }
  const bool oneWarp = isSameWarp(cell.read[0], cell.read[1]);
  if (oneWarp && !isSameWarp(cell.read[0], record)) {
    cell.read[1] = record;
    return;
  }
  // Readers of this launch, in different warps or blocks: enough for any write. A reader of this launch and one of another piece
  // of work: what is ordered behind both is ordered behind this one.
  const bool first = kShared || runOf(cell.read[0]) >= now.firstRun,
             second = kShared || runOf(cell.read[1]) >= now.firstRun;
  if ((first || second) && !oneWarp)
    return;
  std::erase_if(page.readers, [&](const auto &reader) {
    return reader.first == index && isBefore<kShared>(reader.second, now);
  });
  page.readers.push_back({index, record});
}

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

void ShadowPage::forgetAccesses() {
  cells.reset();
  single = false;
  readers.clear();
}

void ShadowPage::clear() {
  forgetAccesses();
  written = {};
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
    std::vector<std::pair<uint32_t, Record>> readers;
    for (auto [index, record] : page.readers)
      for (uint32_t i = 0; i < 4; ++i)
        readers.push_back({index * 4 + i, record});
    page.readers = std::move(readers);
  }
  const uint32_t shift = page.single ? 0 : 2;
  const Record record = mode == Mode::atomic ? now.record | kAtomic : now.record;
  Record ordered = 0; // a write that was found to be before: often that of the next cell as well
  for (uint32_t i = offset >> shift, end = (offset + bytes - 1) >> shift; i <= end; ++i) {
    Cell &cell = page.cells[i];
    if (cell.write != ordered) {
      if (!isBefore<kShared>(cell.write, now) && !(mode == Mode::atomic && (cell.write & kAtomic)))
        return {Trouble::race, /*earlierWrote=*/true, cell.writeSite, cell.write};
      ordered = cell.write;
    }
    if (mode == Mode::read) {
      cell.readSite = site;
      addReader<kShared>(page, i, now);
      continue;
    }
    Record reader = 0;
    if (!areReadersBefore<kShared>(cell, now, reader))
      return {Trouble::race, /*earlierWrote=*/false, cell.readSite, reader};
    if (cell.read[1] && !isBefore<kShared>(cell.read[1], now))
      return {Trouble::race, /*earlierWrote=*/false, cell.readSite, cell.read[1]};
    if (!page.readers.empty()) [[unlikely]] {
      for (auto [index, further] : page.readers)
        if (index == i && !isBefore<kShared>(further, now))
          return {Trouble::race, /*earlierWrote=*/false, cell.readSite, further};
      std::erase_if(page.readers, [&](const auto &further) { return further.first == i; });
    }
    cell.read[0] = cell.read[1] = 0;
    cell.lanes = 0;
    cell.write = record;
    cell.writeSite = site;
  }
  return {.trouble = isUnwritten ? Trouble::unwritten : Trouble::none};
}

template Conflict touch<false>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);
template Conflict touch<true>(ShadowPage &, uint32_t, uint32_t, const Accessor &, Mode, uint32_t);

} // namespace moe::emu
