// The checked mode of a block: each access to global and shared memory is compared with the shadow of the bytes, and each
// synchronisation says which accesses it orders.
#include "runtime/emulator/BlockRunner.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moe::emu {

namespace {

const char *verb(Mode mode) {
  return mode == Mode::read ? "reads" : mode == Mode::write ? "writes" : "adds atomically to";
}

/// An access is as wide as a vector instruction: at a multiple of its size.
bool isAligned(const void *address, uint32_t bytes) {
  const uint32_t natural = std::min(bytes & -bytes, 16u);
  return reinterpret_cast<uintptr_t>(address) % natural == 0;
}

} // namespace

void BlockRunner::startChecks() {
  const uint32_t run = launch_->piece.firstRun + uint32_t(block_);
  stamp_ = 0;
  for (uint32_t i = 0; i < launch_->launch->threads(); ++i) {
    Thread &thread = threads_[i];
    memset(thread.known, 0, sizeof thread.known);
    thread.accessor = {makeRecord(run, i, 0),
                       0,
                       thread.known,
                       launch_->piece.firstRun,
                       launch_->piece.allBefore,
                       &launch_->checker->order(),
                       &launch_->piece.clock};
  }
  sharedShadow_.resize(
      std::max<size_t>(sharedShadow_.size(), (sharedBytes_ + ShadowPage::kBytes - 1) / ShadowPage::kBytes));
  for (ShadowPage &page : sharedShadow_) {
    page.written = {};
    page.inFlight.reset();
    page.readers.clear();
    if (restarts_ != launch_->checker->restarts())
      page.clear();
  }
  restarts_ = launch_->checker->restarts();
}

// The last stamp orders everything: a block of that many synchronisations is not checked for races any more.
void BlockRunner::orderBarrier() {
  stamp_ = std::min(stamp_ + 1, kMostStamp);
  const uint32_t run = launch_->piece.firstRun + uint32_t(block_);
  for (uint32_t i = 0; i < launch_->launch->threads(); ++i) {
    threads_[i].accessor.record = makeRecord(run, i, stamp_);
    threads_[i].accessor.barrier = stamp_ == kMostStamp ? kMostStamp + 1 : stamp_;
  }
}

// After it, each lane is ordered behind all that any of the lanes was ordered behind, and behind what the lanes did until now.
void BlockRunner::orderWarp(Warp &warp, uint32_t lanes) {
  stamp_ = std::min(stamp_ + 1, kMostStamp);
  const uint32_t run = launch_->piece.firstRun + uint32_t(block_);
  uint32_t known[32] = {};
  for (uint32_t left = lanes; left; left &= left - 1)
    for (int i = 0; i < 32; ++i)
      known[i] = std::max(known[i], warp.threads[std::countr_zero(left)].known[i]);
  for (uint32_t left = lanes; left; left &= left - 1)
    known[std::countr_zero(left)] = stamp_ == kMostStamp ? kMostStamp + 1 : stamp_;
  for (uint32_t left = lanes; left; left &= left - 1) {
    Thread &thread = warp.threads[std::countr_zero(left)];
    memcpy(thread.known, known, sizeof known);
    thread.accessor.record = makeRecord(run, thread.index, stamp_);
  }
}

void BlockRunner::checkGlobal(Thread &thread, const void *address, uint32_t bytes, Mode mode, uint32_t site) {
  if (!isAligned(address, bytes))
    fail(thread, CUDA_ERROR_MISALIGNED_ADDRESS,
         concat(describe(thread, site), " ", verb(mode), " ", bytes,
                " bytes of global memory at an address that is no multiple of ",
                std::min(bytes & -bytes, 16u)));
  uint64_t at = reinterpret_cast<uint64_t>(address) - uint64_t(launch_->memory->distance());
  for (uint32_t left = bytes; left;) {
    ShadowPage *page = launch_->checker->page(at);
    const uint32_t offset = uint32_t(at % ShadowPage::kBytes),
                   count = std::min(left, ShadowPage::kBytes - offset);
    if (!page || at + count > page->end) {
      const auto *byte = static_cast<const std::byte *>(address);
      const moert::Memory &code = launch_->launch->module->code;
      if (thread.fiber->inStack(byte) ||
          (mode == Mode::read && byte >= code.data() && byte < code.data() + code.size()))
        return; // memory of the thread itself, or constants of the code
      // The first byte that does not exist is the one to describe.
      const uint64_t first = page && at < page->end ? page->end : at;
      fail(thread, CUDA_ERROR_ILLEGAL_ADDRESS,
           concat(describe(thread, site), " ", verb(mode), " ", bytes, " bytes of global memory, ",
                  launch_->memory->describe(first)));
    }
    if (Conflict conflict = touch<false>(*page, offset, count, thread.accessor, mode, site);
        conflict.trouble != Trouble::none) [[unlikely]]
      failAccess(thread, conflict, /*shared=*/false, at, bytes, mode, site);
    at += count;
    left -= count;
  }
}

