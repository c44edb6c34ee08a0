// Chooses the vectorised dimension of each loop nest, and the work units; see LoopAnalysis.h. The steps:
//   1. chooseVector: the dimension that is innermost in most of the memory that a nest accesses.
//   2. findUnits: splits dimensions that all stages have among work units, outermost first, until a unit is
//      small.
//   3. considerSplit: if there are too few units and the first nest is a large reduction, cuts that into
//      chunks.
#include "passes/cpu/loops/LoopAnalysis.h"
#include "llvm/ADT/STLExtras.h"
#include <map>

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

static int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

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
  // Chooses the dimension along which most of the memory that a nest accesses is contiguous. Excluded are the
  // dimensions `barred`, and those that select a segment, since segments differ in length and each lane would
  // need its own loop.
  void chooseVector(size_t index, ArrayRef<unsigned> barred) {
    LoopNest &nest = a.nests[index];
    SmallVector<unsigned> except(barred);
    for (const LoopSegments &segments : nest.segments)
      except.append(segments.at);
    nest.vector = -1;
    std::map<unsigned, double> score;
    auto vote = [&](ArrayRef<unsigned> ordered, double weight) {
      for (unsigned c : llvm::reverse(ordered)) {
        unsigned d = a.dimOfClass[c];
        if (d == LoopAnalysis::none || llvm::is_contained(except, d))
          continue;
        if (llvm::is_contained(nest.dims, d) || llvm::is_contained(nest.reduced, d))
          score[d] += weight;
        return;
      }
    };
    for (unsigned s : nest.stages) {
      LoopStage &stage = a.stages[s];
      if (stage.output) {
        SmallVector<unsigned> classes;
        for (int64_t axis : axisOrder(source.layout(stage.value), rankOf(stage.value)))
          if (unsigned c = a.classOf(stage.value, axis); c != LoopAnalysis::none)
            classes.push_back(c);
        vote(classes, flow::estimateElements(stage.value.getType(), source.batch));
      }
      for (auto [op, operand] : a.reads[s].leaves) {
        Value value = op->getOperand(operand);
        SmallVector<unsigned> classes;
        for (int64_t axis : axisOrder(source.layout(value), rankOf(value)))
          if (unsigned c = a.classOf(op, operand, axis); c != LoopAnalysis::none)
            classes.push_back(c);
        // If the operand of a view has no dimension of the nest as its innermost axis, its result's axes are
        // used.
        bool known = !classes.empty() && a.dimOfClass[classes.back()] != LoopAnalysis::none;
        if (!known && op->getNumResults())
          classes = a.classesOf(op->getResult(0));
        vote(classes, flow::estimateElements(value.getType(), source.batch));
      }
      for (auto [value, straight] : a.reads[s].stages) {
        const LoopStage &need = *a.stageOf(value);
        if (!need.dims.empty()) {
          unsigned d = need.dims.back();
          if (llvm::is_contained(except, d))
            continue;
          if (llvm::is_contained(nest.dims, d) || llvm::is_contained(nest.reduced, d))
            score[d] += 0.5 * flow::estimateElements(value.getType(), source.batch);
        }
      }
    }
    double best = -1;
    for (auto [d, weight] : score)
      if (weight > best)
        best = weight, nest.vector = d;
    if (nest.vector < 0) {
      // No memory is accessed along any dimension. Takes the longest loop, if possible one that units do not
      // split.
      auto longest = [&](bool sharedToo) {
        for (unsigned d : llvm::concat<unsigned>(nest.dims, nest.reduced)) {
          double extent = flow::estimate(a.dims[d].extent, source.batch);
          if (llvm::is_contained(except, d) || extent <= best ||
              (!sharedToo && a.shared.contains(a.dims[d].classes.back())))
            continue;
          best = extent;
          nest.vector = d;
        }
      };
      longest(false);
      if (nest.vector < 0)
        longest(true);
    }
  }

  double volume(const LoopNest &nest) {
    double product = 1;
    for (unsigned d : llvm::concat<const unsigned>(nest.dims, nest.reduced))
      product *= flow::estimate(a.dims[d].extent, source.batch);
    // All segments together have the length of the dimension, so the dimensions that select segments do not
    // count.
    for (const LoopSegments &segments : nest.segments)
      for (unsigned d : segments.at)
        product /= flow::estimate(a.dims[d].extent, source.batch);
    return product * nest.stages.size();
  }
  LogicalResult findUnits() {
    for (LoopNest &nest : a.nests)
      a.work += volume(nest);
    SmallVector<unsigned> capable;
    for (unsigned d = 0; d < a.dims.size(); ++d)
      if (llvm::all_of(a.stages, [&](LoopStage &s) { return llvm::is_contained(s.dims, d); }) &&
          llvm::all_of(a.dims[d].classes, [&](unsigned c) { return a.shared.contains(c); }))
        capable.push_back(d);
    double inner = a.work;
    int64_t lanes = target.lanes();
    for (unsigned d : capable) {
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
