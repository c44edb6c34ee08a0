// Log-sum-exp in one pass: a pair of accumulators, the largest so far and the sum of e^(x - largest).
#include "Extra.h"

using namespace mlir;
using namespace extra;

LogicalResult LogSumExpOp::expand(moe::Expander &in) {
  FailureOr<moe::Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  FailureOr<int64_t> axis = moe::axisOf(in, *this, getX(), *x, getAxisAttr());
  if (failed(axis))
    return failure();
  const int64_t at = x->lead() + *axis;
  in.set(getY(),
         {FlowLogSumExpOp::create(in.builder, in.loc(*this), flow::reducedType(x->type(), at), x->value, at),
          x->experts, x->batch});
  return success();
}

SmallVector<flow::Extent> FlowLogSumExpOp::iterationSpace() {
  return flow::reductionSpace(getX(), int64_t(getAxis()));
}
SmallVector<flow::Access> FlowLogSumExpOp::accesses() {
  return {flow::reductionAccess(getX(), int64_t(getAxis()))};
}
SmallVector<flow::Accumulator> FlowLogSumExpOp::accumulators() {
  Type f32 = Float32Type::get(getContext());
  return {{f32, -INFINITY}, {f32, 0}};
}
SmallVector<Value> FlowLogSumExpOp::buildElement(OpBuilder &b, Location loc, ValueRange v, ValueRange) {
  return {v[0], flow::splat(b, loc, v[0].getType(), 1)};
}
// An infinite largest scales nothing: inf - inf is no number.
SmallVector<Value> FlowLogSumExpOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  Value most = arith::MaximumFOp::create(b, loc, x[0], y[0]), zero = flow::splat(b, loc, most.getType(), 0);
  Value isFinite = math::IsFiniteOp::create(b, loc, most);
  Value shift = arith::SelectOp::create(b, loc, isFinite, most, zero);
  auto scaled = [&](ValueRange pair) -> Value {
    Value factor = math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, pair[0], shift));
    return arith::MulFOp::create(b, loc, pair[1], factor);
  };
  return {most, arith::AddFOp::create(b, loc, scaled(x), scaled(y))};
}
SmallVector<Value> FlowLogSumExpOp::buildFinish(OpBuilder &b, Location loc, ValueRange pair) {
  return {arith::AddFOp::create(b, loc, pair[0], math::LogOp::create(b, loc, pair[1]))};
}

// The softmax, e^(x - y), of what comes from above.
LogicalResult FlowLogSumExpOp::buildGradient(OpBuilder &b, flow::Upstream upstream,
                                             flow::Gradients &gradients) {
  flow::Emit e{b, getLoc()};
  gradients.assign(1, {});
  if (Value dy = upstream[0])
    gradients[0] = e.mul(e.spreadOver(dy, getX(), int64_t(getAxis())),
                         e.exp(e.sub(getX(), e.spreadOver(getY(), getX(), int64_t(getAxis())))));
  return success();
}

void FlowLogSumExpOp::evaluate(flow::Operands v, flow::Array &y, const flow::Setting &) {
  flow::Array largest(y.shape, -INFINITY), sum(y.shape);
  auto each = [&](auto function) {
    flow::forEachIndex(v[0]->shape, [&](flow::Index index, int64_t position) {
      index.erase(index.begin() + getAxis());
      function(flow::positionOf(y.shape, index), v[0]->data[position]);
    });
  };
  each([&](int64_t at, double x) { largest.data[at] = std::max(largest.data[at], x); });
  each([&](int64_t at, double x) { sum.data[at] += std::exp(x - largest.data[at]); });
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = largest.data[i] + std::log(sum.data[i]);
}

void FlowLogSumExpOp::buildRandomCase(flow::RandomCase &r) {
  Value x = r.values(r.extents(1, 4));
  int64_t axis = r.number(0, flow::rankOf(x) - 1);
  r.result(FlowLogSumExpOp::create(r.builder, r.location, flow::reducedType(x.getType(), axis), x, axis));
}
double FlowLogSumExpOp::errorFactor() { return 16; }
flow::Array FlowLogSumExpOp::magnitude(flow::Operands, const flow::Array &y) {
  flow::Array terms = flow::sizesOf(y);
  for (double &term : terms.data)
    term += 1; // the sum's relative error is the logarithm's absolute one
  return terms;
}
