// How a set of flow ops runs as one loop kernel of the CPU: the nests (kernels/LoopNests.h), the dimension that each
// runs its lanes along, and work units. Fusion asks whether a set can be one kernel, and what parallelism it has; the
// emitter follows the answer. Dimensions that every stage has are split among work units; where there are none, a
// reduction is cut into chunks whose partial results a second kernel combines.
#pragma once
#include "passes/cpu/CpuTarget.h"
#include "passes/kernels/LoopNests.h"

namespace moe::cpu {
using namespace moe::kernels;

class LoopAnalysis : public LoopNests {
public:
  // Nothing where the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopAnalysis> run(const LoopSource &source, const CpuTarget &target,
                                         std::string *reason = nullptr);

  llvm::SmallVector<unsigned> units; // dimensions that work units run over; the last in chunks
  int64_t chunk = 1;        // of the last unit dimension; a multiple of the lanes where it is a vector
  bool vectorChunk = false; // the chunked dimension is the one that lanes run along
  bool split = false;       // two kernels: partial results a chunk of `splitDim`, then their sum
  unsigned splitDim = none;
  int64_t splitChunk = 1;
  double work = 0;        // elements that the nests touch, at the planned batch
  double parallelism = 1; // work units at that batch

private:
  explicit LoopAnalysis(LoopNests nests) : LoopNests(std::move(nests)) {}
};

} // namespace moe::cpu
