// Philox in vector code; see LoopRandom.h. A counter block gives four words, for four consecutive indices.
// For lanes with consecutive indices that begin at a block, each lane computes one block, and the words are
// then shuffled to their lanes. For any other indices, each lane computes its own block and keeps one word.
// The constants are those of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
#include "passes/kernels/loops/LoopRandom.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <array>

using namespace mlir;

namespace moe::kernels {
namespace {

struct Philox {
  OpBuilder &b;
  Location loc;
  VectorType wide, narrow, real; // i64, i32, f32

  Philox(OpBuilder &b, Location loc, int64_t lanes)
      : b(b), loc(loc), wide(VectorType::get({lanes}, b.getI64Type())),
        narrow(VectorType::get({lanes}, b.getI32Type())), real(VectorType::get({lanes}, b.getF32Type())) {}
  Value integers(VectorType type, int64_t value) {
    APInt bits(type.getElementTypeBitWidth(), uint64_t(value), false, true);
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, bits));
  }
  Value reals(double value) {
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(real, Attribute(b.getF32FloatAttr(float(value)))));
  }
  Value low(Value x) { return arith::TruncIOp::create(b, loc, narrow, x); }
  Value exclusive(Value x, Value y) { return arith::XOrIOp::create(b, loc, x, y); }

  // A word in the lower half of each 64-bit lane.
  Value wideLow(Value scalar) { return vector::BroadcastOp::create(b, loc, wide, scalar); }
  Value upper(Value x) { return arith::ShRUIOp::create(b, loc, x, integers(wide, 32)); }

  // The four words of the blocks with these numbers. Words stay in the lower halves of 64-bit lanes, whatever the upper
  // halves are: a product of two words then takes one instruction, and the rounds no conversion.
  std::array<Value, 4> block(PhiloxKey key, Value number) {
    std::array<Value, 4> c = {number, upper(number), wideLow(key.stream), wideLow(key.step)};
    Value k0 = wideLow(key.seed), k1 = upper(k0);
    Value m0 = integers(wide, 0xD2511F53), m1 = integers(wide, 0xCD9E8D57);
    Value w0 = integers(wide, 0x9E3779B9), w1 = integers(wide, 0xBB67AE85);
    Value word = integers(wide, 0xFFFFFFFF);
    for (int round = 0; round < 10; ++round) {
      if (round) {
        k0 = arith::AddIOp::create(b, loc, k0, w0);
        k1 = arith::AddIOp::create(b, loc, k1, w1);
      }
      Value p0 = arith::MulIOp::create(b, loc, m0, arith::AndIOp::create(b, loc, c[0], word));
      Value p1 = arith::MulIOp::create(b, loc, m1, arith::AndIOp::create(b, loc, c[2], word));
      c = {exclusive(exclusive(upper(p1), c[1]), k0), p1, exclusive(exclusive(upper(p0), c[3]), k1), p0};
    }
    for (Value &x : c)
      x = low(x);
    return c;
  }
  // The lanes in whose index the bit is set.
  Value has(Value logical, int64_t bit) {
    Value masked = arith::AndIOp::create(b, loc, low(logical), integers(narrow, bit));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, masked, integers(narrow, 0));
  }
  Value choose(Value mask, Value x, Value y) { return arith::SelectOp::create(b, loc, mask, x, y); }
  Value blockOf(Value logical) { return arith::ShRUIOp::create(b, loc, logical, integers(wide, 2)); }
  // (word >> 8) * 2^-24
  Value unit(Value word) {
    Value top = arith::ShRUIOp::create(b, loc, word, integers(narrow, 8));
    Value number = arith::SIToFPOp::create(b, loc, real, top);
    return arith::MulFOp::create(b, loc, number, reals(0x1p-24));
  }
};

// x and y interleaved: x0 y0 x1 y1 ...
Value interleaved(OpBuilder &b, Location loc, Value x, Value y) {
  SmallVector<int64_t> lanes;
  for (int64_t i = 0, n = cast<VectorType>(x.getType()).getNumElements(); i < n; ++i)
    lanes.append({i, n + i});
  return vector::ShuffleOp::create(b, loc, x, y, lanes);
}

