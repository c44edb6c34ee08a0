// Log-sum-exp in one pass: its accumulators are the largest so far and the sum of e^(x - largest).
#include "Extra.h"

using namespace extra;
using namespace flow;
using namespace mlir;

LogicalResult LogSumExpWord::expand(moe::Expander &in) {
  return moe::expandAlong(in, *this, getX(), getAxisAttr(), [&](Value x, int64_t axis) {
    return LogSumExpOp::create(in.builder, in.loc(*this), x, axis);
  });
}

SmallVector<Accumulator> LogSumExpOp::accumulators() {
  return realAccumulators(getContext(), {-INFINITY, 0});
}
SmallVector<Value> LogSumExpOp::buildElement(OpBuilder &b, Location loc, ValueRange x, ValueRange) {
  return {x[0], splat(b, loc, x[0].getType(), 1)};
}
// An infinite largest scales nothing, since inf - inf is no number.
SmallVector<Value> LogSumExpOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  Value most = arith::MaximumFOp::create(b, loc, x[0], y[0]), zero = splat(b, loc, most.getType(), 0);
  Value shift = arith::SelectOp::create(b, loc, math::IsFiniteOp::create(b, loc, most), most, zero);
  auto scaled = [&](ValueRange pair) -> Value {
    Value factor = math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, pair[0], shift));
    return arith::MulFOp::create(b, loc, pair[1], factor);
  };
  return {most, arith::AddFOp::create(b, loc, scaled(x), scaled(y))};
}
SmallVector<Value> LogSumExpOp::buildFinish(OpBuilder &b, Location loc, ValueRange pair) {
  return {arith::AddFOp::create(b, loc, pair[0], math::LogOp::create(b, loc, pair[1]))};
}

LogicalResult LogSumExpOp::buildGradient(OpBuilder &b, Upstream upstream, Gradients &gradients) {
  Emit e{b, getLoc()};
  auto along = [&](Value value) { return e.spreadOver(value, getX(), int64_t(getAxis())); };
  Value dy = upstream[0];
  gradients.assign(1, dy ? e.mul(along(dy), e.exp(e.sub(getX(), along(getY())))) : dy);
  return success();
}

void LogSumExpOp::evaluate(Operands v, Array &y, const Setting &) {
  forEachRow(v[0]->shape, getAxis(), [&](int64_t at, ArrayRef<int64_t> row) {
    double most = -INFINITY, sum = 0;
    for (int64_t i : row)
      most = std::max(most, v[0]->data[i]);
    for (int64_t i : row)
      sum += std::exp(v[0]->data[i] - (std::isfinite(most) ? most : 0));
    y.data[at] = most + std::log(sum);
  });
}
void LogSumExpOp::buildRandomCase(RandomCase &r) {
  Value x = r.values(r.extents(1, 4));
  r.result(LogSumExpOp::create(r.builder, r.location, x, r.number(0, rankOf(x) - 1)));
}
double LogSumExpOp::errorFactor() { return 16; }
Array LogSumExpOp::magnitude(Operands, const Array &y) { return sizesOf(y, 1); }
