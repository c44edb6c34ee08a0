// See LoopRandom.h. A counter block gives four words, so lanes that are neighbours compute the same block;
// each keeps the word that is its own. Constants are those of Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3" (2011).
#include "passes/cpu/LoopRandom.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <array>

using namespace mlir;

namespace moe::cpu {
namespace {

struct Philox {
  OpBuilder &b;
  Location loc;
  VectorType wide, narrow, real; // i64, i32, f32

  Philox(OpBuilder &b, Location loc, Value logical)
      : b(b), loc(loc), wide(cast<VectorType>(logical.getType())) {
    narrow = wide.clone(b.getI32Type());
    real = wide.clone(b.getF32Type());
  }
  Value integers(VectorType type, int64_t value) {
    APInt bits(type.getElementTypeBitWidth(), uint64_t(value), false, true);
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, bits));
  }
  Value reals(double value) {
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(real, Attribute(b.getF32FloatAttr(float(value)))));
  }
  Value low(Value x) { return arith::TruncIOp::create(b, loc, narrow, x); }
  Value high(Value x) { return low(arith::ShRUIOp::create(b, loc, x, integers(wide, 32))); }
  Value splatLow(Value scalar) {
    Value word = arith::TruncIOp::create(b, loc, b.getI32Type(), scalar);
    return vector::BroadcastOp::create(b, loc, narrow, word);
  }
  Value splatHigh(Value scalar) {
    Value shift = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(32));
    return splatLow(arith::ShRUIOp::create(b, loc, scalar, shift));
  }
  Value exclusive(Value x, Value y) { return arith::XOrIOp::create(b, loc, x, y); }

  std::array<Value, 4> block(PhiloxKey key, Value logical) {
    Value number = arith::ShRUIOp::create(b, loc, logical, integers(wide, 2));
    std::array<Value, 4> c = {low(number), high(number), splatLow(key.stream), splatLow(key.step)};
    Value k0 = splatLow(key.seed), k1 = splatHigh(key.seed);
    Value m0 = integers(wide, 0xD2511F53), m1 = integers(wide, 0xCD9E8D57);
    Value w0 = integers(narrow, 0x9E3779B9), w1 = integers(narrow, 0xBB67AE85);
    for (int round = 0; round < 10; ++round) {
      if (round) {
        k0 = arith::AddIOp::create(b, loc, k0, w0);
        k1 = arith::AddIOp::create(b, loc, k1, w1);
      }
      Value p0 = arith::MulIOp::create(b, loc, m0, arith::ExtUIOp::create(b, loc, wide, c[0]));
      Value p1 = arith::MulIOp::create(b, loc, m1, arith::ExtUIOp::create(b, loc, wide, c[2]));
      c = {exclusive(exclusive(high(p1), c[1]), k0), low(p1), exclusive(exclusive(high(p0), c[3]), k1),
           low(p0)};
    }
    return c;
  }
  // The lanes whose logical index has the bit.
  Value has(Value logical, int64_t bit) {
    Value masked = arith::AndIOp::create(b, loc, low(logical), integers(narrow, bit));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, masked, integers(narrow, 0));
  }
  Value choose(Value mask, Value x, Value y) { return arith::SelectOp::create(b, loc, mask, x, y); }
  // (word >> 8) * 2^-24
  Value unit(Value word) {
    Value top = arith::ShRUIOp::create(b, loc, word, integers(narrow, 8));
    Value number = arith::SIToFPOp::create(b, loc, real, top);
    return arith::MulFOp::create(b, loc, number, reals(0x1p-24));
  }
};

} // namespace

Value philoxUniform(OpBuilder &builder, Location location, PhiloxKey key, Value logical) {
  Philox p(builder, location, logical);
  std::array<Value, 4> c = p.block(key, logical);
  Value odd = p.has(logical, 1), upper = p.has(logical, 2);
  return p.unit(p.choose(upper, p.choose(odd, c[3], c[2]), p.choose(odd, c[1], c[0])));
}

Value philoxNormal(OpBuilder &builder, Location location, PhiloxKey key, Value logical) {
  Philox p(builder, location, logical);
  std::array<Value, 4> c = p.block(key, logical);
  Value odd = p.has(logical, 1), upper = p.has(logical, 2);
  Value u1 = arith::SubFOp::create(builder, location, p.reals(1), p.unit(p.choose(upper, c[2], c[0])));
  Value u2 = p.unit(p.choose(upper, c[3], c[1]));
  Value radius = math::SqrtOp::create(
      builder, location,
      arith::MulFOp::create(builder, location, p.reals(-2), math::LogOp::create(builder, location, u1)));
  Value angle = arith::MulFOp::create(builder, location, u2, p.reals(6.283185307179586));
  Value wave = p.choose(odd, math::SinOp::create(builder, location, angle),
                        math::CosOp::create(builder, location, angle));
  return arith::MulFOp::create(builder, location, radius, wave);
}

} // namespace moe::cpu
