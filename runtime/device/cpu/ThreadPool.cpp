// The pool's protocol, in the order in which a round goes:
//   1. the caller writes the job's fields while the ticket is closed, then opens it and wakes sleepers;
//   2. everyone claims grains by compare-and-swap on the ticket and counts those it finished;
//   3. the caller closes the ticket when no grain is left, and returns when all claimed grains are finished.
// A claim that succeeds proves that the ticket's round was open all the while since it was read, hence that
// the fields read in between belong to it (rounds do not repeat within 2^32 launches).
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <cassert>
#include <exception>
#include <immintrin.h>
#include <sched.h>

namespace moert {

namespace {
constexpr int kSpinsBeforeSleep = 4000; // 50 to 200 us of pauses, by the CPU
constexpr int kSpinsBeforeYield = 2000; // a worker that holds our last grain may need this core
} // namespace

ThreadPool::ThreadPool(int threads) {
  assert(threads >= 1);
  try {
    workers_.reserve(size_t(threads - 1));
    for (int thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { work(thread); });
  } catch (const std::exception &) { // no thread or no memory: threads() tells the caller
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  signal_.fetch_add(1);
  signal_.notify_all();
  for (std::thread &worker : workers_)
    worker.join();
}

bool ThreadPool::claim(int thread, uint64_t ticket) {
  while ((ticket & kClosed) != kClosed) {
    Body body = body_.load(std::memory_order_relaxed);
    void *context = context_.load(std::memory_order_relaxed);
    int64_t units = units_.load(std::memory_order_relaxed), grains = grains_.load(std::memory_order_relaxed);
    int64_t mine = int64_t(ticket & kClosed);
    if (mine >= grains)
      return false;
    uint64_t round = ticket >> 32;
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      if (ticket >> 32 != round)
        return false; // another round: the caller of this function looks again
      continue;
    }
    // The first grains are larger by one unit, as many as are left over.
    const int64_t least = units / grains, more = units % grains, begin = mine * least + std::min(mine, more);
    body(context, thread, begin, begin + least + (mine < more));
    finished_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
    if (ticket >> 32 != round)
      return false;
  }
  return false;
}

void ThreadPool::work(int thread) {
  while (true) {
    uint32_t seen = signal_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire))
      return;
    claim(thread, ticket_.load(std::memory_order_acquire));
    for (int spin = 0; spin < kSpinsBeforeSleep && signal_.load(std::memory_order_acquire) == seen; ++spin)
      _mm_pause();
    if (signal_.load(std::memory_order_acquire) != seen)
      continue;
    asleep_.fetch_add(1, std::memory_order_seq_cst);
    signal_.wait(seen, std::memory_order_seq_cst);
    asleep_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void ThreadPool::run(int64_t units, int64_t grain, Body body, void *context) {
  if (units <= 0)
    return;
  // As many grains for each thread, and of one size but for a unit: of three for two threads, one would be waited for. The grain
  // number has 32 bits: a range of more grains takes larger ones.
  const int64_t share = (units - 1) / threads() + 1;
  const int64_t each = (share - 1) / std::clamp(grain, int64_t(1), share) + 1;
  const int64_t most = kClosed - 1, grains = std::min({units, std::min(each, most) * threads(), most});
  if (workers_.empty() || grains == 1) {
    body(context, 0, 0, units);
    return;
  }
  body_.store(body, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  units_.store(units, std::memory_order_relaxed);
  grains_.store(grains, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  uint64_t round = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  uint64_t open = round << 32;
  ticket_.store(open, std::memory_order_release);
  signal_.fetch_add(1, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) > 0)
    signal_.notify_all();

  claim(0, open);
  for (int spin = 0; finished_.load(std::memory_order_acquire) < grains; ++spin) {
    if (spin < kSpinsBeforeYield)
      _mm_pause();
    else
      sched_yield();
  }
  ticket_.store(open | kClosed, std::memory_order_release);
}

} // namespace moert
