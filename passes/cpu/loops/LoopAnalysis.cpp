// Who runs the nests: the dimension of each that lanes run along, and work units, which are the dimensions that all
// stages share, or chunks of a reduction; see LoopAnalysis.h.
#include "passes/cpu/loops/LoopAnalysis.h"
#include "llvm/ADT/STLExtras.h"
#include <map>

using namespace mlir;

namespace moe::cpu {

// Elements that one unit should touch: enough to pay for its start, few enough to share out.
static constexpr double unitWork = 8192;
// From this much work a reduction without parallel dimensions is cut, into pieces of this size.
static constexpr double splitFrom = 131072, splitPiece = 65536;
// Scratch that intermediate values may take together.
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
  // Lanes run where most of what a nest touches is contiguous; never along one of `except`, nor along a dimension
  // that tells segments apart, whose lanes would have one loop each.
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
        // A view's operand has classes of its own; its result's innermost axis stands for them.
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
      // Nothing in memory: the longest loop, rather one that units do not run over.
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
    // All segments together are the dimension once.
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
      // Small nests that would run their lanes along what units take do without. The dimensions before it are
      // units' already.
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
          // One unit takes it all: the same as no unit at all, but for the dimensions before it.
          a.chunk = vector ? (*known + lanes - 1) / lanes * lanes : *known;
        }
        a.parallelism /= std::min<double>(extent, a.chunk);
        break;
      }
    }
    considerSplit();
    // What is stored in scratch has to have a size.
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
  // Where units are few and a first nest of reductions does nearly all the work, that nest is cut.
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
        // Segments are short: pieces of the rows would be rounded for nothing.
        if (!stage.segments.empty())
          return;
      } else {
        // The rest runs in the second kernel, which knows nothing of the reduced dimensions.
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
    // The outermost reduced dimension in memory; not the lanes' unless it is the only one.
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
