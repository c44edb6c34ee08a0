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
    return RollOp::create(in.builder, in.loc(*this), x, *by % typeOf(x).getDimSize(axis), axis);
  });
}

SmallVector<Access> RollOp::accesses() {
  Access access = sameIndexAccesses(*this).front();
  access.sizes = {Extent::of(getX(), getAxis())};
  AffineExpr at = getAffineDimExpr(getAxis(), getContext()), size = getAffineSymbolExpr(0, getContext());
  access.map = access.map.replace(at, (at - getBy()) % size, access.map.getNumDims(), /*symbols=*/1);
  return {access};
}

LogicalResult RollOp::buildGradient(OpBuilder &b, Upstream upstream, Gradients &gradients) {
  Value dy = upstream[0]; // null where none flows
  gradients.assign(1, dy ? RollOp::create(b, getLoc(), dy, -getBy(), getAxis()).getY() : dy);
  return success();
}

LogicalResult RollOp::canonicalize(RollOp op, PatternRewriter &rewriter) {
  auto inner = op.getX().getDefiningOp<RollOp>();
  if (!inner || inner.getAxis() != op.getAxis())
    return failure();
  rewriter.replaceOpWithNewOp<RollOp>(op, inner.getX(), inner.getBy() + op.getBy(), op.getAxis());
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
  r.result(RollOp::create(r.builder, r.location, x, r.number(-7, 7), r.number(0, rankOf(x) - 1)));
}
