// The order in which the threads of a block run, and how a block ends: all threads have ended, one made an error, one was hit by a
// signal of the host, or none can continue.
#include "runtime/emulator/BlockRunner.h"
#include "runtime/emulator/Services.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

namespace moe::emu {

namespace {
constexpr size_t kPage = 4096, kMostShared = 228 << 10, kLastStackBytes = 16 << 10;
constexpr uint32_t kMostThreads = 1024;
thread_local BlockRunner *runner = nullptr;
} // namespace

BlockRunner *BlockRunner::current() { return runner; }

BlockRunner::BlockRunner() : threads_(kMostThreads), warps_(kMostThreads / 32) {
  const size_t bytes = kMostShared + 2 * kPage + kLastStackBytes;
  void *pages = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED)
    return;
  sharedPages_ = static_cast<std::byte *>(pages) + kPage;
  lastStack_ = sharedPages_ + kMostShared + kPage;
  if (mprotect(sharedPages_, kMostShared, PROT_READ | PROT_WRITE) != 0 ||
      mprotect(lastStack_, kLastStackBytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(pages, bytes);
    sharedPages_ = nullptr;
  }
}

BlockRunner::~BlockRunner() {
  if (sharedPages_)
    munmap(sharedPages_ - kPage, kMostShared + 2 * kPage + kLastStackBytes);
}

void BlockRunner::prepare() {
  const Launch &launch = *launch_->launch;
  prepared_ = launch_->number;
  sharedBytes_ = launch.sharedBytes();
  shared_ = sharedPages_ + kMostShared - (sharedBytes_ + 127) / 128 * 128;
  for (uint32_t i = 0; i < launch.threads(); ++i) {
    Thread &thread = threads_[i];
    thread.tid[0] = i % launch.block[0];
    thread.tid[1] = i / launch.block[0] % launch.block[1];
    thread.tid[2] = i / launch.block[0] / launch.block[1];
    memcpy(thread.ntid, launch.block, sizeof thread.ntid);
    memcpy(thread.nctaid, launch.grid, sizeof thread.nctaid);
    thread.shared = shared_;
    thread.services = &kServices;
    thread.lane = i % 32;
    thread.warp = i / 32;
    thread.runner = this;
    thread.home = &warps_[i / 32];
    thread.index = i;
  }
}

void BlockRunner::start(uint64_t block) {
  const Launch &launch = *launch_->launch;
  const uint32_t count = launch.threads();
  block_ = block;
  const uint32_t ctaid[3] = {uint32_t(block % launch.grid[0]),
                             uint32_t(block / launch.grid[0] % launch.grid[1]),
                             uint32_t(block / launch.grid[0] / launch.grid[1])};
  for (uint32_t i = 0; i < count; ++i) {
    Thread &thread = threads_[i];
    memcpy(thread.ctaid, ctaid, sizeof ctaid);
    thread.wait = Wait::nothing;
    thread.copies.clear();
    thread.groupEnds.clear();
    thread.landed = thread.groupsLanded = 0;
  }
  runnable_ = 0;
  for (uint32_t i = 0; i * 32 < count; ++i) {
    const uint32_t lanes = std::min(32u, count - i * 32);
    const uint32_t all = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[i] = {i, all, all, all, 0, 0, &threads_[i * 32]};
    runnable_ |= 1u << i;
  }
  live_ = count;
  arrived_ = 0;
  running_ = nullptr;
  abandoned_ = false;
  fault_ = {};
  // Never 0, which a shift register would keep.
  random_ = (launch_->seed ^ (block + 1) * 0x9E3779B97F4A7C15ull) | 1;
  memset(shared_, 0xFF, sharedBytes_); // NaNs: what a block finds there is never what it needs
  if (launch_->checker)
    startChecks();
}

void BlockRunner::run(LaunchRun &launch, uint64_t block) {
  if (!sharedPages_) {
    launch.report({CUDA_ERROR_OUT_OF_MEMORY, "the emulator has no memory for shared memory"});
    return;
  }
  launch_ = &launch;
  if (prepared_ != launch.number)
    prepare();
  start(block);
  runner = this;
  while (live_ && !abandoned_) {
    if (!runnable_) {
      reportUnwritten();
      explainStandstill();
      abandoned_ = true;
      break;
    }
    // Mostly the same warp as before, as long as it can continue: its lanes' stacks are in the cache.
    if (!running_ || !(runnable_ >> running_->index & 1) || random() % 4 == 0) {
      const int turn = int(random() % 32);
      running_ = &warps_[(std::countr_zero(std::rotr(runnable_, turn)) + turn) % 32];
    }
    runWarp(*running_);
    if (fault_.signal) {
      reportUnwritten();
      explainFault();
      abandoned_ = true;
    }
  }
  runner = nullptr;
  if (!abandoned_ && launch_->unwrittenIsShared)
    reportUnwritten();
  if (!abandoned_)
    return;
  freeFibers_.clear();
  for (auto &fiber : fibers_) {
    fiber->restart();
    freeFibers_.push_back(fiber.get());
  }
}

void BlockRunner::runWarp(Warp &warp) {
  firstLane_ = uint32_t(random() % 32);
  while (warp.fresh) {
    Fiber *fiber = takeFiber();
    if (!fiber) {
      launch_->report(
          {CUDA_ERROR_OUT_OF_MEMORY, "the emulator has no memory for the stacks of a block's threads"});
      abandoned_ = true;
      return;
    }
    enter(*fiber);
    if (abandoned_ || fault_.signal)
      return;
  }
  for (uint32_t turned = std::rotr(warp.ready, int(firstLane_)); turned; turned &= turned - 1) {
    const uint32_t lane = (uint32_t(std::countr_zero(turned)) + firstLane_) % 32;
    warp.ready &= ~(1u << lane);
    thread_ = &warp.threads[lane];
    if (const uint32_t left = turned & (turned - 1)) // the stack of the next lane, while this one runs
      warp.threads[(uint32_t(std::countr_zero(left)) + firstLane_) % 32].fiber->prefetch();
    enter(*thread_->fiber);
    if (abandoned_ || fault_.signal)
      return;
  }
  if (!(warp.fresh | warp.ready))
    runnable_ &= ~(1u << warp.index);
}

Fiber *BlockRunner::takeFiber() {
  if (freeFibers_.empty()) {
    auto fiber = std::make_unique<Fiber>(&fiberBody, this, unsigned(fibers_.size()));
    if (!fiber->ok())
      return nullptr;
    freeFibers_.reserve(fibers_.size() + 1);
    freeFibers_.push_back(fiber.get());
    fibers_.push_back(std::move(fiber));
  }
  Fiber *fiber = freeFibers_.back();
  freeFibers_.pop_back();
  return fiber;
}

void BlockRunner::enter(Fiber &fiber) {
  fiber_ = &fiber;
  fiber.enter(&scheduler_);
  fiber_ = nullptr;
}

Thread *BlockRunner::nextFresh() {
  if (!running_->fresh)
    return nullptr;
  const uint32_t turned = std::rotr(running_->fresh, int(firstLane_));
  const uint32_t lane = (uint32_t(std::countr_zero(turned)) + firstLane_) % 32;
  running_->fresh &= ~(1u << lane);
  return &running_->threads[lane];
}

void BlockRunner::fiberBody(void *context, Fiber *fiber) {
  auto *self = static_cast<BlockRunner *>(context);
  for (;;) {
    while (Thread *thread = self->nextFresh()) {
      thread->fiber = fiber;
      self->thread_ = thread;
      self->launch_->entry(thread, self->launch_->arguments);
      self->finished(*thread);
    }
    self->freeFibers_.push_back(fiber);
    fiber->leave(self->scheduler_);
  }
}

void BlockRunner::finished(Thread &thread) {
  Warp &warp = *thread.home;
  warp.live &= ~(1u << thread.lane);
  --live_;
  // Those that wait for a lane that has ended do not wait for it any more.
  for (uint32_t lanes = warp.waiting; lanes; lanes &= lanes - 1) {
    const uint32_t lane = uint32_t(std::countr_zero(lanes));
    if (warp.waiting >> lane & 1)
      tryComplete(warp.threads[lane]);
  }
  tryOpenBarrier();
}

void BlockRunner::reportUnwritten() {
  if (launch_->unwritten)
    launch_->report(std::move(*launch_->unwritten));
}

void BlockRunner::fail(Thread &thread, CUresult code, std::string text) {
  if (!text.starts_with("race: "))
    reportUnwritten(); // it came first, and may be why
  launch_->report({code, std::move(text)});
  abandoned_ = true;
  thread.fiber->leave(scheduler_);
  __builtin_unreachable();
}

bool BlockRunner::takeFault(int signal, const siginfo_t &info, void *context) {
  if (!fiber_)
    return false;
  fault_ = {signal, static_cast<std::byte *>(info.si_addr)};
  // The kernel cannot be continued: after the signal, the thread of the host goes on in leaveFaulted, on a stack that is free.
  auto *registers = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&leaveFaulted);
  registers[REG_RSP] = reinterpret_cast<greg_t>(lastStack_ + kLastStackBytes - 8); // as after a call
  return true;
}

