// A plan at one batch size: every expression evaluated, every size checked, every temporary given its place.
// A session runs by it, and `moec inspect --batch` prints its sums. Rules, by number: B01 sizes neither
// overflow nor turn negative (Program.cpp); B02 the batch is at least 1 x 1; B03 a state's, port's buffer has
// the elements of what it stands for; B04 a launch touches at most what a buffer holds; B05 all memory fits
// the address space; B06 a kernel's indices can count the elements of every buffer and whatever else it counts, as the target says; B07 no
// size is 0; B08 units of work are as few as elements; B09 the CPU has what the code uses (KernelCode.cpp); B10 the
// grid, the blocks and the shared memory of a GPU kernel are within what GPUs and the kernel can take.
#pragma once

#include "runtime/program/Launch.h"
#include "runtime/program/Program.h"

#include <array>

namespace moert {

/// Bytes that a session works with.
struct MemoryUse {
  uint64_t state = 0;    // parameters, buffers, optimizer state
  uint64_t arena = 0;    // temporaries, as packed
  uint64_t live = 0;     // the largest sum of temporaries alive at one launch: what no packing can beat
  uint64_t prepared = 0; // made from parameters, kept between runs
  uint64_t ports = 0;    // inputs and outputs
  uint64_t scratch = 0;  // all threads'
  uint64_t total() const { return state + arena + prepared + ports + scratch; }
};

/// What an array takes where several lie one after another: each begins at a multiple of 64.
inline uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

/// Where a buffer lies. `separate`: a temporary in a block of its own, where the device separates buffers.
enum class Place : uint8_t { state, input, output, arena, prepared, separate };

struct BufferLayout {
  Place place;
  uint64_t offset; // in its place; of a state, input or output 0, and `index` says which
  uint32_t index;
  uint64_t bytes;
};

struct LaunchLayout {
  int64_t units = 0;                       // of a CPU kernel
  std::array<uint32_t, 3> grid{}, block{}; // of a GPU kernel: blocks, and threads of one
  uint32_t shared = 0;                     // bytes of shared memory a block, beside the kernel's own
  std::vector<int64_t> extents;            // elements, one a buffer
  double flops, bytes;
};

struct Layout {
  std::vector<BufferLayout> buffers;
  std::vector<LaunchLayout> launches;    // prepare's first
  std::vector<uint64_t> inputs, outputs; // bytes
  MemoryUse memory;                      // without state and scratch, which are shared
  uint64_t scratch = 0;                  // bytes a thread
};

/// What a state takes.
uint64_t bytesOf(const fb::State &state);

Result<Layout> layOut(const Program &program, const fb::Target &target, const fb::Plan &plan,
                      Binding binding);

/// What a session of this entry would take, without opening one (and so without the machine it is for).
Result<MemoryUse> memoryUse(const Program &program, uint32_t target, std::string_view entry, Binding binding,
                            int threads);

} // namespace moert
