// Softsign, x / (1 + |x|): an elementwise op.
#include "Extra.h"

using namespace extra;
using namespace flow;
using namespace mlir;

LogicalResult SoftsignWord::expand(moe::Expander &in) {
  FailureOr<moe::Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  in.set(getY(), {SoftsignOp::create(in.builder, in.loc(*this), x->value), x->experts, x->batch});
  return success();
}

Value SoftsignOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Value one = splat(b, loc, v[0].getType(), 1), size = math::AbsFOp::create(b, loc, v[0]);
  return arith::DivFOp::create(b, loc, v[0], arith::AddFOp::create(b, loc, one, size));
}

// The derivative is 1 / (1 + |x|)^2.
LogicalResult SoftsignOp::buildGradient(OpBuilder &b, Upstream upstream, Gradients &gradients) {
  Emit e{b, getLoc()};
  Value dy = upstream[0], below = e.add(e.unary<AbsOp>(getX()), 1);
  gradients.assign(1, dy ? e.div(dy, e.mul(below, below)) : dy);
  return success();
}

void SoftsignOp::evaluate(Operands v, Array &y, const Setting &) {
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = v[0]->data[i] / (1 + std::fabs(v[0]->data[i]));
}
// The second derivative jumps at 0, so that cases keep a distance of 0.1 from it.
void SoftsignOp::buildRandomCase(RandomCase &r) {
  Value x = r.values(r.extents(0, 4), 0.1);
  r.result(SoftsignOp::create(r.builder, r.location, x));
}
double SoftsignOp::errorFactor() { return 3; }
Array SoftsignOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
