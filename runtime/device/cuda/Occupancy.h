// How many blocks of a kernel a multiprocessor of a GPU runs at once: by the threads, registers and shared memory that
// it has and a block takes ("Multiprocessor Level", and the table "Technical Specifications per Compute Capability", in
// the CUDA C++ Programming Guide).
#pragma once

#include <optional>
#include <string_view>

namespace moert::cuda {

struct Multiprocessor {
  unsigned warps, blocks;  // at most, at once
  unsigned registers;      // of 32 bits
  unsigned sharedBytes;    // for all its blocks
  unsigned reservedShared; // bytes of a block's that the driver takes
};

/// Of an architecture as NVIDIA names it: "sm_90a". Nothing for one that this does not know.
std::optional<Multiprocessor> multiprocessorOf(std::string_view architecture);

/// 0 if a block is too large for it.
unsigned residentBlocks(const Multiprocessor &of, unsigned threads, unsigned registers, unsigned sharedBytes);

/// The part of a multiprocessor's warps that so many blocks are, from 0 to 1.
double occupancy(const Multiprocessor &of, unsigned blocks, unsigned threads);

} // namespace moert::cuda
