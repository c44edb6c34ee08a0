// Chooses how threads share the work of loop nests; see LoopSchedule.h. The steps:
//   1. shapeOf: one thread a unit if vectors lie along the units or the units are small; otherwise a team, whose
//      threads share vectors along the dimension that is innermost in memory.
//   2. considerSplit: if there are too few threads and the first nest is a large reduction, cuts that into chunks.
#include "passes/cuda/loops/LoopSchedule.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace moe::cuda {

// A kernel with fewer threads than this leaves most of a large GPU idle.
static constexpr double enoughThreads = 16384;
// A reduction of at least `splitFrom` elements on too few threads is cut into chunks: at most `mostChunks`, each with
// at least `pieceTurns` elements a thread.
static constexpr double splitFrom = 65536, mostChunks = 128, pieceTurns = 16;
// A unit with less work than `threadWork` is a thread's even if its vectors do not lie along the units; one with less
// than `warpWork` is a warp's.
static constexpr double threadWork = 16, warpWork = 2048;
// Vectors of four elements pay only if that many threads are left.
static constexpr double vectorThreads = 8192;
// The most values at a point that are computed in vectors, since each takes as many registers.
static constexpr size_t vectorValues = 192;
// Shared memory of all intermediate values of a block; the rest is for reductions.
static constexpr int64_t valueBytes = kSharedBytes - 4096;
// The slots of an accumulator, by which a reduction is combined across the warps of a block.
static constexpr int64_t slotBytes = 256 / kWarp * 4;
// The most shared memory of a value that is stored only to avoid recomputation.
static constexpr int64_t savedBytes = 16 * 1024;

namespace {

/// A nest as one kernel runs it. In the kernel that combines partial results, the first nest reduces over chunks.
struct Part {
  const LoopNest *nest;
  unsigned number;
  SmallVector<unsigned> reduced;
  int vector;
  double volume;
};

class LoopScheduler {
public:
  LoopScheduler(LoopSchedule &a, const LoopSource &source) : a(a), source(source) {}

  LogicalResult run() {
    std::vector<Part> parts;
    for (auto [i, nest] : llvm::enumerate(a.nests)) {
      parts.push_back({&nest, unsigned(i), nest.reduced, a.vectorDim(nest, source), volumeOf(nest)});
      a.work += parts.back().volume;
    }
    std::optional<LoopShape> shape = shapeOf(parts, a.unitCandidates(), /*stores=*/true);
    considerSplit(parts, shape ? shape->threads : 1);
    if (a.split)
      return success();
    if (!shape)
      return failure();
    a.first = *shape;
    return success();
  }
  std::string why;

private:
  double extentOf(unsigned d) const { return flow::estimate(a.dims[d].extent, source.batch); }
  double volumeOf(const LoopNest &nest) const { return a.volume(nest, source.batch); }
  bool isMultiple(unsigned d, int64_t by) const {
    const flow::Extent &extent = a.dims[d].extent;
    return bool(extent.exactQuotient(flow::Extent::constant(extent.getContext(), by)));
  }

  /// The width of vectors. `threads` is the number of threads that vectors of one element would occupy.
  int64_t widthOf(ArrayRef<Part> parts, double threads) const {
    constexpr int64_t four = 4;
    if (threads / four < vectorThreads || a.values > vectorValues)
      return 1;
    bool any = false;
    for (const Part &part : parts) {
      if (part.vector < 0)
        continue;
      any = true;
      if (!isMultiple(part.vector, four))
        return 1;
      for (const LoopSegments &segments : part.nest->segments)
        if (segments.dim == unsigned(part.vector) || llvm::is_contained(segments.at, unsigned(part.vector)))
          return 1;
    }
    return any ? four : 1;
  }

  LoopShape blank() const {
    LoopShape shape;
    shape.vectors.assign(a.nests.size(), -1);
    return shape;
  }