void BlockRunner::leaveFaulted() {
  void *nowhere = nullptr;
  moeEmulatorSwitch(&nowhere, runner->scheduler_);
  __builtin_unreachable();
}

std::string BlockRunner::threadText(uint32_t index) const {
  const Thread &thread = threads_[index];
  return concat("thread (", thread.tid[0], ", ", thread.tid[1], ", ", thread.tid[2], ")");
}

std::string BlockRunner::blockText(uint64_t block) const {
  const uint32_t *grid = launch_->launch->grid;
  return concat("block (", block % grid[0], ", ", block / grid[0] % grid[1], ", ", block / grid[0] / grid[1],
                ")");
}

std::string BlockRunner::describe(const Thread &thread, uint32_t site) const {
  std::string where = site == UINT32_MAX ? "" : concat(", ", launch_->launch->module->siteText(site));
  return concat("kernel '", launch_->launch->kernel->name, "'", where, ": ", threadText(thread.index), " of ",
                blockText(block_));
}

void BlockRunner::explainFault() {
  const DeviceMemory &memory = *launch_->memory;
  const Thread &thread = *thread_;
  const std::string who = describe(thread, UINT32_MAX);
  const std::string advice = launch_->checker ? "" : "; MOE_EMULATOR=checked names the line";
  const auto at = reinterpret_cast<uint64_t>(fault_.address);
  if (thread.fiber->inGuard(fault_.address))
    return launch_->report({CUDA_ERROR_HARDWARE_STACK_ERROR,
                            concat(who, " needs more than ", Fiber::kStackBytes >> 10, " KiB of stack")});
  if (fault_.signal == SIGFPE)
    return launch_->report({CUDA_ERROR_ILLEGAL_INSTRUCTION, concat(who, " divides an integer by zero")});
  if (fault_.signal == SIGILL || fault_.signal == SIGTRAP)
    return launch_->report(
        {CUDA_ERROR_ILLEGAL_INSTRUCTION, concat(who, " executes a trap or an illegal instruction")});
  std::string where;
  if (at - memory.base() < memory.size())
    where = concat("follows an address of the device that was no parameter, ", memory.describe(at));
  else if (at - memory.distance() - memory.base() < memory.size())
    where = concat("accesses global memory ", memory.describe(at - memory.distance()));
  else if (fault_.address >= sharedPages_ - kPage && fault_.address < lastStack_)
    where = concat("accesses shared memory at ", int64_t(fault_.address - shared_), " of ", sharedBytes_,
                   " bytes");
  else
    where = "accesses an address that is none of the device's memory";
  launch_->report({CUDA_ERROR_ILLEGAL_ADDRESS, concat(who, " ", where, advice)});
}

