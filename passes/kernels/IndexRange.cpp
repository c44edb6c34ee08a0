// See IndexRange.h.
#include "passes/kernels/IndexRange.h"
#include "dialects/flow/Flow.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;

namespace moe::kernels {

/// The element counts, other than the sizes of single axes, that an index of the op may run up to: of several
/// dimensions that an access joins or splits, and of random numbers, which are drawn by their position. An
/// access that is checked against its operand's bounds gives no such count.
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

SmallVector<flow::Extent> countsWithoutBuffer(flow::GroupOp group) {
  SmallVector<flow::Extent> bounds, counts; // bounds: counts of buffers, which the loader checks anyway
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
        counts.push_back(elements);
    }
  return counts;
}

LogicalResult checkConstantSizes(flow::GroupOp group, int64_t limit) {
  for (Operation &op : group.getBody().front().without_terminator()) {
    for (flow::Extent elements : countsOf(op))
      if (elements.constantValue().value_or(0) > limit)
        return op.emitError("expected at most ")
               << limit << " elements, which is what a kernel can index, found " << *elements.constantValue();
    for (Type type : op.getResultTypes())
      for (int64_t size : cast<RankedTensorType>(type).getShape())
        if (!ShapedType::isDynamic(size) && size > limit)
          return op.emitError("expected sizes of at most ")
                 << limit << ", which is what a kernel can index, found " << size;
  }
  return success();
}

} // namespace moe::kernels
