// Roll: a view whose gradient is another access, the roll the other way.
#include "Extra.h"

using namespace mlir;
using namespace extra;

LogicalResult RollOp::expand(moe::Expander &in) {
  FailureOr<moe::Tensor> x = in.tensor(*this, getX());
  FailureOr<int64_t> by = in.env().size(*this, getBy());
  if (failed(x) || failed(by))
    return failure();
  FailureOr<int64_t> axis = moe::axisOf(in, *this, getX(), *x, getAxisAttr());
  if (failed(axis))
    return failure();
  Value y = FlowRollOp::create(in.builder, in.loc(*this), x->value.getType(), x->value,
                               *by % x->sample()[*axis], x->lead() + *axis);
  in.set(getY(), {y, x->experts, x->batch});
  return success();
}

SmallVector<flow::Access> FlowRollOp::accesses() {
  flow::Access access{AffineMap::getMultiDimIdentityMap(getX().getType().getRank(), getContext())};
  access.sizes = {flow::Extent::of(getX(), getAxis())};
  AffineExpr from =
      (getAffineDimExpr(getAxis(), getContext()) - getBy()) % getAffineSymbolExpr(0, getContext());
  SmallVector<AffineExpr> at(access.map.getResults());
  at[getAxis()] = from;
  access.map = AffineMap::get(at.size(), 1, at, getContext());
  return {access};
}

LogicalResult FlowRollOp::buildGradient(OpBuilder &b, flow::Upstream upstream, flow::Gradients &gradients) {
  gradients.assign(1, upstream[0]);
  if (Value dy = upstream[0])
    gradients[0] = FlowRollOp::create(b, getLoc(), dy.getType(), dy, -getBy(), getAxis());
  return success();
}

void FlowRollOp::evaluate(flow::Operands v, flow::Array &y, const flow::Setting &) {
  flow::forEachIndex(y.shape, [&](ArrayRef<int64_t> index, int64_t position) {
    flow::Index from(index);
    int64_t n = y.shape[getAxis()];
    from[getAxis()] = (((from[getAxis()] - getBy()) % n) + n) % n;
    y.data[position] = flow::at(*v[0], from);
  });
}

void FlowRollOp::buildRandomCase(flow::RandomCase &r) {
  Value x = r.any(r.extents(1, 4));
  int64_t axis = r.number(0, flow::rankOf(x) - 1);
  r.result(FlowRollOp::create(r.builder, r.location, x.getType(), x, r.number(-7, 7), axis));
}
