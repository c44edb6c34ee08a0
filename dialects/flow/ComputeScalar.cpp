// The scalar bodies of elementwise ops and the combiners of reductions, in arith and math. Every body works
// on scalars and on vectors alike: constants take the operands' shape. NaN spreads as torch lets it: through
// relu, maximum and minimum, never through a comparison.
#include "dialects/flow/Define.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

using namespace mlir;
using namespace flow;

namespace {

bool isFloat(Value value) { return isa<FloatType>(getElementTypeOrSelf(value.getType())); }

Type likeWith(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

/// x where it is at least `bound`, else `bound`; NaN stays.
Value atLeast(OpBuilder &b, Location loc, Value x, double bound) {
  Value limit = splat(b, loc, x.getType(), bound);
  Value below = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, limit);
  return arith::SelectOp::create(b, loc, below, limit, x);
}

/// x where it is from -bound to bound, else the nearer of them; NaN stays.
Value within(OpBuilder &b, Location loc, Value x, double bound) {
  x = atLeast(b, loc, x, -bound);
  Value limit = splat(b, loc, x.getType(), bound);
  Value above = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, limit);
  return arith::SelectOp::create(b, loc, above, limit, x);
}

/// c[0] + c[1] x + c[2] x^2 + ...
Value polynomial(OpBuilder &b, Location loc, Value x, ArrayRef<double> c) {
  Value sum = splat(b, loc, x.getType(), c.back());
  for (double factor : llvm::reverse(c.drop_back()))
    sum = math::FmaOp::create(b, loc, sum, x, splat(b, loc, x.getType(), factor));
  return sum;
}

/// 1/2 + x / q(x^2) p(x^2): the normal distribution Phi(x), and with other coefficients p the slope of gelu, Phi(x) + x phi(x).
/// Less 1/2 both are odd functions, and have one denominator q, so that a kernel with both divides once. The three
/// polynomials were fitted together on [-6.1, 6.1] by Lawson's method, with an error of 2^-27; with rounding it is below
/// 2^-22, in the root mean square of normal x below that of an erf. At the bound both are 1/2 exactly, so that beyond
/// the values are 0 and 1; just within it, they may pass these by 2^-23.
Value overSharedQuotient(OpBuilder &b, Location loc, Value x, ArrayRef<double> p) {
  Type type = x.getType();
  x = within(b, loc, x, 0x1.81eb86p+2);
  Value square = arith::MulFOp::create(b, loc, x, x);
  Value q = polynomial(b, loc, square,
                       {1, 0x1.2dbf66p-2, 0x1.50167ap-5, 0x1.cfc8c8p-9, 0x1.b05414p-13, 0x1.19d72ap-17,
                        0x1.b80a54p-23, 0x1.7267a4p-30});
  Value quotient = arith::DivFOp::create(b, loc, x, q);
  Value odd = arith::MulFOp::create(b, loc, quotient, polynomial(b, loc, square, p));
  return arith::AddFOp::create(b, loc, odd, splat(b, loc, type, 0.5));
}

/// Sigmoid and silu by e = exp(-|x|), which does not overflow: `positive` / (1 + e) where x is not below 0,
/// else e / (1 + e), or x e / (1 + e).
Value logistic(OpBuilder &b, Location loc, Value x, Value positive, bool isSilu) {
  Value e = math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, math::AbsFOp::create(b, loc, x)));
  Value below = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, splat(b, loc, x.getType(), 0));
  Value negative = isSilu ? Value(arith::MulFOp::create(b, loc, x, e)) : e;
  Value upper = arith::SelectOp::create(b, loc, below, negative, positive);
  Value lower = arith::AddFOp::create(b, loc, splat(b, loc, x.getType(), 1), e);
  return arith::DivFOp::create(b, loc, upper, lower);
}

template <typename FloatOp, typename IntOp> Value either(OpBuilder &b, Location loc, ValueRange operands) {
  if (isFloat(operands[0]))
    return FloatOp::create(b, loc, operands[0], operands[1]);
  return IntOp::create(b, loc, operands[0], operands[1]);
}

} // namespace

