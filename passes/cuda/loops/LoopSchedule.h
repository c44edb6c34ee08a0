// How a set of flow ops becomes one loop kernel of a GPU: the loop nests (kernels/LoopNests.h), and how threads share
// them. A work unit is one index along each of the dimensions `units`, which all stages have. It is computed by a
// team of threads:
//   - one thread, if the unit's loops are short, or if vectors lie along a dimension of the units. Neighbouring
//     threads then have neighbouring vectors, so their accesses are coalesced. Nothing is shared between threads.
//   - a warp or a block, which share the points of each nest. Reductions are combined across the team, and values
//     that one nest passes to another are in shared memory.
// If that gives too few threads, a large reduction is cut into chunks, whose partial results a second kernel combines.
// All numbers follow from the sizes alone, estimated at the planned batch.
#pragma once
#include "passes/kernels/LoopNests.h"

namespace moe::cuda {
using namespace moe::kernels;

/// How the threads of one kernel share its work.
struct LoopShape {
  llvm::SmallVector<unsigned> units; ///< the last one varies fastest
  bool vectorUnits = false;          ///< a unit has one vector, not one index, along the last of `units`
  int64_t team = 1;                  ///< threads of a unit
  int64_t block = 256;               ///< threads of a block, a multiple of `team`
  int64_t width = 1;                 ///< elements of a vector; sizes along vectors are multiples of it
  std::vector<int> vectors;          ///< by nest: the dimension that vectors lie along, or -1
  double threads = 1;                ///< at the planned batch
};

/// What a value of so many bytes takes of shared memory: the next one begins where a vector may.
inline int64_t sharedBytes(int64_t bytes) { return llvm::alignTo(bytes, 16); }

class LoopSchedule : public LoopNests {
public:
  /// Nothing if the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopSchedule> run(const LoopSource &source, std::string *reason = nullptr);

  LoopShape first;  ///< of the only kernel, or of the one that makes partial results
  LoopShape second; ///< of the kernel that combines these
  bool split = false;
  unsigned splitDim = none;
  int64_t splitChunk = 1;
  double work = 0; ///< elements that the nests compute, at the planned batch

private:
  explicit LoopSchedule(LoopNests nests) : LoopNests(std::move(nests)) {}
};

} // namespace moe::cuda
