// See BindGuards.h.
#include "passes/cpu/BindGuards.h"
#include "dialects/flow/Extent.h"
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;

namespace moe::cpu {

/// The counts that one index of the kernel runs through beside the sizes of axes: of several dimensions that
/// an access joins or divides apart again, of random numbers that are drawn by their place. An index that is
/// held to its operand's bounds says nothing of a count.
static SmallVector<flow::Extent> countsOf(Operation &op) {
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  if (!compute || op.hasTrait<flow::Elementwise>() || compute.computeKind() == flow::ComputeKind::emitter)
    return {};
  SmallVector<flow::Extent> space = compute.iterationSpace(), counts;
  auto productOf = [&](const llvm::BitVector &dims) {
    SmallVector<flow::Extent> joined;
    for (unsigned dim : dims.set_bits())
      joined.push_back(space[dim]);
    counts.push_back(flow::productOf(joined, op.getContext()));
  };
  if (SmallVector<unsigned> numbers = compute.indexDims(); numbers.size() > 1) {
    llvm::BitVector dims(space.size());
    for (unsigned dim : numbers)
      dims.set(dim);
    productOf(dims);
  }
  if (compute.computeKind() == flow::ComputeKind::generator)
    return counts;
  for (const flow::Access &access : compute.accesses())
    for (auto [axis, index] : llvm::enumerate(access.map.getResults())) {
      llvm::BitVector dims(space.size());
      bool divides = false;
      index.walk([&](AffineExpr part) {
        if (auto dim = dyn_cast<AffineDimExpr>(part))
          dims.set(dim.getPosition());
        divides |= part.getKind() == AffineExprKind::Mod || part.getKind() == AffineExprKind::FloorDiv;
      });
      if (!access.isBounded(axis) && (divides || dims.count() > 1))
        productOf(dims);
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