Value NegOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::NegFOp::create(b, loc, v[0]);
}
Value ExpOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::ExpOp::create(b, loc, v[0]);
}
Value LogOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::LogOp::create(b, loc, v[0]);
}
Value SqrtOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::SqrtOp::create(b, loc, v[0]);
}
Value RsqrtOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::DivFOp::create(b, loc, splat(b, loc, v[0].getType(), 1), math::SqrtOp::create(b, loc, v[0]));
}
Value TanhOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::TanhOp::create(b, loc, v[0]);
}
Value SigmoidOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return logistic(b, loc, v[0], splat(b, loc, v[0].getType(), 1), false);
}
Value ReluOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  // x < 0 ? 0 : x is one instruction and keeps NaN.
  Value zero = splat(b, loc, v[0].getType(), 0);
  Value below = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, v[0], zero);
  return arith::SelectOp::create(b, loc, below, zero, v[0]);
}
Value SiluOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  // Below the bound the result is -0, which -infinity times 0 would not be.
  Value x = atLeast(b, loc, v[0], -200);
  return logistic(b, loc, x, x, true);
}
Value GeluOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Value x = atLeast(b, loc, v[0], -20); // as for silu
  return arith::MulFOp::create(
      b, loc, x,
      overSharedQuotient(b, loc, v[0],
                         {0x1.988458p-2, 0x1.a25896p-5, 0x1.ba43d0p-8, 0x1.c7e492p-12, 0x1.70b090p-16,
                          0x1.82fca2p-21, 0x1.6b32c0p-27, 0x1.578e36p-36}));
}
Value GeluSlopeOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return overSharedQuotient(b, loc, v[0],
                            {0x1.988452p-1, -0x1.f95beep-6, 0x1.d16fb6p-7, 0x1.81bbeep-15, 0x1.2135c2p-15,
                             0x1.fce9aep-22, 0x1.ca0d52p-27, 0x1.ad119ep-38});
}
Value ErfOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::ErfOp::create(b, loc, v[0]);
}
Value AbsOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::AbsFOp::create(b, loc, v[0]);
}
Value NotOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::XOrIOp::create(b, loc, v[0], splat(b, loc, v[0].getType(), 1));
}
Value IsFiniteOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Value size = math::AbsFOp::create(b, loc, v[0]);
  Value infinity = splat(b, loc, v[0].getType(), std::numeric_limits<double>::infinity());
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, size, infinity);
}

Value AddOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return either<arith::AddFOp, arith::AddIOp>(b, loc, v);
}
Value SubOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return either<arith::SubFOp, arith::SubIOp>(b, loc, v);
}
Value MulOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return either<arith::MulFOp, arith::MulIOp>(b, loc, v);
}
Value DivOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::DivFOp::create(b, loc, v[0], v[1]);
}
Value MaximumOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return either<arith::MaximumFOp, arith::MaxSIOp>(b, loc, v);
}
Value MinimumOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return either<arith::MinimumFOp, arith::MinSIOp>(b, loc, v);
}
Value PowOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return math::PowFOp::create(b, loc, v[0], v[1]);
}
Value AndOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::AndIOp::create(b, loc, v[0], v[1]);
}
Value OrOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::OrIOp::create(b, loc, v[0], v[1]);
}

Value CompareOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  static constexpr F floats[] = {F::OEQ, F::UNE, F::OLT, F::OLE, F::OGT, F::OGE};
  static constexpr I integers[] = {I::eq, I::ne, I::slt, I::sle, I::sgt, I::sge};
  unsigned i = unsigned(getPredicate());
  if (isFloat(v[0]))
    return arith::CmpFOp::create(b, loc, floats[i], v[0], v[1]);
  return arith::CmpIOp::create(b, loc, integers[i], v[0], v[1]);
}
Value SelectOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  return arith::SelectOp::create(b, loc, v[0], v[1], v[2]);
}

Value ConvertOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Type from = getElementTypeOrSelf(v[0].getType()),
       to = cast<RankedTensorType>(getY().getType()).getElementType();
  if (from == to)
    return v[0];
  Type type = likeWith(v[0].getType(), to);
  if (to.isInteger(1)) {
    Value zero = splat(b, loc, v[0].getType(), 0);
    if (isa<FloatType>(from))
      return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, v[0], zero);
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, v[0], zero);
  }
  if (from.isInteger(1)) // a select is one masked move
    return arith::SelectOp::create(b, loc, v[0], splat(b, loc, type, 1), splat(b, loc, type, 0));
  if (isa<FloatType>(to))
    return arith::SIToFPOp::create(b, loc, type, v[0]);
  // What 32 bits do not hold goes to the nearest number that they do, NaN to 0: fptosi has no value for them.
  using P = arith::CmpFPredicate;
  auto choose = [&](P predicate, Value x, double bound, Value yes, Value no) -> Value {
    Value holds = arith::CmpFOp::create(b, loc, predicate, x, splat(b, loc, x.getType(), bound));
    return arith::SelectOp::create(b, loc, holds, yes, no);
  };
  Value zero = splat(b, loc, v[0].getType(), 0);
  Value inside = choose(P::OLT, math::AbsFOp::create(b, loc, v[0]), 0x1p31, v[0], zero);
  Value y = arith::FPToSIOp::create(b, loc, type, inside);
  y = choose(P::OGE, v[0], 0x1p31, splat(b, loc, type, INT32_MAX), y);
  return choose(P::OLE, v[0], -0x1p31, splat(b, loc, type, INT32_MIN), y);
}

