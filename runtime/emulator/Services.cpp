// What threads of a block do together: barriers, and what the lanes of a warp exchange. The last lane that arrives does it for all,
// and continues at once. Asynchronous copies belong to a thread alone.
#include "runtime/emulator/Services.h"
#include "runtime/emulator/BlockRunner.h"

#include <bit>
#include <cstring>

namespace moe::emu {

void BlockRunner::waitFor(Thread &thread, Wait wait) {
  thread.wait = wait;
  if (wait == Wait::barrier) {
    if (arrived_ && thread.site != barrierSite_)
      fail(thread, CUDA_ERROR_LAUNCH_FAILED,
           concat(describe(thread, thread.site),
                  " waits at another __syncthreads than other threads of the block (",
                  launch_->launch->module->siteText(barrierSite_), ")"));
    barrierSite_ = thread.site;
    ++arrived_;
    tryOpenBarrier(); // this thread may continue then as well, when its warp is chosen
    thread.fiber->leave(scheduler_);
    return;
  }
  if (!(thread.mask >> thread.lane & 1))
    fail(thread, CUDA_ERROR_LAUNCH_FAILED,
         concat(describe(thread, thread.site), " is not in the mask that it gives"));
  thread.home->waiting |= 1u << thread.lane;
  if (!tryComplete(thread))
    thread.fiber->leave(scheduler_);
}

void BlockRunner::tryOpenBarrier() {
  if (arrived_ == 0 || arrived_ != live_)
    return;
  const uint32_t warps = (launch_->launch->threads() + 31) / 32;
  for (uint32_t i = 0; i < warps; ++i)
    if (Warp &warp = warps_[i]; warp.live && warp.live != warp.all)
      fail(*thread_, CUDA_ERROR_LAUNCH_FAILED,
           concat(describe(warp.threads[std::countr_zero(warp.live)], barrierSite_),
                  " waits at __syncthreads, which other threads of its warp never reach: they have ended"));
  if (launch_->checker)
    orderBarrier();
  for (uint32_t i = 0; i < warps; ++i) {
    Warp &warp = warps_[i];
    for (uint32_t lanes = warp.live; lanes; lanes &= lanes - 1)
      warp.threads[std::countr_zero(lanes)].wait = Wait::nothing;
    warp.ready = warp.live;
    if (warp.live)
      runnable_ |= 1u << i;
  }
  arrived_ = 0;
}

bool BlockRunner::tryComplete(Thread &thread) {
  Warp &warp = *thread.home;
  const uint32_t lanes = thread.mask & warp.live;
  if ((warp.waiting & lanes) != lanes)
    return false;
  for (uint32_t left = lanes; left; left &= left - 1) {
    const Thread &other = warp.threads[std::countr_zero(left)];
    if (other.wait != thread.wait || other.mask != thread.mask)
      return false; // if that stays so, it is found when no thread can continue
  }
  complete(thread, lanes);
  return true;
}

void BlockRunner::complete(Thread &thread, uint32_t lanes) {
  Warp &warp = *thread.home;
  uint32_t votes = 0;
  for (uint32_t left = lanes; left; left &= left - 1) {
    Thread &other = warp.threads[std::countr_zero(left)];
    if (other.site != thread.site)
      fail(*thread_, CUDA_ERROR_LAUNCH_FAILED,
           concat(describe(other, other.site), " exchanges values with ", threadText(thread.index),
                  ", which is at ", launch_->launch->module->siteText(thread.site)));
    votes |= uint32_t(other.value != 0) << other.lane;
  }
  switch (thread.wait) {
  case Wait::warpBarrier:
    if (launch_->checker)
      orderWarp(warp, lanes);
    break;
  case Wait::shuffle:
    shuffle(warp, lanes);
    break;
  case Wait::mma:
    if (lanes != ~0u)
      fail(*thread_, CUDA_ERROR_LAUNCH_FAILED,
           concat(describe(thread, thread.site), " executes an mma, but not all 32 lanes of its warp do"));
    multiply(warp);
    break;
  default:
    break;
  }
  for (uint32_t left = lanes; left; left &= left - 1) {
    Thread &other = warp.threads[std::countr_zero(left)];
    if (other.wait == Wait::ballot)
      other.result = votes;
    other.wait = Wait::nothing;
    if (&other != thread_)
      warp.ready |= 1u << other.lane;
  }
  warp.waiting &= ~lanes;
  runnable_ |= 1u << warp.index;
}

// shfl.sync of PTX: the operand c has the clamp in its low five bits, and above them the mask of the lane's bits that name its
// segment.
void BlockRunner::shuffle(Warp &warp, uint32_t lanes) {
  uint32_t values[32] = {};
  for (uint32_t left = lanes; left; left &= left - 1)
    values[std::countr_zero(left)] = warp.threads[std::countr_zero(left)].value;
  for (uint32_t left = lanes; left; left &= left - 1) {
    Thread &thread = warp.threads[std::countr_zero(left)];
    const int lane = int(thread.lane), offset = int(thread.offset & 31), clamp = int(thread.clamp & 31);
    const int segment = int(thread.clamp >> 8 & 31);
    const int least = lane & segment, most = least | (clamp & ~segment);
    int from = lane;
    bool inRange = false;
    switch (Shuffle(thread.kind)) {
    case Shuffle::up:
      from = lane - offset;
      inRange = from >= most;
      break;
    case Shuffle::down:
      from = lane + offset;
      inRange = from <= most;
      break;
    case Shuffle::bfly:
      from = lane ^ offset;
      inRange = from <= most;
      break;
    case Shuffle::idx:
      from = least | (offset & ~segment);
      inRange = from <= most;
      break;
    }
    if (!inRange)
      from = lane;
    if (!(lanes >> from & 1))
      fail(*thread_, CUDA_ERROR_LAUNCH_FAILED,
           concat(describe(thread, thread.site), " reads the value of lane ", from, " of its warp, which ",
                  thread.mask >> from & 1 ? "has ended or does not exist" : "is not in the mask"));
    thread.result = values[from] | uint64_t(inRange) << 32;
  }
}

// Fragments of mma.m16n8k8 (PTX, "Matrix Fragments for mma.m16n8k8"): with g = lane / 4 and t = lane % 4, a lane has of a the
// elements (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4), of b (t, g), (t + 4, g), and of c and d (g, 2t), (g, 2t + 1),
// (g + 8, 2t), (g + 8, 2t + 1).
void BlockRunner::multiply(Warp &warp) {
  double a[16][8], b[8][8];
  auto tf32 = [](float value) {
    return double(std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xFFFFE000u));
  };
  for (int lane = 0; lane < 32; ++lane) {
    const Thread &thread = warp.threads[lane];
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i)
      a[g + 8 * (i % 2)][t + 4 * (i / 2)] = tf32(thread.a[i]);
    for (int i = 0; i < 2; ++i)
      b[t + 4 * i][g] = tf32(thread.b[i]);
  }
  float results[32][4]; // d may be the memory of c, but of no other lane's
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
      double sum = warp.threads[lane].c[i];
      for (int k = 0; k < 8; ++k)
        sum += a[row][k] * b[k][column];
      results[lane][i] = float(sum);
    }
  for (int lane = 0; lane < 32; ++lane)
    memcpy(warp.threads[lane].d, results[lane], sizeof results[lane]);
}