  /// One thread a unit. `stores` says whether the kernel stores values for later nests; a thread has no memory for
  /// such a value, so it must have no dimension inside the unit.
  std::optional<LoopShape> threadShape(ArrayRef<Part> parts, ArrayRef<unsigned> candidates,
                                       bool stores) const {
    for (const Part &part : parts)
      for (unsigned s : part.nest->stages)
        if (const LoopStage &stage = a.stages[s]; stores && !stage.output)
          for (unsigned d : stage.dims)
            if (!llvm::is_contained(candidates, d))
              return std::nullopt;
    LoopShape shape = blank();
    double most = 0, all = 0;
    int vector = -1;
    for (unsigned d : candidates) {
      double along = 0;
      for (const Part &part : parts)
        if (part.vector == int(d))
          along += part.volume;
      if (along > most)
        most = along, vector = d;
    }
    for (const Part &part : parts)
      all += part.volume;
    for (unsigned d : candidates) {
      shape.threads *= extentOf(d);
      if (int(d) != vector)
        shape.units.push_back(d);
    }
    if (vector < 0 || most < 0.5 * all) {
      if (vector >= 0)
        shape.units.assign(candidates.begin(), candidates.end());
      return shape;
    }
    shape.units.push_back(vector);
    shape.vectorUnits = true;
    std::vector<Part> along(parts.begin(), parts.end());
    for (Part &part : along)
      part.vector = shape.vectors[part.number] = vector;
    shape.width = widthOf(along, shape.threads);
    shape.threads /= double(shape.width);
    return shape;
  }

  /// A warp or a block a unit.
  std::optional<LoopShape> teamShape(ArrayRef<Part> parts, ArrayRef<unsigned> candidates, bool stores) {
    LoopShape shape = blank();
    double all = 0, units = 1;
    for (const Part &part : parts)
      all += part.volume;
    for (unsigned d : candidates) {
      double along = 0;
      for (const Part &part : parts)
        if (part.vector == int(d))
          along += part.volume;
      if (along > 0.25 * all)
        continue;
      shape.units.push_back(d);
      units *= extentOf(d);
    }
    // Nests that are vectorised along a dimension that units take now choose another one.
    std::vector<Part> own(parts.begin(), parts.end());
    for (Part &part : own) {
      if (part.vector >= 0 && llvm::is_contained(shape.units, unsigned(part.vector)))
        part.vector = a.vectorDim(*part.nest, source, shape.units);
      if (part.vector >= 0 && !llvm::is_contained(part.nest->dims, unsigned(part.vector)) &&
          !llvm::is_contained(part.reduced, unsigned(part.vector)))
        part.vector = -1;
      shape.vectors[part.number] = part.vector;
    }
    // Each accumulator has a slot for each warp of a block.
    for (const Part &part : parts) {
      int64_t accumulators = 0;
      for (unsigned s : part.nest->reductions)
        accumulators +=
            int64_t(cast<flow::ReductionInterface>(a.stages[s].value.getDefiningOp()).accumulators().size());
      if (accumulators * slotBytes > kSharedBytes - valueBytes) {
        why = "a nest has too many reductions for shared memory";
        return std::nullopt;
      }
    }
    const double each = all / units;
    shape.team = each < warpWork ? kWarp : 256;
    // Values that one nest passes to another are in shared memory.
    int64_t bytes = 0;
    for (const Part &part : parts)
      for (unsigned s : part.nest->stages) {
        const LoopStage &stage = a.stages[s];
        if (!stores || stage.output)
          continue;
        int64_t size = flow::storageBytes(stage.value.getType());
        bool inside = false;
        for (unsigned d : stage.dims) {
          if (llvm::is_contained(shape.units, d))
            continue;
          inside = true;
          std::optional<int64_t> extent = a.dims[d].extent.constantValue();
          if (!extent) {
            why = "an intermediate value's size is known only when a batch is bound";
            return std::nullopt;
          }
          if (*extent > valueBytes || (size *= *extent) > valueBytes) {
            why = "an intermediate value is too large for shared memory";
            return std::nullopt;
          }
        }
        bytes += inside ? sharedBytes(size) : 0;
      }
    if (bytes > valueBytes) {
      why = "the intermediate values are too large for shared memory";
      return std::nullopt;
    }
    shape.block = shape.team;
    if (shape.team == kWarp && 4 * bytes <= valueBytes)
      shape.block = 4 * kWarp;
    // The largest nest should still occupy the team.
    double longest = 0;
    for (const Part &part : parts)
      longest = std::max(longest, part.volume / double(part.nest->stages.size()) / units);
    if (longest >= 4.0 * double(shape.team))
      shape.width = widthOf(own, units * each);
    shape.threads = units * double(shape.team);
    return shape;
  }

