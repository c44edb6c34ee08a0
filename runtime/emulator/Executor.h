// Executes launches of kernels, one at a time: blocks in an order from the seed, on all threads of the host; in the checked mode on
// one, so that what is reported is the same in every run.
#pragma once

#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/emulator/BlockRunner.h"
#include "runtime/emulator/Settings.h"

namespace moe::emu {

class Executor {
public:
  explicit Executor(const Settings &settings);

  /// `piece`: its place in the order of work, in the checked mode.
  Findings run(const Launch &launch, const DeviceMemory &memory, Checker *checker, Piece piece);

private:
  void runBlocks(LaunchRun &run, int thread, int64_t begin, int64_t end);

  const Settings &settings_;
  moert::ThreadPool pool_;
  std::vector<std::unique_ptr<BlockRunner>> runners_;
};

} // namespace moe::emu
