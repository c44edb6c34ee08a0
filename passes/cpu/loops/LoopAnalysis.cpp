// Chooses the vectorised dimension of each loop nest, and the work units; see LoopAnalysis.h. The steps:
//   1. chooseVector: the dimension that is innermost in most of the memory that a nest accesses.
//   2. findUnits: splits dimensions that all stages have among work units, outermost first, until a unit is
//      small.
//   3. considerSplit: if there are too few units and the first nest is a large reduction, cuts that into
//      chunks.
#include "passes/cpu/loops/LoopAnalysis.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace moe::cpu {

// The elements that a work unit should compute: enough to outweigh the cost of starting it, and so few that
// there are enough units for all threads.
static constexpr double unitWork = 8192;
// A reduction with few parallel units and at least `splitFrom` elements is cut into chunks of about
// `splitPiece`.
static constexpr double splitFrom = 131072, splitPiece = 65536;
// The most scratch of all intermediate values.
static constexpr int64_t scratchBytes = 512 * 1024;

class LoopScheduler {
public:
  LoopScheduler(LoopAnalysis &a, const LoopSource &source, const CpuTarget &target)
      : a(a), source(source), target(target) {}

  LogicalResult run() {
    for (size_t i = 0; i < a.nests.size(); ++i)
      chooseVector(i, {});
    return findUnits();
  }
  std::string why;

private:
  LogicalResult fail(const Twine &message) {
    why = message.str();
    return failure();
  }
  void chooseVector(size_t index, ArrayRef<unsigned> barred) {
    a.nests[index].vector = a.vectorDim(a.nests[index], source, barred);
  }
  double volume(const LoopNest &nest) { return a.volume(nest, source.batch); }
  LogicalResult findUnits() {
    for (LoopNest &nest : a.nests)
      a.work += volume(nest);
    double inner = a.work;
    int64_t lanes = target.lanes();
    for (unsigned d : a.unitCandidates()) {
      double extent = flow::estimate(a.dims[d].extent, source.batch), rest = inner / extent;
      double along = 0;
      for (LoopNest &nest : a.nests)
        if (nest.vector == int(d))
          along += volume(nest);
      bool vector = llvm::all_of(a.nests, [&](LoopNest &n) { return n.vector == int(d); });
      if (!vector && along > 0.25 * a.work)
        continue;
      // Small nests that are vectorised along this dimension, which units take now, choose another one, but
      // none of those that units have taken before.
      SmallVector<unsigned> taken(a.units);
      taken.push_back(d);
      if (!vector)
        for (auto [i, nest] : llvm::enumerate(a.nests))
          if (nest.vector == int(d))
            chooseVector(i, taken);
      if (inner < unitWork && !a.units.empty())
        break;
      a.units.push_back(d);
      inner = rest;
      a.parallelism *= extent;
      if (vector || rest < unitWork) {
        a.chunk = std::max<int64_t>(1, int64_t(unitWork / rest));
        if (vector)
          a.chunk = (a.chunk + lanes - 1) / lanes * lanes, a.vectorChunk = true;
        if (std::optional<int64_t> known = a.dims[d].extent.constantValue(); known && *known < a.chunk) {
          // A unit has the whole dimension.
          a.chunk = vector ? (*known + lanes - 1) / lanes * lanes : *known;
        }
        a.parallelism /= std::min<double>(extent, a.chunk);
        break;
      }
    }
    considerSplit();
    // Values in scratch must have a constant size and fit.
    int64_t total = 0;
    for (LoopStage &stage : a.stages) {
      if (stage.output || a.split)
        continue;
      int64_t bytes = flow::storageBytes(stage.value.getType());
      for (unsigned d : stage.dims) {
        if (llvm::is_contained(a.units, d))
          continue;
        std::optional<int64_t> extent = a.dims[d].extent.constantValue();
        if (!extent)
          return fail("an intermediate value's size is known only when a batch is bound");
        if (*extent > scratchBytes || (bytes *= *extent) > scratchBytes)
          return fail("an intermediate value is too large for scratch");
      }
      total += bytes;
    }
    if (total > scratchBytes)
      return fail("the intermediate values are too large for scratch");
    return success();
  }
  // If there are few units and the first nest consists of reductions and has nearly all the work, cuts it
  // into chunks.
  void considerSplit() {
    if (a.parallelism >= 4 || a.work < splitFrom)
      return;
    const LoopNest &first = a.nests.front();
    if (first.reduced.empty() || volume(first) < 0.9 * a.work)
      return;
    for (LoopStage &stage : a.stages) {
      if (stage.nest == 0) {
        if (!stage.reduces)
          return;
        // Segments are short, so cutting them would only add rounding errors.
        if (!stage.segments.empty())
          return;
      } else {
        // All other nests run in the second kernel, which has no loops over the reduced dimensions.
        for (unsigned d : first.reduced)
          if (llvm::is_contained(stage.dims, d) || llvm::is_contained(stage.reduced, d))
            return;
      }
    }
    int64_t kept = 0;
    for (LoopStage &stage : a.stages) {
      if (stage.output)
        continue;
      int64_t bytes = flow::storageBytes(stage.value.getType());
      for (unsigned d : stage.dims) {
        std::optional<int64_t> extent = a.dims[d].extent.constantValue();
        if (!extent || *extent > source.savedBytes || (bytes *= *extent) > source.savedBytes)
          return;
      }
      if ((kept += bytes) > source.savedBytes)
        return;
    }
    // Chunks are of the outermost reduced dimension, which is the vectorised one only if there is no other.
    unsigned d = first.reduced.front();
    double extent = flow::estimate(a.dims[d].extent, source.batch), rest = volume(first) / extent;
    int64_t chunk = std::max<int64_t>(1, int64_t(splitPiece / rest));
    if (first.vector == int(d))
      chunk = (chunk + 63) / 64 * 64;
    if (extent / chunk < 2)
      return;
    a.split = true;
    a.splitDim = d;
    a.splitChunk = chunk;
    a.parallelism = extent / chunk;
    a.units.clear();
    a.chunk = 1;
    a.vectorChunk = false;
  }

  LoopAnalysis &a;
  const LoopSource &source;
  const CpuTarget &target;
};

std::optional<LoopAnalysis> LoopAnalysis::run(const LoopSource &source, const CpuTarget &target,
                                              std::string *reason) {
  std::optional<LoopNests> nests = LoopNests::find(source, reason);
  if (!nests)
    return std::nullopt;
  LoopAnalysis analysis(std::move(*nests));
  LoopScheduler scheduler(analysis, source, target);
  if (succeeded(scheduler.run()))
    return analysis;
  if (reason)
    *reason = scheduler.why;
  return std::nullopt;
}

} // namespace moe::cpu