void BlockRunner::checkCounter(Thread &thread, const void *address, uint32_t site) {
  const DeviceMemory &memory = *launch_->memory;
  const uint64_t at = reinterpret_cast<uint64_t>(address) - uint64_t(memory.distance());
  for (const Parameter &parameter : launch_->launch->kernel->parameters) {
    uint64_t counter = 0;
    if (!parameter.counter)
      continue;
    memcpy(&counter, launch_->launch->arguments.data() + parameter.offset, sizeof counter);
    if (at >= counter && memory.identity(counter) == memory.identity(at))
      return;
  }
  fail(thread, CUDA_ERROR_LAUNCH_FAILED,
       concat(describe(thread, site), " ", verb(Mode::atomic), " global memory, ", memory.describe(at),
              ", which is of no parameter that the kernel declares as a counter"));
}

void BlockRunner::checkShared(Thread &thread, const void *address, uint32_t bytes, Mode mode, uint32_t site) {
  if (!isAligned(address, bytes))
    fail(thread, CUDA_ERROR_MISALIGNED_ADDRESS,
         concat(describe(thread, site), " ", verb(mode), " ", bytes,
                " bytes of shared memory at an address that is no multiple of ",
                std::min(bytes & -bytes, 16u)));
  uint64_t at = uint64_t(static_cast<const std::byte *>(address) - shared_);
  if (at >= sharedBytes_ || bytes > sharedBytes_ - at)
    fail(thread, CUDA_ERROR_ILLEGAL_ADDRESS,
         concat(describe(thread, site), " ", verb(mode), " ", bytes, " bytes at ", int64_t(at),
                " of the block's ", sharedBytes_, " bytes of shared memory"));
  for (uint32_t left = bytes; left;) {
    ShadowPage &page = sharedShadow_[at / ShadowPage::kBytes];
    const uint32_t offset = uint32_t(at % ShadowPage::kBytes),
                   count = std::min(left, ShadowPage::kBytes - offset);
    if (Conflict conflict = touch<true>(page, offset, count, thread.accessor, mode, site);
        conflict.trouble != Trouble::none) [[unlikely]]
      failAccess(thread, conflict, /*shared=*/true, at, bytes, mode, site);
    at += count;
    left -= count;
  }
}

// A copy reads its source from now on until the thread waits for it, and its destination belongs to nobody in that time.
void BlockRunner::checkCopy(Thread &thread, const AsyncCopy &copy) {
  checkGlobal(thread, copy.from, copy.bytes, Mode::read, copy.site);
  checkShared(thread, copy.to, copy.bytes, Mode::write, copy.site);
  const uint64_t at = uint64_t(static_cast<std::byte *>(copy.to) - shared_);
  sharedShadow_[at / ShadowPage::kBytes].setInFlight(uint32_t(at % ShadowPage::kBytes), copy.bytes, true);
}

void BlockRunner::checkLanding(Thread &thread, const AsyncCopy &copy) {
  checkGlobal(thread, copy.from, copy.bytes, Mode::read, copy.site);
  const uint64_t at = uint64_t(static_cast<std::byte *>(copy.to) - shared_);
  sharedShadow_[at / ShadowPage::kBytes].setInFlight(uint32_t(at % ShadowPage::kBytes), copy.bytes, false);
  checkShared(thread, copy.to, copy.bytes, Mode::write, copy.site);
}

void BlockRunner::failAccess(Thread &thread, const Conflict &conflict, bool shared, uint64_t at,
                             uint32_t bytes, Mode mode, uint32_t site) {
  const std::string where =
      shared ? concat("shared memory at ", at) : concat("global memory, ", launch_->memory->describe(at));
  const std::string what = concat(describe(thread, site), " ", verb(mode), " ", bytes, " bytes of ", where);
  if (conflict.trouble == Trouble::unwritten) {
    if (launch_->unwritten)
      return;
    launch_->unwritten = {CUDA_ERROR_ILLEGAL_ADDRESS, concat(what, ", which was never written")};
    launch_->unwrittenIsShared = shared;
    return;
  }
  if (conflict.trouble == Trouble::inFlight)
    fail(thread, CUDA_ERROR_LAUNCH_FAILED,
         concat(what, ", into which an asynchronous copy is not waited for"));
  const std::string site2 = conflict.earlierSite == UINT32_MAX
                                ? ""
                                : concat(" (", launch_->launch->module->siteText(conflict.earlierSite), ")");
  const char *did = conflict.earlierWrote ? " has written" : " has read";
  const uint32_t run = runOf(conflict.earlier);
  const uint32_t mine = runOf(thread.accessor.record);
  if (run == mine)
    fail(thread, CUDA_ERROR_LAUNCH_FAILED,
         concat("race: ", what, ", which ", threadText(threadOf(conflict.earlier)), " of the same block", did,
                site2, ", with no barrier or warp synchronisation in between"));
  if (run >= launch_->piece.firstRun)
    fail(thread, CUDA_ERROR_LAUNCH_FAILED,
         concat("race: ", what, ", which ", threadText(threadOf(conflict.earlier)), " of ",
                blockText(run - launch_->piece.firstRun), " of the same launch", did, site2));
  const Order::Piece *earlier = launch_->checker->order().find(run);
  fail(thread, CUDA_ERROR_LAUNCH_FAILED,
       concat("race: ", what, ", which ", earlier ? earlier->what : "earlier work", did,
              ", and no stream, event or wait orders the two"));
}

} // namespace moe::emu
