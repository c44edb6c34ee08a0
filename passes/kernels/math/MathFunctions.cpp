// Polynomials for math.exp and math.log, math.powf by these, and a quotient of polynomials for math.erf; see
// MathFunctions.h. The first two reduce their argument to a small interval around 0, where a polynomial of the least
// largest relative error (fitted by Lawson's method) is within a tenth of an ulp; what is left of the error is
// rounding, about one ulp. Edges are exact: exp overflows to infinity and underflows through the subnormal numbers to
// 0, the logarithm of 0 is -infinity and that of a negative number NaN, the error function is 1 at most, and NaN stays
// NaN.
#include "passes/kernels/math/MathFunctions.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace moe::kernels {
namespace {

// ln 2 in two parts: the upper one has so few digits that its products with an exponent are exact.
constexpr double ln2Upper = 0x1.62e4p-1, ln2Lower = 0x1.7f7d1cf79abcap-20;

// Arithmetic on f32 and i32 of one shape, a scalar or a vector.
struct Lanes {
  OpBuilder &b;
  Location loc;
  Type real, integer;

  Lanes(OpBuilder &b, Location loc, Type real) : b(b), loc(loc), real(real) {
    auto vector = dyn_cast<VectorType>(real);
    integer = vector ? Type(vector.clone(b.getI32Type())) : Type(b.getI32Type());
  }
  Value constant(Type type, TypedAttr value) {
    if (auto vector = dyn_cast<VectorType>(type))
      value = DenseElementsAttr::get(vector, Attribute(value));
    return arith::ConstantOp::create(b, loc, type, value);
  }
  Value number(double value) { return constant(real, b.getF32FloatAttr(float(value))); }
  Value number(int32_t value) { return constant(integer, b.getI32IntegerAttr(value)); }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) { return math::FmaOp::create(b, loc, x, y, z); }
  Value addInteger(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value subInteger(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value bitsOf(Value x) { return arith::BitcastOp::create(b, loc, integer, x); }
  Value ofBits(Value x) { return arith::BitcastOp::create(b, loc, real, x); }
  Value is(arith::CmpFPredicate predicate, Value x, double y) {
    return arith::CmpFOp::create(b, loc, predicate, x, number(y));
  }
  Value select(Value mask, Value x, Value y) { return arith::SelectOp::create(b, loc, mask, x, y); }
  /// x, but from -bound to bound. NaN passes: no comparison with it holds.
  Value clamp(Value x, double bound) {
    using P = arith::CmpFPredicate;
    x = select(is(P::OLT, x, -bound), number(-bound), x);
    return select(is(P::OGT, x, bound), number(bound), x);
  }

  /// c[0] + c[1] x + c[2] x^2 + ...
  Value polynomial(Value x, ArrayRef<float> c) {
    Value sum = number(double(c.back()));
    for (float factor : llvm::reverse(c.drop_back()))
      sum = fma(sum, x, number(double(factor)));
    return sum;
  }
  /// e^x = y 2^n with y from 0.7 to 1.42, for x from -104 to 89. Of NaN, y is NaN and n any number.
  std::pair<Value, Value> reduceExp(Value x) {
    // x = n ln 2 + r with |r| <= ln 2 / 2. In a sum with 1.5 2^23 the digits of one are those of a whole number.
    constexpr float toWhole = 0x1.8p23f;
    Value scaled = fma(x, number(0x1.715476p+0), number(double(toWhole)));
    Value n = subInteger(bitsOf(scaled), number(llvm::bit_cast<int32_t>(toWhole)));
    Value whole = add(scaled, number(double(-toWhole)));
    Value r = fma(whole, number(-ln2Upper), x);
    r = fma(whole, number(-ln2Lower), r);
    // e^r = 1 + r + r^2 p(r)
    Value p = polynomial(r, {0.49999994f, 0.1666652f, 0.041668393f, 0.008368781f, 0.0013814467f});
    return {add(fma(mul(r, r), p, r), number(1.0)), n};
  }
  /// 2^n for n from -126 to 127
  Value powerOfTwo(Value n) {
    Value biased = addInteger(n, number(int32_t(127)));
    return ofBits(arith::ShLIOp::create(b, loc, biased, number(int32_t(23))));
  }
};

struct Exp : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::ExpOp op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    using P = arith::CmpFPredicate;
    Lanes l(rewriter, op.getLoc(), op.getType());
    // Beyond these bounds the result is 0 or infinity anyway. NaN passes: no comparison with it holds.
    Value x = op.getOperand();
    x = l.select(l.is(P::OLT, x, -104), l.number(-104.0), x);
    x = l.select(l.is(P::OGT, x, 89), l.number(89.0), x);
    auto [y, n] = l.reduceExp(x);
    // 2^n in two steps: n is from -150 to 128, more than one exponent holds, and the first step is exact.
    Value half = arith::ShRSIOp::create(rewriter, op.getLoc(), n, l.number(int32_t(1)));
    y = l.mul(y, l.powerOfTwo(half));
    y = l.mul(y, l.powerOfTwo(l.subInteger(n, half)));
    rewriter.replaceOp(op, y);
    return success();
  }
};

