// Roll: a view whose gradient is another access, the roll the other way.
#include "Extra.h"

using namespace extra;
using namespace flow;
using namespace mlir;

LogicalResult RollWord::expand(moe::Expander &in) {
  FailureOr<int64_t> by = in.env().size(*this, getBy());
  if (failed(by))
    return failure();
  return moe::expandAlong(in, *this, getX(), getAxisAttr(), [&](Value x, int64_t axis) {
    return RollOp::create(in.builder, in.loc(*this), x.getType(), x, *by % typeOf(x).getDimSize(axis), axis);
  });
}

SmallVector<Access> RollOp::accesses() {
  Access access = sameIndexAccesses(*this).front();
  access.sizes = {Extent::of(getX(), getAxis())};
  SmallVector<AffineExpr> at(access.map.getResults());
  at[getAxis()] = (at[getAxis()] - getBy()) % getAffineSymbolExpr(0, getContext());
  access.map = AffineMap::get(at.size(), /*symbolCount=*/1, at, getContext());
  return {access};
}

LogicalResult RollOp::buildGradient(OpBuilder &b, Upstream upstream, Gradients &gradients) {
  gradients.assign(1, upstream[0]);
  if (Value dy = upstream[0])
    gradients[0] = RollOp::create(b, getLoc(), dy.getType(), dy, -getBy(), getAxis());
  return success();
}

void RollOp::evaluate(Operands v, Array &y, const Setting &) {
  forEachRow(y.shape, getAxis(), [&](int64_t, ArrayRef<int64_t> row) {
    const int64_t n = row.size();
    for (int64_t i = 0; i < n; ++i)
      y.data[row[i]] = v[0]->data[row[((i - int64_t(getBy())) % n + n) % n]];
  });
}

void RollOp::buildRandomCase(RandomCase &r) {
  Value x = r.any(r.extents(1, 4));
  const int64_t axis = r.number(0, rankOf(x) - 1);
  r.result(RollOp::create(r.builder, r.location, x.getType(), x, r.number(-7, 7), axis));
}
