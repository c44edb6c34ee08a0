// Gradient rules of the elementwise ops: the vector-Jacobian product of each, from forward values and the
// result's gradient. Where the derivative can be told from the result alone it is (relu, exp, tanh, sqrt),
// because the result is what the next op reads anyway. Ties and kinks do as torch.autograd does.
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"
#include <cmath>
#include <numbers>

using namespace mlir;

namespace flow {
namespace {
bool isFloat(Value x) { return isa<FloatType>(Emit::elementOf(x)); }
} // namespace

// One rule of a unary op: `y` is the result, `dy` its gradient; yields the operand's.
#define FLOW_UNARY_RULE(Op, formula)                                                                         \
  LogicalResult Op::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {             \
    [[maybe_unused]] Emit e{builder, getLoc()};                                                              \
    [[maybe_unused]] Value x = getX(), y = getY();                                                           \
    Value dy = upstream[0];                                                                                  \
    gradients.push_back(dy ? Value(formula) : Value());                                                      \
    return success();                                                                                        \
  }

FLOW_UNARY_RULE(NegOp, e.neg(dy))
FLOW_UNARY_RULE(ExpOp, e.mul(dy, y))
FLOW_UNARY_RULE(LogOp, e.div(dy, x))
FLOW_UNARY_RULE(SqrtOp, e.div(e.mul(dy, 0.5), y))
// y^3 by itself may overflow where the product with dy does not.
FLOW_UNARY_RULE(RsqrtOp, e.mul(e.mul(e.mul(e.mul(dy, -0.5), y), y), y))
FLOW_UNARY_RULE(TanhOp, e.mul(dy, e.subFrom(1, e.mul(y, y))))
FLOW_UNARY_RULE(SigmoidOp, e.mul(dy, e.mul(y, e.subFrom(1, y))))
// y > 0 exactly where x > 0, and only y is read elsewhere.
FLOW_UNARY_RULE(ReluOp, e.keep(e.compare(Predicate::gt, y, 0.0), dy))
FLOW_UNARY_RULE(GeluOp, e.mul(dy, e.geluSlope(x)))
FLOW_UNARY_RULE(ErfOp, e.mul(dy, e.mul(e.exp(e.neg(e.mul(x, x))), 2 * std::numbers::inv_sqrtpi)))
FLOW_UNARY_RULE(AbsOp, e.select(e.compare(Predicate::gt, x, 0.0), dy,
                                e.keep(e.compare(Predicate::lt, x, 0.0), e.neg(dy))))
FLOW_UNARY_RULE(BarrierOp, dy)
#undef FLOW_UNARY_RULE

LogicalResult SiluOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    Value s = e.sigmoid(getX());
    gradients[0] = e.mul(dy, e.mul(s, e.add(e.mul(getX(), e.subFrom(1, s)), 1)));
  }
  return success();
}

// d/dx Phi(x) + x phi(x) = (2 - x^2) phi(x), written so that the square of a large x is not multiplied by 0
LogicalResult GeluSlopeOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    Value x = getX();
    Value density = e.mul(e.exp(e.mul(e.mul(x, x), -0.5)), 1 / std::sqrt(2 * std::numbers::pi));
    gradients[0] = e.mul(dy, e.sub(e.mul(density, 2), e.mul(x, e.mul(x, density))));
  }
  return success();
}

// The surrogate is -scale * x; the scale itself, a schedule, gets no gradient.
LogicalResult ReverseGradientOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    gradients[0] = e.mul(dy, e.neg(e.spread(getScale(), dy)));
  return success();
}

LogicalResult SkippableOp::buildGradient(OpBuilder &, Upstream upstream, Gradients &gradients) {
  gradients.assign({upstream[0], Value()});
  return success();
}

LogicalResult AddOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, upstream[0]);
  return success();
}

LogicalResult SubOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    gradients.assign({dy, e.neg(dy)});
  return success();
}

LogicalResult MulOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    gradients.assign({e.mul(dy, getB()), e.mul(dy, getA())});
  return success();
}

LogicalResult DivOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(2, {});
  if (Value dy = upstream[0]) {
    Value da = e.div(dy, getB());
    gradients.assign({da, e.neg(e.mul(da, getY()))});
  }
  return success();
}

LogicalResult PowOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(2, {});
  if (Value dy = upstream[0]) {
    Value a = getA(), b = getB();
    // Where b is 0, and where a is 0 for the logarithm, the derivative is 0; 1 stands in for a there, since
    // what would be 0 * inf has a gradient of its own in a second derivative.
    Value one = e.constantLike(a, 1);
    Value base = e.select(e.compare(Predicate::ne, b, 0.0), a, one);
    Value gone = e.both(e.compare(Predicate::eq, a, 0.0), e.compare(Predicate::ge, b, 0.0));
    gradients.assign({e.mul(dy, e.mul(b, e.pow(base, e.sub(b, 1)))),
                      e.mul(dy, e.mul(getY(), e.log(e.select(gone, one, a))))});
  }
  return success();
}

namespace {
// The extremum's operand gets the gradient, both a half where they are equal; `loses` is where a is not it.
void extremumRule(Emit e, Value a, Value b, Value dy, Predicate loses, Predicate wins, Gradients &gradients) {
  Value half = e.mul(dy, 0.5), equal = e.compare(Predicate::eq, a, b);
  auto share = [&](Predicate other) {
    return e.select(e.compare(other, a, b), e.zeros(dy.getType()), e.select(equal, half, dy));
  };
  gradients.assign({share(loses), share(wins)});
}
} // namespace

LogicalResult MaximumOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    extremumRule({builder, getLoc()}, getA(), getB(), dy, Predicate::lt, Predicate::gt, gradients);
  return success();
}

LogicalResult MinimumOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    extremumRule({builder, getLoc()}, getA(), getB(), dy, Predicate::gt, Predicate::lt, gradients);
  return success();
}

LogicalResult SelectOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.assign(3, {});
  if (Value dy = upstream[0]) {
    gradients[1] = e.keep(getMask(), dy);
    gradients[2] = e.select(getMask(), e.zeros(dy.getType()), dy);
  }
  return success();
}

// Only f32 has a derivative, and f32 is the only float type: a conversion that matters goes between equal
// types.
LogicalResult ConvertOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back(isFloat(getX()) ? upstream[0] : Value());
  return success();
}

} // namespace flow