  std::optional<LoopShape> shapeOf(ArrayRef<Part> parts, ArrayRef<unsigned> candidates, bool stores) {
    std::optional<LoopShape> thread = threadShape(parts, candidates, stores),
                             team = teamShape(parts, candidates, stores);
    if (!thread || !team)
      return thread ? thread : team;
    double all = 0;
    for (const Part &part : parts)
      all += part.volume;
    const double each = all / thread->threads;
    if (each < threadWork)
      return thread;
    // If vectors lie along the units, teams access memory as well only inside of each unit.
    if (thread->vectorUnits)
      return thread->threads >= enoughThreads || thread->threads * 8 >= team->threads ? thread : team;
    return team;
  }

  /// If there are few threads and the first nest consists of reductions and has nearly all the work, cuts it into
  /// chunks.
  void considerSplit(ArrayRef<Part> parts, double threads) {
    if (threads >= enoughThreads || a.work < splitFrom)
      return;
    const LoopNest &first = a.nests.front();
    if (first.reduced.empty() || parts[0].volume < 0.9 * a.work)
      return;
    for (LoopStage &stage : a.stages) {
      if (stage.nest == 0) {
        // Segments are short, so cutting them would only add rounding errors.
        if (!stage.reduces || !stage.segments.empty())
          return;
        continue;
      }
      // All other nests run in the second kernel, which has no loops over the reduced dimensions.
      for (unsigned d : first.reduced)
        if (llvm::is_contained(stage.dims, d) || llvm::is_contained(stage.reduced, d))
          return;
    }
    std::optional<LoopShape> partial =
        shapeOf(parts.take_front(), SmallVector<unsigned>(first.dims), /*stores=*/false);
    if (!partial)
      return;
    // Chunks are of the outermost reduced dimension.
    const unsigned d = first.reduced.front();
    const double turns =
        parts[0].volume / double(first.stages.size()) / (partial->threads * double(partial->width));
    double chunks =
        std::min({mostChunks, enoughThreads * 2 / partial->threads, turns / pieceTurns, extentOf(d)});
    if (chunks < 2)
      return;
    int64_t chunk = int64_t(std::ceil(extentOf(d) / chunks));
    if (partial->vectors[0] == int(d))
      chunk = (chunk + 63) / 64 * 64;
    if (extentOf(d) / double(chunk) <= 1)
      return;
    // The partial results have the loops' order in memory.
    std::vector<Part> rest(parts.begin(), parts.end());
    rest[0].reduced.clear();
    rest[0].vector = first.dims.empty() ? -1 : int(first.dims.back());
    rest[0].volume = extentOf(d) / double(chunk);
    for (unsigned inside : first.dims)
      rest[0].volume *= extentOf(inside);
    std::optional<LoopShape> combine = shapeOf(rest, a.unitCandidates(), /*stores=*/true);
    if (!combine)
      return;
    a.split = true;
    a.splitDim = d;
    a.splitChunk = chunk;
    a.first = *partial;
    a.first.threads *= extentOf(d) / double(chunk);
    a.second = *combine;
  }

  LoopSchedule &a;
  const LoopSource &source;
};

} // namespace

std::optional<LoopSchedule> LoopSchedule::run(const LoopSource &source, std::string *reason) {
  LoopSource own = source;
  own.savedBytes = std::min(own.savedBytes, savedBytes);
  std::optional<LoopNests> nests = LoopNests::find(own, reason);
  if (!nests)
    return std::nullopt;
  LoopSchedule schedule(std::move(*nests));
  LoopScheduler scheduler(schedule, own);
  if (succeeded(scheduler.run()))
    return schedule;
  if (reason)
    *reason = scheduler.why;
  return std::nullopt;
}

} // namespace moe::cuda
