// How a set of flow ops becomes one loop kernel of the CPU: the loop nests (kernels/LoopNests.h), the
// dimension along which each nest is vectorised, and the work units. Fusion uses this to decide whether ops
// can be one kernel, and how parallel it is; the emitter follows it. The dimensions that every stage has are
// split among work units. If that gives too few units, a large reduction is cut into chunks instead, whose
// partial results a second kernel combines.
#pragma once
#include "passes/host/CpuTarget.h"
#include "passes/kernels/LoopNests.h"

namespace moe::cpu {
using namespace moe::kernels;
using host::CpuTarget;

class LoopAnalysis : public LoopNests {
public:
  // Nothing if the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopAnalysis> run(const LoopSource &source, const CpuTarget &target,
                                         std::string *reason = nullptr);

  llvm::SmallVector<unsigned> units; // dimensions that are split among work units; the last one in chunks
  int64_t chunk = 1; // indices of the last unit dimension in a unit; if vectorised, a multiple of the lanes
  bool vectorChunk = false; // the last unit dimension is the vectorised one
  bool split = false; // two kernels: partial results of each chunk of `splitDim`, then their combination
  unsigned splitDim = none;
  int64_t splitChunk = 1;
  double work = 0;        // elements that the nests compute, at the planned batch
  double parallelism = 1; // work units at the planned batch

private:
  explicit LoopAnalysis(LoopNests nests) : LoopNests(std::move(nests)) {}
};

} // namespace moe::cpu
