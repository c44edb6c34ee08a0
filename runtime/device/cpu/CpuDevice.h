// The CPU as a device: threads, each thread's scratch, and one arena for temporaries. What it is asked for is
// done before it returns, and the host uses its memory directly. Sessions on one device (a training step, an
// evaluation at another batch) run one at a time and share all of it: nothing in the arena outlives a run.
#pragma once

#include "runtime/base/Memory.h"
#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"

namespace moert {

/// The threads that run kernels, and the scratch of each.
class CpuWorkers {
public:
  explicit CpuWorkers(int threads) : pool_(threads) {}
  ThreadPool &pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  Status reserve(uint64_t scratchBytesAThread);
  std::byte *scratch(int thread) { return scratch_.data() + size_t(thread) * stride_; }
  uint64_t scratchBytes() const { return scratch_.size(); }
  /// From now on, launches add up how long each thread is at work in them.
  void timeWork();
  bool timesWork() const { return !busy_.empty(); }
  void addWork(int thread, double seconds) { busy_[size_t(thread)].seconds += seconds; }
  /// The sum over all threads, between launches; nothing where they do not add it up.
  std::optional<double> busySeconds() const;

private:
  ThreadPool pool_;
  Memory scratch_;
  size_t stride_ = 0;
  struct alignas(64) Work {
    double seconds = 0;
  };
  std::vector<Work> busy_; // of each thread
};

/// Checks the number, and starts the threads; 0 takes every core that this process may use.
Result<std::unique_ptr<CpuWorkers>> startWorkers(int threads);

/// A plan as calls of functions with arrays of pointers and scalars, which lie next to each other in memory;
/// a run patches the few scalars that differ from the last one and calls the functions in order. It
/// allocates nothing. Addresses of the device become pointers by adding `distance`.
Result<std::unique_ptr<BoundPlan>> bindCpuPlan(PlanSource source, Device &device, CpuWorkers &workers,
                                               int64_t distance);

} // namespace moert
