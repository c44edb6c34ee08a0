// A launch of a kernel: what cuLaunchKernel was given. Arguments are a copy, with the device's addresses in them.
#pragma once

#include "runtime/emulator/Checker.h"
#include "runtime/emulator/Module.h"

#include <atomic>
#include <mutex>

namespace moe::emu {

struct Launch {
  std::shared_ptr<const LoadedModule> module;
  const KernelEntry *kernel = nullptr;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  uint32_t shared = 0; // dynamic
  std::vector<std::byte> arguments;

  uint64_t blocks() const { return uint64_t(grid[0]) * grid[1] * grid[2]; }
  uint32_t threads() const { return block[0] * block[1] * block[2]; }
  uint64_t sharedBytes() const {
    return shared ? (uint64_t(kernel->shared) + 15) / 16 * 16 + shared : kernel->shared;
  }
};

/// A launch that is executed now: what all of its blocks have in common.
struct LaunchRun {
  uint64_t number; // of all launches of the process, from 1
  const Launch *launch;
  Entry entry;
  const void *arguments; // with the host's pointers
  const DeviceMemory *memory;
  Checker *checker; // in the checked mode
  Piece piece;
  uint64_t seed;
  bool lateCopies; // copyAsync copies when the thread waits for it, else at once

  /// A read of memory that was never written, in the checked mode. It is reported when the block or, of global memory, the launch
  /// has ended, or fails otherwise: a write that comes later shows that the two were a race.
  Findings unwritten;
  bool unwrittenIsShared = false;

  std::atomic<bool> failed{false};
  std::mutex mutex;
  Finding finding; // the first

  void report(Finding found) {
    std::lock_guard lock(mutex);
    if (!failed.exchange(true))
      finding = std::move(found);
  }
};

} // namespace moe::emu
