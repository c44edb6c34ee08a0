// The threads that run kernels. A launch is a range of work units, cut into grains that threads claim one
// after another by an atomic counter: a fast thread takes more of them, and no result depends on who took
// what. The caller claims too, and never waits for a thread that has claimed nothing, so that a sleeping or
// preempted worker costs nothing but its help. Between launches workers spin a short while before they sleep,
// since the next launch of a step follows within microseconds.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace moert {

class ThreadPool {
public:
  /// `threads` counts the caller's, which works too, so it is at least 1. The pool has fewer where the system
  /// gives no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  /// Calls body(context, thread, begin, end) until [0, units) is covered, each call taking at most `grain`
  /// units, or fewer where threads would go without any, and returns when all are done. A pool of one takes
  /// everything in one call. One caller at a time; neither allocates nor throws.
  using Body = void (*)(void *context, int thread, int64_t begin, int64_t end);
  void run(int64_t units, int64_t grain, Body body, void *context);

private:
  void work(int thread);
  /// Claims grains of the job of `round` until none is left. False where that job is over.
  bool claim(int thread, uint64_t ticket);

  // A ticket is round << 32 | next grain. A claim is a compare-and-swap on the whole of it, so a late worker
  // that read the fields of a job cannot claim from the next one. While a round is closed its grain part is
  // all ones, and only then are the fields written.
  static constexpr uint64_t kClosed = 0xFFFFFFFFu;
  alignas(64) std::atomic<uint64_t> ticket_{kClosed};
  alignas(64) std::atomic<int64_t> finished_{0}; // grains done in this round
  alignas(64) std::atomic<uint32_t> signal_{0};  // changes when a round opens: what sleepers wait on
  std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<Body> body_{nullptr};
  std::atomic<void *> context_{nullptr};
  std::atomic<int64_t> units_{0}, grains_{0};
  std::vector<std::thread> workers_;
};

} // namespace moert