struct Log : OpRewritePattern<math::LogOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::LogOp op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    using P = arith::CmpFPredicate;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    Lanes l(rewriter, op.getLoc(), op.getType());
    Value x = op.getOperand();
    // A subnormal number becomes a normal one.
    Value small = l.is(P::OLT, x, 0x1p-126);
    Value normal = l.select(small, l.mul(x, l.number(0x1p23)), x);
    Value shift = l.select(small, l.number(-23.0), l.number(0.0));
    // x = 2^n m with m from sqrt(1/2) to sqrt(2): exponents are counted from that of sqrt(1/2).
    Value bits = l.subInteger(l.bitsOf(normal), l.number(int32_t(0x3f3504f3)));
    Value n = arith::ShRSIOp::create(rewriter, op.getLoc(), bits, l.number(int32_t(23)));
    Value fraction = arith::AndIOp::create(rewriter, op.getLoc(), bits, l.number(int32_t(0x007fffff)));
    Value m = l.ofBits(l.addInteger(fraction, l.number(int32_t(0x3f3504f3))));
    Value exponent = l.add(arith::SIToFPOp::create(rewriter, op.getLoc(), l.real, n), shift);
    // log(1 + f) = f - f^2 / 2 + f^3 q(f)
    Value f = l.add(m, l.number(-1.0)), square = l.mul(f, f);
    Value q = l.polynomial(f, {0.3333333f, -0.25000826f, 0.20001236f, -0.16623144f, 0.14201368f, -0.13162006f,
                               0.12765433f, -0.07634389f});
    Value tail = l.mul(l.mul(square, f), q);
    tail = l.fma(exponent, l.number(ln2Lower), tail);
    tail = l.fma(square, l.number(-0.5), tail);
    Value y = l.fma(exponent, l.number(ln2Upper), l.add(f, tail));
    // Infinity and NaN are their own logarithms.
    y = l.select(l.is(P::OLT, x, infinity), y, x);
    y = l.select(l.is(P::OLT, x, 0), l.number(std::numeric_limits<double>::quiet_NaN()), y);
    y = l.select(l.is(P::OEQ, x, 0), l.number(-infinity), y);
    rewriter.replaceOp(op, y);
    return success();
  }
};

// erf x = x p(x^2) / q(x^2), with a relative error of the same fit of 2^-25 and three ulp of rounding. Where |x| is
// larger than the bound, the error function is 1 in f32.
struct Erf : OpRewritePattern<math::ErfOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::ErfOp op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    Lanes l(rewriter, op.getLoc(), op.getType());
    Value x = l.clamp(op.getOperand(), 3.92);
    Value square = l.mul(x, x);
    Value p = l.polynomial(square, {0x1.20dd74p+0f, 0x1.85f334p-3f, 0x1.b01dbep-5f, 0x1.ed8f60p-9f,
                                    0x1.2ab83cp-12f, 0x1.1328a2p-19f});
    Value q = l.polynomial(
        square, {1.0f, 0x1.010ffap-1f, 0x1.d3638ep-4f, 0x1.ea8200p-7f, 0x1.30bf8ep-10f, 0x1.3f8948p-15f});
    Value y = arith::DivFOp::create(rewriter, op.getLoc(), l.mul(x, p), q);
    rewriter.replaceOp(op, l.clamp(y, 1));
    return success();
  }
};