void BlockRunner::explainStandstill() {
  // One thread that waits for its warp says most; those at the barrier wait for it.
  static constexpr const char *kNames[] = {"nothing",   "__syncthreads", "__syncwarp",
                                           "a shuffle", "a ballot",      "an mma"};
  const Thread *first = nullptr;
  for (uint32_t i = 0; i < launch_->launch->threads(); ++i) {
    const Thread &thread = threads_[i];
    if (thread.home->live >> thread.lane & 1 &&
        (!first || (first->wait == Wait::barrier && thread.wait != Wait::barrier)))
      first = &thread;
  }
  std::string other;
  for (uint32_t lane = 0; lane < 32 && first->wait != Wait::barrier; ++lane) {
    const Thread &thread = first->home->threads[lane];
    if ((first->mask & first->home->live) >> lane & 1 &&
        (thread.wait != first->wait || thread.mask != first->mask)) {
      other = concat(" for ", threadText(thread.index), ", which waits at ", kNames[int(thread.wait)], " (",
                     launch_->launch->module->siteText(thread.site), ")");
      break;
    }
  }
  launch_->report(
      {CUDA_ERROR_LAUNCH_TIMEOUT,
       concat(describe(*first, first->site), " waits at ", kNames[int(first->wait)], other,
              ": no thread can continue (", arrived_, " of ", live_, " threads wait at __syncthreads)")});
}

} // namespace moe::emu
