// A plan at one batch size: every expression evaluated, every size checked, every temporary given its place.
// A session runs by it, and `moec inspect --batch` prints its sums. Rules, by number: B01 sizes neither
// overflow nor turn negative (Program.cpp); B02 the batch is at least 1 x 1; B03 a state's, port's buffer has
// the elements of what it stands for; B04 a launch touches at most what a buffer holds; B05 all memory fits
// the address space; B06 a kernel's 32-bit lanes can index every buffer and whatever else it counts; B07 no
// size is 0; B08 units of work are as few as elements; B09 the CPU has what the code uses (KernelCode.cpp).
#pragma once

#include "runtime/program/Program.h"
#include "runtime/session/Session.h"

namespace moert {

/// Where a buffer lies.
enum class Place : uint8_t { state, input, output, constant, arena, prepared };

struct BufferLayout {
  Place place;
  uint64_t offset; // in its place; of a state, input or output 0, and `index` says which
  uint32_t index;
  uint64_t bytes;
};

struct LaunchLayout {
  int64_t units;
  std::vector<int64_t> extents; // elements, one a buffer
  double flops, bytes;
};

struct Layout {
  std::vector<BufferLayout> buffers;
  std::vector<LaunchLayout> launches;    // prepare's first
  std::vector<uint64_t> inputs, outputs; // bytes
  Session::MemoryUse memory;             // without state and scratch, which are shared
  uint64_t scratch = 0;                  // bytes a thread
};

Result<Layout> layOut(const Program &program, const fb::Target &target, const fb::Plan &plan,
                      Binding binding);

} // namespace moert
