#include "passes/kernels/SortGroup.h"

using namespace mlir;

namespace moe::kernels {

FailureOr<SortGroup> SortGroup::of(flow::GroupOp group) {
  auto sort = cast<flow::CountingSortOp>(group.getRoot());
  for (Operation &op : group.getBody().front().without_terminator())
    if (&op != sort)
      return group.emitError("expected nothing beside a sort in its group, found '") << op.getName() << "'";
  llvm::SmallDenseSet<Value> results;
  for (Value yielded : group.getBody().front().getTerminator()->getOperands())
    if (yielded.getDefiningOp() != sort || !results.insert(yielded).second)
      return group.emitError(
          "expected each result of a sort's group to be a result of the sort, and no other's");
  SortGroup found;
  found.sort = sort;
  // All results are computed, even if not all are used.
  auto bound = [&](Value result, StringRef name) -> BufferRef {
    for (auto [i, yielded] : llvm::enumerate(group.getBody().front().getTerminator()->getOperands()))
      if (yielded == result)
        return {BufferRef::result, unsigned(i)};
    return found.code.addTemporary(flow::elementsOf(result.getType()), name, plan::Element::i32);
  };
  found.order = bound(sort.getOrder(), "order of rows");
  found.offsets = bound(sort.getOffsets(), "offsets of rows");
  found.positions = bound(sort.getPositions(), "positions of rows");
  return found;
}

} // namespace moe::kernels
