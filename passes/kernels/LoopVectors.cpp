// Facts of loop nests that back ends schedule them by: the dimension along which a nest's memory is contiguous, the
// work of a nest, and the dimensions that work units can split; see LoopNests.h.
#include "passes/kernels/LoopNests.h"
#include "llvm/ADT/STLExtras.h"
#include <map>

using namespace mlir;

namespace moe::kernels {

static int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

/// The classes of a value's axes, outermost first. Those of a window's own two axes are left out: they are short, and neighbouring
/// windows begin at neighbouring elements.
SmallVector<unsigned> LoopNests::classesAlong(Value value) const {
  SmallVector<unsigned> found;
  int64_t axes = rankOf(value) - (value.getDefiningOp<flow::WindowOp>() ? 2 : 0);
  for (int64_t axis = 0; axis < axes; ++axis)
    if (unsigned c = classOf(value, axis); c != none)
      found.push_back(c);
  return found;
}

/// An op of the set that reads the op's result; null if there is none.
Operation *LoopNests::readerInside(Operation *op) const {
  for (Operation *user : op->getUsers())
    if (inside(user))
      return user;
  return nullptr;
}

int LoopNests::vectorDim(const LoopNest &nest, const LoopSource &source, ArrayRef<unsigned> barred) const {
  SmallVector<unsigned> except(barred);
  for (const LoopSegments &segments : nest.segments)
    except.append(segments.at);
  int chosen = -1;
  std::map<unsigned, double> score;
  auto vote = [&](ArrayRef<unsigned> ordered, double weight) {
    for (unsigned c : llvm::reverse(ordered)) {
      unsigned d = dimOfClass[c];
      if (d == none || llvm::is_contained(except, d))
        continue;
      if (llvm::is_contained(nest.dims, d) || llvm::is_contained(nest.reduced, d))
        score[d] += weight;
      return;
    }
  };
  for (unsigned s : nest.stages) {
    const LoopStage &stage = stages[s];
    if (stage.output) {
      SmallVector<unsigned> classes;
      for (int64_t axis : axisOrder(source.layout(stage.value), rankOf(stage.value)))
        if (unsigned c = classOf(stage.value, axis); c != none)
          classes.push_back(c);
      vote(classes, flow::estimateElements(stage.value.getType(), source.batch));
    }
    for (auto [op, operand] : reads[s].leaves) {
      Value value = op->getOperand(operand);
      SmallVector<unsigned> classes;
      for (int64_t axis : axisOrder(source.layout(value), rankOf(value)))
        if (unsigned c = classOf(op, operand, axis); c != none)
          classes.push_back(c);
      // If the operand of a view has no dimension of the nest as its innermost axis, its result's axes are
      // used.
      for (Operation *reader = op; reader && (classes.empty() || dimOfClass[classes.back()] == none);) {
        if (reader->getNumResults())
          classes = classesAlong(reader->getResult(0));
        reader = readerInside(reader);
      }
      vote(classes, flow::estimateElements(value.getType(), source.batch));
    }
    for (auto [value, straight] : reads[s].stages) {
      const LoopStage &need = *stageOf(value);
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
      best = weight, chosen = d;
  if (chosen < 0) {
    // No memory is accessed along any dimension. Takes the longest loop, if possible one that units do not
    // split.
    auto longest = [&](bool sharedToo) {
      for (unsigned d : llvm::concat<const unsigned>(nest.dims, nest.reduced)) {
        double extent = flow::estimate(dims[d].extent, source.batch);
        if (llvm::is_contained(except, d) || extent <= best ||
            (!sharedToo && shared.contains(dims[d].classes.back())))
          continue;
        best = extent;
        chosen = d;
      }
    };
    longest(false);
    if (chosen < 0)
      longest(true);
  }
  return chosen;
}

double LoopNests::volume(const LoopNest &nest, const flow::Symbols &batch) const {
  double product = 1;
  for (unsigned d : llvm::concat<const unsigned>(nest.dims, nest.reduced))
    product *= flow::estimate(dims[d].extent, batch);
  // All segments together have the length of the dimension, so the dimensions that select segments do not
  // count.
  for (const LoopSegments &segments : nest.segments)
    for (unsigned d : segments.at)
      product /= flow::estimate(dims[d].extent, batch);
  return product * nest.stages.size();
}

SmallVector<unsigned> LoopNests::unitCandidates() const {
  SmallVector<unsigned> found;
  for (unsigned d = 0; d < dims.size(); ++d)
    if (llvm::all_of(stages, [&](const LoopStage &s) { return llvm::is_contained(s.dims, d); }) &&
        llvm::all_of(dims[d].classes, [&](unsigned c) { return shared.contains(c); }))
      found.push_back(d);
  return found;
}

} // namespace moe::kernels