void BlockRunner::land(Thread &thread, size_t end) {
  for (; thread.landed < end; ++thread.landed) {
    const AsyncCopy &copy = thread.copies[thread.landed];
    if (launch_->lateCopies)
      memcpy(copy.to, copy.from, copy.bytes);
    if (launch_->checker)
      checkLanding(thread, copy);
  }
}

struct ServiceCalls {
  static Thread &of(ThreadContext *context) { return *static_cast<Thread *>(context); }

  static void barrier(ThreadContext *context, uint32_t site) {
    Thread &thread = of(context);
    thread.site = site;
    thread.runner->waitFor(thread, Wait::barrier);
  }

  static void warpBarrier(ThreadContext *context, uint32_t mask, uint32_t site) {
    Thread &thread = of(context);
    thread.site = site;
    thread.mask = mask;
    thread.runner->waitFor(thread, Wait::warpBarrier);
  }

  static uint64_t shuffle(ThreadContext *context, uint32_t mask, uint32_t value, uint32_t offset,
                          uint32_t clamp, uint32_t kind, uint32_t site) {
    Thread &thread = of(context);
    thread.site = site;
    thread.mask = mask;
    thread.value = value;
    thread.offset = offset;
    thread.clamp = clamp;
    thread.kind = kind;
    thread.runner->waitFor(thread, Wait::shuffle);
    return thread.result;
  }

