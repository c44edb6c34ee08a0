// How the emulator calls a kernel, and what the kernel asks of it. A kernel of the GPU is compiled for the host as one function
// that a single GPU thread executes. It gets its thread's indices and a table of services from a context, so that its code needs
// no relocations. The compiler generates code for this interface, and tests write kernels for it by hand: it is plain C++, and its
// offsets are fixed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moe::emu {

struct Services;

/// What a kernel knows of the thread that executes it. The emulator's own fields follow.
struct ThreadContext {
  uint32_t tid[3];
  uint32_t ctaid[3];
  uint32_t ntid[3];
  uint32_t nctaid[3];
  std::byte *shared; // the block's shared memory: static first, then, at the next multiple of 16, dynamic
  const Services *services;
  uint32_t lane;
  uint32_t warp;
};
static_assert(offsetof(ThreadContext, ctaid) == 12 && offsetof(ThreadContext, ntid) == 24 &&
              offsetof(ThreadContext, nctaid) == 36 && offsetof(ThreadContext, shared) == 48 &&
              offsetof(ThreadContext, services) == 56 && offsetof(ThreadContext, lane) == 64 &&
              offsetof(ThreadContext, warp) == 68);

/// A kernel, executed by one thread. `arguments` are packed as in CUDA's parameter space: in order, each at its natural
/// alignment. Pointers are the host's.
using Entry = void (*)(ThreadContext *, const void *arguments);

/// Which lane a shuffle reads, in the order of PTX's shfl.sync modes.
enum class Shuffle : uint32_t { bfly, up, down, idx };

enum AccessFlags : uint32_t {
  kWrite = 1,        // otherwise a read
  kSharedMemory = 2, // otherwise global memory
};

/// `site` is an index into the module's sites: the source line that the call comes from.
struct Services {
  /// __syncthreads
  void (*barrier)(ThreadContext *, uint32_t site);
  /// __syncwarp
  void (*warpBarrier)(ThreadContext *, uint32_t mask, uint32_t site);
  /// shfl.sync, with the operands of PTX: `kind` is a Shuffle, `clamp` also has the segment mask. Bit 32 of the result is the
  /// predicate: whether the source lane was in range.
  uint64_t (*shuffle)(ThreadContext *, uint32_t mask, uint32_t value, uint32_t offset, uint32_t clamp,
                      uint32_t kind, uint32_t site);
  /// The lanes of the mask whose predicate is not 0.
  uint32_t (*ballot)(ThreadContext *, uint32_t mask, uint32_t predicate, uint32_t site);
  /// Returns the value before.
  uint32_t (*atomicAdd)(ThreadContext *, uint32_t *address, uint32_t value, uint32_t site);
  /// cp.async of 4, 8 or 16 bytes
  void (*copyAsync)(ThreadContext *, void *shared, const void *global, uint32_t bytes, uint32_t site);
  /// cp.async.commit_group
  void (*copyCommit)(ThreadContext *);
  /// cp.async.wait_group: at most the latest `groups` groups of the thread are still to be copied.
  void (*copyWait)(ThreadContext *, uint32_t groups);
  /// mma.sync.m16n8k8 with tf32 factors: the lane's fragments of a, b and c, and of the result. Lower 13 bits of the factors are
  /// ignored, and sums are f64 that are rounded once.
  void (*mmaTf32)(ThreadContext *, const float a[4], const float b[2], const float c[4], float d[4],
                  uint32_t site);
  /// Checked entries only, before each load and store of global or shared memory; not for memory of the thread itself. The
  /// address is a multiple of `bytes` where that is a power of two up to 16. `flags` are AccessFlags.
  void (*access)(ThreadContext *, const void *address, uint32_t bytes, uint32_t flags, uint32_t site);
};

} // namespace moe::emu