Value IotaOp::buildScalar(OpBuilder &b, Location loc, ValueRange indices) {
  Type element = elementTypesOf(getY().getType()).compute;
  return isa<FloatType>(element)
             ? Value(arith::SIToFPOp::create(b, loc, likeWith(indices[0].getType(), element), indices[0]))
             : indices[0];
}

Value StopGradientOp::buildScalar(OpBuilder &, Location, ValueRange v) { return v[0]; }
Value ReverseGradientOp::buildScalar(OpBuilder &, Location, ValueRange v) { return v[0]; }
Value BarrierOp::buildScalar(OpBuilder &, Location, ValueRange v) { return v[0]; }
Value SkippableOp::buildScalar(OpBuilder &, Location, ValueRange v) { return v[0]; }

SmallVector<Accumulator> flow::realAccumulators(MLIRContext *context, ArrayRef<double> starts) {
  return llvm::map_to_vector(starts,
                             [&](double start) { return Accumulator{Float32Type::get(context), start}; });
}

SmallVector<Accumulator> ReduceOp::accumulators() {
  if (getKind() == ReduceKind::sum)
    return {{elementTypesOf(getX().getType()).accumulator, 0}};
  Type element = elementTypesOf(getX().getType()).compute;
  double most = isa<FloatType>(element) ? std::numeric_limits<double>::infinity() : 2147483647.0;
  return {{element, getKind() == ReduceKind::max ? -most : most}};
}
SmallVector<Value> ReduceOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  Value both[] = {x[0], y[0]};
  switch (getKind()) {
  case ReduceKind::sum:
    return {either<arith::AddFOp, arith::AddIOp>(b, loc, both)};
  case ReduceKind::max:
    return {either<arith::MaximumFOp, arith::MaxSIOp>(b, loc, both)};
  case ReduceKind::min:
    return {either<arith::MinimumFOp, arith::MinSIOp>(b, loc, both)};
  }
  llvm_unreachable("a reduction of no kind");
}
bool ReduceOp::sumsReals() {
  return getKind() == ReduceKind::sum &&
         isa<FloatType>(cast<RankedTensorType>(getX().getType()).getElementType());
}

// The largest so far, and where it is.
SmallVector<Accumulator> ArgmaxOp::accumulators() {
  return {{elementTypesOf(getX().getType()).compute, -std::numeric_limits<double>::infinity()},
          {elementTypesOf(getY().getType()).compute, 2147483647}};
}
SmallVector<Value> ArgmaxOp::buildElement(OpBuilder &, Location, ValueRange operands, ValueRange indices) {
  return {operands[0], indices[0]};
}
// y wins where it is larger (NaN is the largest of all), or where they tie and it comes first.
SmallVector<Value> ArgmaxOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  using P = arith::CmpFPredicate;
  auto compare = [&](P predicate, Value l, Value r) -> Value {
    return arith::CmpFOp::create(b, loc, predicate, l, r);
  };
  Value xNan = compare(P::UNO, x[0], x[0]), yNan = compare(P::UNO, y[0], y[0]);
  Value larger = compare(P::OGT, y[0], x[0]), same = compare(P::OEQ, y[0], x[0]);
  Value yes = splat(b, loc, xNan.getType(), 1);
  Value onlyY = arith::AndIOp::create(b, loc, yNan, arith::XOrIOp::create(b, loc, xNan, yes));
  Value bothNan = arith::AndIOp::create(b, loc, xNan, yNan);
  Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, y[1], x[1]);
  Value tie = arith::AndIOp::create(b, loc, arith::OrIOp::create(b, loc, same, bothNan), first);
  Value wins = arith::OrIOp::create(b, loc, arith::OrIOp::create(b, loc, larger, onlyY), tie);
  return {arith::SelectOp::create(b, loc, wins, y[0], x[0]),
          arith::SelectOp::create(b, loc, wins, y[1], x[1])};
}
SmallVector<Value> ArgmaxOp::buildFinish(OpBuilder &, Location, ValueRange accumulators) {
  return {accumulators[1]};
}

SmallVector<Accumulator> SegmentSumOp::accumulators() { return realAccumulators(getContext(), {0}); }
SmallVector<Value> SegmentSumOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  return {arith::AddFOp::create(b, loc, x[0], y[0])};
}
SmallVector<Accumulator> WindowSumOp::accumulators() { return realAccumulators(getContext(), {0}); }
SmallVector<Value> WindowSumOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  return {arith::AddFOp::create(b, loc, x[0], y[0])};
}