// The radius of Box and Muller, sqrt(-2 log(1 - u)), and the angle.
Value radiusOf(Philox &p, Value first) {
  Value u = arith::SubFOp::create(p.b, p.loc, p.reals(1), p.unit(first));
  Value square = arith::MulFOp::create(p.b, p.loc, p.reals(-2), math::LogOp::create(p.b, p.loc, u));
  return math::SqrtOp::create(p.b, p.loc, square);
}
Value angleOf(Philox &p, Value second) {
  return arith::MulFOp::create(p.b, p.loc, p.unit(second), p.reals(6.283185307179586));
}

// The words of consecutive blocks, one block per lane. Where lanes in front of the values are masked, `first` may be
// negative: it is rounded down.
std::array<Value, 4> runOf(Philox &p, PhiloxKey key, Value first) {
  SmallVector<int64_t> numbers = llvm::to_vector(llvm::seq<int64_t>(0, p.wide.getNumElements()));
  Value iota =
      arith::ConstantOp::create(p.b, p.loc, DenseElementsAttr::get(p.wide, ArrayRef<int64_t>(numbers)));
  Value two = arith::ConstantOp::create(p.b, p.loc, p.b.getI64IntegerAttr(2));
  Value block = arith::ShRSIOp::create(p.b, p.loc, first, two);
  Value base = vector::BroadcastOp::create(p.b, p.loc, p.wide, block);
  return p.block(key, arith::AddIOp::create(p.b, p.loc, base, iota));
}

} // namespace

Value philoxUniform(OpBuilder &builder, Location location, PhiloxKey key, Value logical) {
  Philox p(builder, location, cast<VectorType>(logical.getType()).getNumElements());
  std::array<Value, 4> c = p.block(key, p.blockOf(logical));
  Value odd = p.has(logical, 1), upper = p.has(logical, 2);
  return p.unit(p.choose(upper, p.choose(odd, c[3], c[2]), p.choose(odd, c[1], c[0])));
}

Value philoxNormal(OpBuilder &builder, Location location, PhiloxKey key, Value logical) {
  Philox p(builder, location, cast<VectorType>(logical.getType()).getNumElements());
  std::array<Value, 4> c = p.block(key, p.blockOf(logical));
  Value odd = p.has(logical, 1), upper = p.has(logical, 2);
  Value radius = radiusOf(p, p.choose(upper, c[2], c[0])), angle = angleOf(p, p.choose(upper, c[3], c[1]));
  Value wave = p.choose(odd, math::SinOp::create(builder, location, angle),
                        math::CosOp::create(builder, location, angle));
  return arith::MulFOp::create(builder, location, radius, wave);
}

Value philoxUniformRun(OpBuilder &builder, Location location, PhiloxKey key, Value first, int64_t lanes) {
  Philox blocks(builder, location, lanes / 4), all(builder, location, lanes);
  std::array<Value, 4> c = runOf(blocks, key, first);
  // Interleaves words 0 and 2, and words 1 and 3, and then the two results.
  Value even = interleaved(builder, location, c[0], c[2]), odd = interleaved(builder, location, c[1], c[3]);
  return all.unit(interleaved(builder, location, even, odd));
}

Value philoxNormalRun(OpBuilder &builder, Location location, PhiloxKey key, Value first, int64_t lanes) {
  Philox blocks(builder, location, lanes / 4), pairs(builder, location, lanes / 2);
  std::array<Value, 4> c = runOf(blocks, key, first);
  Value radius = radiusOf(pairs, interleaved(builder, location, c[0], c[2]));
  Value angle = angleOf(pairs, interleaved(builder, location, c[1], c[3]));
  Value cosine =
      arith::MulFOp::create(builder, location, radius, math::CosOp::create(builder, location, angle));
  Value sine =
      arith::MulFOp::create(builder, location, radius, math::SinOp::create(builder, location, angle));
  return interleaved(builder, location, cosine, sine);
}

} // namespace moe::kernels
