// What the environment says of the emulator. It is read when a primary context is made.
//   MOE_EMULATOR=checked         reports faults of kernels and of the use of the driver; `fast` is the default
//   MOE_EMULATOR_SEED=N          order of blocks, warps and lanes, 0 by default
//   MOE_EMULATOR_COPIES=early    a kernel's asynchronous copies land when they are issued, not when they are waited for (`late`)
//   MOE_EMULATOR_THREADS=N       threads of the host, 1 to 24, by default as many of them as this process may use
//   MOE_EMULATOR_ARCHITECTURE=A  the GPU: sm_80, sm_90a (the default) or sm_100a
//   MOE_EMULATOR_MEMORY=N        its memory in MiB, by default half of the host's
//   MOE_EMULATOR_FAIL_CALL=N     the N-th call of the driver fails with CUDA_ERROR_UNKNOWN, and does nothing else
//   MOE_EMULATOR_FAIL_KERNEL=N   the N-th kernel that is run fails with CUDA_ERROR_ILLEGAL_ADDRESS, which ends the context
// Both are counted from 1: calls since cuInit, without those that need no driver, and kernels since the context was made. They are
// for tests of what a user of the driver does when it fails.
#pragma once

#include "runtime/emulator/Finding.h"

#include <cstdint>

namespace moe::emu {

struct Architecture {
  const char *name;
  int major, minor;
  int optInShared; // bytes of shared memory that a block can have
};

struct Settings {
  bool checked = false;
  uint64_t seed = 0;
  bool lateCopies = true;
  int threads = 1;
  const Architecture *architecture = nullptr;
  uint64_t memory = 0;
  uint64_t failCall = 0, failKernel = 0; // 0: none

  /// A finding where a value is none of those above.
  static Findings read(Settings &settings);
};

} // namespace moe::emu
