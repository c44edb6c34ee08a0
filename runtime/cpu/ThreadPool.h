// The threads that run kernels. A launch is a range of work units, cut into grains that threads claim one after another
// by an atomic counter: a fast thread takes more of them, and no result depends on who took what. Between launches
// threads spin a short while before they sleep, since the next launch of a step follows within microseconds; a pool
// of one runs everything on the caller's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace moert {

class ThreadPool {
public:
  /// `threads` counts the caller's, which works too.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  /// Calls body(context, thread, begin, end) until [0, units) is covered, each call taking at most `grain` units, and
  /// returns when all are done. One caller at a time; neither allocates nor throws.
  using Body = void (*)(void *context, int thread, int64_t begin, int64_t end);
  void run(int64_t units, int64_t grain, Body body, void *context);

private:
  struct Job {
    Body body = nullptr;
    void *context = nullptr;
    int64_t units = 0, grain = 1;
  };
  void work(int thread);
  void claim(int thread);

  Job job_;
  alignas(64) std::atomic<int64_t> next_{0};      // first unclaimed unit
  alignas(64) std::atomic<uint32_t> round_{0};    // raised once a job; workers wait for it to change
  alignas(64) std::atomic<int> pending_{0};       // workers that have not finished this round
  alignas(64) std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

} // namespace moert
