// The CPU as sessions see it: its threads, each thread's scratch, and one arena for temporaries. Sessions on
// one device (a training step, an evaluation at another batch) run one at a time and share all of it: nothing
// in the arena outlives a run. Memory grows when a session opens and never during a step.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/cpu/Memory.h"
#include "runtime/cpu/ThreadPool.h"

#include <memory>

namespace moert {

class Device {
public:
  /// `threads` 0 takes every core that this process may use.
  static Result<std::shared_ptr<Device>> create(int threads = 0);

  int threads() const { return pool_.threads(); }
  ThreadPool &pool() { return pool_; }
  /// Makes room for temporaries and for each thread's scratch. Moves what was there: sessions ask for the
  /// base anew at each run.
  Status reserve(size_t arenaBytes, size_t scratchBytesAThread);
  std::byte *arena() { return arena_.data(); }
  std::byte *scratch(int thread) { return scratch_.data() + size_t(thread) * scratchStride_; }
  size_t arenaBytes() const { return arena_.size(); }
  size_t scratchBytes() const { return scratch_.size(); }

private:
  explicit Device(int threads) : pool_(threads) {}
  ThreadPool pool_;
  Memory arena_, scratch_;
  size_t scratchStride_ = 0;
};

} // namespace moert