// |a|^b is e^(b log |a|), with the sign and the special values that IEEE 754 gives pow. The exponent's
// rounding makes the relative error grow with its size, to 1e-5 where the result is close to the largest
// number.
struct Pow : OpRewritePattern<math::PowFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::PowFOp op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    using P = arith::CmpFPredicate;
    Location loc = op.getLoc();
    Lanes l(rewriter, loc, op.getType());
    Value a = op.getLhs(), b = op.getRhs();
    std::optional<double> exponent = constantOf(b);
    if (exponent && std::fabs(*exponent) <= 3 && *exponent != 0 && *exponent == std::floor(*exponent)) {
      Value y = a;
      for (int i = 1; i < std::fabs(*exponent); ++i)
        y = l.mul(y, a);
      rewriter.replaceOp(op, *exponent > 0 ? y : arith::DivFOp::create(rewriter, loc, l.number(1.0), y));
      return success();
    }
    auto both = [&](Value x, Value y) -> Value { return arith::AndIOp::create(rewriter, loc, x, y); };
    auto compare = [&](P predicate, Value x, Value y) -> Value {
      return arith::CmpFOp::create(rewriter, loc, predicate, x, y);
    };
    auto floor = [&](Value x) -> Value { return math::FloorOp::create(rewriter, loc, x); };
    Value size = math::AbsFOp::create(rewriter, loc, a), one = l.number(1.0);
    Value y = math::ExpOp::create(rewriter, loc, l.mul(b, math::LogOp::create(rewriter, loc, size)));
    // 1 to any power, an infinite one too, which times log 1 is NaN.
    y = l.select(both(compare(P::OEQ, size, one), compare(P::ORD, b, b)), one, y);
    Value whole = compare(P::OEQ, floor(b), b);
    Value odd = both(whole, compare(P::ONE, l.mul(floor(l.mul(b, l.number(0.5))), l.number(2.0)), b));
    Value signedBase =
        arith::CmpIOp::create(rewriter, loc, arith::CmpIPredicate::slt, l.bitsOf(a), l.number(int32_t(0)));
    y = l.select(both(odd, signedBase), arith::NegFOp::create(rewriter, loc, y), y);
    // A negative number has no power that is not whole.
    Value negative = both(l.is(P::OLT, a, 0), l.is(P::OGT, a, -std::numeric_limits<double>::infinity()));
    y = l.select(both(negative, compare(P::ONE, floor(b), b)),
                 l.number(std::numeric_limits<double>::quiet_NaN()), y);
    y = l.select(l.is(P::OEQ, b, 0), one, y);
    rewriter.replaceOp(op, l.select(l.is(P::OEQ, a, 1), one, y));
    return success();
  }
  static std::optional<double> constantOf(Value x) {
    Attribute value;
    if (!matchPattern(x, m_Constant(&value)))
      return std::nullopt;
    if (auto splat = dyn_cast<SplatElementsAttr>(value))
      value = splat.getSplatValue<Attribute>();
    auto number = dyn_cast<FloatAttr>(value);
    return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
  }
};

} // namespace

Value buildExpUpToOne(OpBuilder &b, Location loc, Value x) {
  Lanes l(b, loc, x.getType());
  // As for Exp, NaN passes; a single step gives 2^n for normal numbers.
  x = l.select(l.is(arith::CmpFPredicate::OGT, x, 88), l.number(88.0), x);
  Value tiny = l.is(arith::CmpFPredicate::OLT, x, -87);
  auto [y, n] = l.reduceExp(l.select(tiny, l.number(-87.0), x));
  return l.select(tiny, l.number(0.0), l.mul(y, l.powerOfTwo(n)));
}

void addMathFunctions(RewritePatternSet &patterns) {
  patterns.add<Exp, Log, Erf, Pow>(patterns.getContext());
}

} // namespace moe::kernels
