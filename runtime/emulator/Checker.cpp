// The table of shadow pages, and ranges that copies and fills touch.
#include "runtime/emulator/Checker.h"

#include <sys/mman.h>

namespace moe::emu {

namespace {
constexpr uint64_t kPage = ShadowPage::kBytes;

/// Calls f(address, bytes) for the pages' parts of a range; stops where f returns a finding.
template <typename F> Findings forPages(uint64_t address, uint64_t bytes, F f) {
  while (bytes) {
    const uint64_t count = std::min(bytes, kPage - address % kPage);
    if (Findings found = f(address, uint32_t(count)))
      return found;
    address += count;
    bytes -= count;
  }
  return {};
}
} // namespace

CUresult Checker::create(DeviceMemory &memory, Order &order, std::unique_ptr<Checker> &checker) {
  checker.reset(new Checker(memory, order));
  checker->base_ = memory.base();
  checker->pages_ = memory.size() / kPage;
  void *table = mmap(nullptr, checker->pages_ * sizeof(ShadowPage *), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED)
    return CUDA_ERROR_OUT_OF_MEMORY;
  checker->table_ = static_cast<ShadowPage **>(table);
  memory.observe(checker.get());
  return CUDA_SUCCESS;
}

Checker::~Checker() {
  memory_.observe(nullptr);
  if (table_)
    munmap(table_, pages_ * sizeof(ShadowPage *));
}

void Checker::added(uint64_t address, uint64_t bytes) {
  const uint64_t count = (bytes + kPage - 1) / kPage;
  auto pages = std::make_unique<ShadowPage[]>(count);
  for (uint64_t i = 0; i < count; ++i) {
    pages[i].end = address + bytes;
    table_[(address - base_) / kPage + i] = &pages[i];
  }
  blocks_[address] = std::move(pages);
}

void Checker::removed(uint64_t address, uint64_t bytes) {
  for (uint64_t i = 0; i < (bytes + kPage - 1) / kPage; ++i)
    table_[(address - base_) / kPage + i] = nullptr;
  blocks_.erase(address);
}

Piece Checker::begin(uint32_t chain, uint64_t position, Clock clock, uint32_t runs, std::string what) {
  if (order_.isExhausted(runs)) {
    order_.restart();
    ++restarts_;
    for (auto &[address, pages] : blocks_)
      for (uint64_t i = 0, count = (pages[0].end - address + kPage - 1) / kPage; i < count; ++i)
        pages[i].forgetAccesses();
  }
  Piece piece;
  piece.allBefore = order_.allBefore(clock);
  piece.firstRun = order_.begin(chain, position, runs, std::move(what));
  piece.clock = std::move(clock);
  return piece;
}

Findings Checker::touchRange(const Piece &piece, uint64_t address, uint64_t bytes, Mode mode,
                             const std::string &what) {
  Accessor now;
  now.record = makeRecord(piece.firstRun, 0, 0);
  now.firstRun = piece.firstRun;
  now.allBefore = piece.allBefore;
  now.order = &order_;
  now.clock = &piece.clock;
  return forPages(address, bytes, [&](uint64_t at, uint32_t count) -> Findings {
    Conflict conflict = touch<false>(*page(at), uint32_t(at % kPage), count, now, mode, UINT32_MAX);
    // To copy memory that was never written to other memory is no fault: only a kernel, or the host, could depend on it.
    if (conflict.trouble == Trouble::none || conflict.trouble == Trouble::unwritten)
      return {};
    const Order::Piece *earlier = order_.find(runOf(conflict.earlier));
    return Finding{CUDA_ERROR_LAUNCH_FAILED,
                   concat("race: ", what, mode == Mode::read ? " reads " : " writes ", memory_.describe(at),
                          ", which ", earlier ? earlier->what : "earlier work",
                          conflict.earlierWrote ? " has written" : " has read",
                          ", and no stream, event or wait orders the two")};
  });
}

void Checker::forget(uint64_t address, uint64_t bytes) {
  (void)forPages(address, bytes, [&](uint64_t at, uint32_t count) -> Findings {
    page(at)->setWritten(uint32_t(at % kPage), count, false);
    return {};
  });
}

bool Checker::isWritten(uint64_t address, uint64_t bytes) const {
  return !forPages(address, bytes, [&](uint64_t at, uint32_t count) -> Findings {
    if (page(at)->isWritten(uint32_t(at % kPage), count))
      return {};
    return Finding{};
  });
}

uint64_t Checker::firstUnwritten(uint64_t address, uint64_t bytes) const {
  const uint64_t end = address + bytes;
  while (address < end && isWritten(address, 1))
    ++address;
  return address;
}

void Checker::copyWritten(uint64_t to, uint64_t from, uint64_t bytes) {
  if (isWritten(from, bytes))
    return; // as the copy has marked it
  for (uint64_t i = 0; i < bytes; ++i)
    page(to + i)->setWritten(uint32_t((to + i) % kPage), 1, isWritten(from + i, 1));
}

} // namespace moe::emu
