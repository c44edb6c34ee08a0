// The methods of Emit that infer a result type.
#include "dialects/flow/Emit.h"

using namespace mlir;

namespace flow {

llvm::SmallVector<int64_t> otherAxes(int64_t rank, llvm::ArrayRef<int64_t> axes) {
  llvm::SmallVector<int64_t> others;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (!llvm::is_contained(axes, axis))
      others.push_back(axis);
  return others;
}

Value Emit::reduce(ReduceKind kind, Value x, llvm::ArrayRef<int64_t> axes) {
  if (axes.empty())
    return x;
  llvm::SmallVector<int64_t> sorted(axes);
  llvm::sort(sorted);
  return ReduceOp::create(b, loc, reducedType(x.getType(), axes), kind, x, sorted);
}

Value Emit::sumAll(Value x) { return sum(x, otherAxes(rankOf(x), {})); }

Value Emit::broadcast(Value x, Type type, llvm::ArrayRef<int64_t> dims) {
  if (x.getType() == type)
    return x;
  return BroadcastOp::create(b, loc, type, x, dims);
}

Value Emit::spreadOver(Value x, Value like, llvm::ArrayRef<int64_t> axes) {
  return broadcast(x, withElement(like.getType(), elementOf(x)), otherAxes(rankOf(like), axes));
}

Value Emit::reshape(Value x, Type type) {
  if (x.getType() == type)
    return x;
  return ReshapeOp::create(b, loc, type, x);
}

Value Emit::count(Value x, llvm::ArrayRef<int64_t> axes) {
  llvm::SmallVector<Extent> extents;
  for (int64_t axis : axes)
    extents.push_back(Extent::of(x, axis));
  Extent product = productOf(extents, b.getContext());
  if (auto value = product.constantValue())
    return scalar(double(*value));
  return ExtentOp::create(b, loc, scalarType(), ExtentAttr::get(b.getContext(), product));
}

} // namespace flow