  static uint32_t ballot(ThreadContext *context, uint32_t mask, uint32_t predicate, uint32_t site) {
    Thread &thread = of(context);
    thread.site = site;
    thread.mask = mask;
    thread.value = predicate;
    thread.runner->waitFor(thread, Wait::ballot);
    return uint32_t(thread.result);
  }

  static uint32_t atomicAdd(ThreadContext *context, uint32_t *address, uint32_t value, uint32_t site) {
    Thread &thread = of(context);
    BlockRunner &runner = *thread.runner;
    if (runner.launch_->checker) {
      const size_t offset = size_t(reinterpret_cast<std::byte *>(address) - runner.shared_);
      if (offset < runner.sharedBytes_) {
        runner.checkShared(thread, address, sizeof value, Mode::atomic, site);
      } else {
        runner.checkGlobal(thread, address, sizeof value, Mode::atomic, site);
        runner.checkCounter(thread, address, site);
      }
    }
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); // blocks run on several threads of the host
  }

  static void copyAsync(ThreadContext *context, void *to, const void *from, uint32_t bytes, uint32_t site) {
    Thread &thread = of(context);
    BlockRunner &runner = *thread.runner;
    if (bytes != 4 && bytes != 8 && bytes != 16)
      runner.fail(thread, CUDA_ERROR_ILLEGAL_INSTRUCTION,
                  concat(runner.describe(thread, site), " copies ", bytes,
                         " bytes asynchronously; 4, 8 or 16 are possible"));
    const AsyncCopy copy = {to, from, bytes, site};
    if (runner.launch_->checker)
      runner.checkCopy(thread, copy);
    if (!runner.launch_->lateCopies)
      memcpy(to, from, bytes);
    thread.copies.push_back(copy);
  }

  static void copyCommit(ThreadContext *context) {
    Thread &thread = of(context);
    thread.groupEnds.push_back(thread.copies.size());
  }

  static void copyWait(ThreadContext *context, uint32_t groups) {
    Thread &thread = of(context);
    while (thread.groupEnds.size() - thread.groupsLanded > groups)
      thread.runner->land(thread, thread.groupEnds[thread.groupsLanded++]);
    if (thread.landed != thread.copies.size() || thread.groupsLanded != thread.groupEnds.size())
      return;
    thread.copies.clear();
    thread.groupEnds.clear();
    thread.landed = thread.groupsLanded = 0;
  }

  static void mmaTf32(ThreadContext *context, const float a[4], const float b[2], const float c[4],
                      float d[4], uint32_t site) {
    Thread &thread = of(context);
    thread.site = site;
    thread.mask = ~0u;
    thread.a = a;
    thread.b = b;
    thread.c = c;
    thread.d = d;
    thread.runner->waitFor(thread, Wait::mma);
  }

  static void access(ThreadContext *context, const void *address, uint32_t bytes, uint32_t flags,
                     uint32_t site) {
    Thread &thread = of(context);
    const Mode mode = flags & kWrite ? Mode::write : Mode::read;
    if (flags & kSharedMemory)
      thread.runner->checkShared(thread, address, bytes, mode, site);
    else
      thread.runner->checkGlobal(thread, address, bytes, mode, site);
  }
};

const Services kServices = {ServiceCalls::barrier,    ServiceCalls::warpBarrier, ServiceCalls::shuffle,
                            ServiceCalls::ballot,     ServiceCalls::atomicAdd,   ServiceCalls::copyAsync,
                            ServiceCalls::copyCommit, ServiceCalls::copyWait,    ServiceCalls::mmaTf32,
                            ServiceCalls::access};

} // namespace moe::emu
