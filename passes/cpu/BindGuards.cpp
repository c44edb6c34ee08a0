// See BindGuards.h.
#include "passes/cpu/BindGuards.h"
#include "dialects/flow/Extent.h"
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "passes/cpu/LoopAnalysis.h"

using namespace mlir;

namespace moe::cpu {

/// The counts that one index of the kernel runs through: of a segment where several axes on a side become one
/// index, of random numbers that are drawn by their place.
static SmallVector<flow::Extent> countsOf(Operation &op) {
  if (auto random = dyn_cast<flow::RandomOp>(op); random && !random.getIndex())
    return {flow::elementsOf(random.getY().getType())};
  SmallVector<flow::Extent> counts;
  if (auto reshape = dyn_cast<flow::ReshapeOp>(op)) {
    SmallVector<flow::Extent> from = flow::extentsOf(reshape.getX()), to = flow::extentsOf(reshape.getY());
    auto joins = [](ArrayRef<flow::Extent> axes) {
      return llvm::count_if(axes, [](flow::Extent axis) { return !axis.isConstant(1); }) > 1;
    };
    for (ReshapeSegment s : reshapeSegments(reshape.getX().getType(), reshape.getY().getType())) {
      auto read = ArrayRef(from).slice(s.fromFirst, s.fromLast - s.fromFirst);
      auto made = ArrayRef(to).slice(s.toFirst, s.toLast - s.toFirst);
      if (joins(read) || joins(made))
        counts.push_back(flow::productOf(made, op.getContext()));
    }
  }
  return counts;
}

void guardElements(flow::GroupOp group, KernelBuilder &k) {
  SmallVector<flow::Extent> bounds; // of what the loader checks anyway
  for (Type type : llvm::concat<const Type>(SmallVector<Type>(group.getOperandTypes()),
                                            SmallVector<Type>(group.getResultTypes())))
    bounds.push_back(flow::elementsOf(type));
  for (Operation &op : group.getBody().front().without_terminator())
    for (flow::Extent elements : countsOf(op)) {
      bool bounded = llvm::any_of(bounds, [&](flow::Extent bound) {
        std::optional<flow::Extent> quotient = bound.exactQuotient(elements);
        return bound == elements || (quotient && quotient->constantValue().value_or(0) >= 1);
      });
      if (!bounded && !elements.constantValue())
        k.extent(plan::fromExtent(elements));
    }
}

LogicalResult checkConstantSizes(flow::GroupOp group) {
  for (Operation &op : group.getBody().front().without_terminator()) {
    for (flow::Extent elements : countsOf(op))
      if (elements.constantValue().value_or(0) > INT32_MAX)
        return op.emitError("expected at most ")
               << INT32_MAX << " elements, which is what a kernel can index, found "
               << *elements.constantValue();
    for (Type type : op.getResultTypes())
      for (int64_t size : cast<RankedTensorType>(type).getShape())
        if (!ShapedType::isDynamic(size) && size > INT32_MAX)
          return op.emitError("expected sizes of at most ")
                 << INT32_MAX << ", which is what a kernel can index, found " << size;
  }
  return success();
}

} // namespace moe::cpu
