// See BindGuards.h.
#include "passes/cpu/BindGuards.h"
#include "dialects/flow/Extent.h"
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"

using namespace mlir;

namespace moe::cpu {

/// Ops through whose elements one index runs: their number has to fit a lane.
static bool countsElements(Operation *op) { return isa<flow::ReshapeOp, flow::RandomOp>(op); }

void guardElements(flow::GroupOp group, KernelBuilder &k) {
  SmallVector<flow::Extent> bounds; // of what the loader checks anyway
  for (Type type : llvm::concat<const Type>(SmallVector<Type>(group.getOperandTypes()),
                                            SmallVector<Type>(group.getResultTypes())))
    bounds.push_back(flow::elementsOf(type));
  for (Operation &op : group.getBody().front().without_terminator()) {
    if (!countsElements(&op))
      continue;
    flow::Extent elements = flow::elementsOf(op.getResult(0).getType());
    bool bounded = llvm::any_of(bounds, [&](flow::Extent bound) {
      std::optional<flow::Extent> quotient = bound.exactQuotient(elements);
      return bound == elements || (quotient && quotient->constantValue().value_or(0) >= 1);
    });
    if (!bounded && !elements.constantValue())
      k.extent(plan::fromExtent(elements));
  }
}

LogicalResult checkConstantSizes(flow::GroupOp group) {
  for (Operation &op : group.getBody().front().without_terminator())
    for (Value result : op.getResults()) {
      auto type = cast<RankedTensorType>(result.getType());
      std::optional<int64_t> elements = flow::elementsOf(type).constantValue();
      if (countsElements(&op) && elements && *elements > INT32_MAX)
        return op.emitError("expected at most ")
               << INT32_MAX << " elements, which is what a kernel can index, found " << type;
      for (int64_t size : type.getShape())
        if (!ShapedType::isDynamic(size) && size > INT32_MAX)
          return op.emitError("expected sizes of at most ")
                 << INT32_MAX << ", which is what a kernel can index, found " << type;
    }
  return success();
}

} // namespace moe::cpu
