// Building blocks of kernels for contractions and convolutions; see MicroCode.h.
#include "passes/cpu/micro/MicroCode.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace moe::cpu {

Value MicroCode::at(Value pointer, Ix offset) {
  if (offset.is(0))
    return pointer;
  Type ptr = LLVM::LLVMPointerType::get(b.getContext());
  return LLVM::GEPOp::create(b, loc, ptr, b.getF32Type(), pointer, ArrayRef<LLVM::GEPArg>{i64(offset)});
}

VectorType MicroCode::vectorType(int n) { return VectorType::get({n ? n : lanes}, b.getF32Type()); }

Value MicroCode::zero(int n) {
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vectorType(n), 0.0f));
}

Value MicroCode::splat(Value scalar, int n) {
  return vector::BroadcastOp::create(b, loc, vectorType(n), scalar);
}

Value MicroCode::firstLanes(Ix count, int n) {
  n = n ? n : lanes;
  SmallVector<int32_t> iota(n);
  for (int i = 0; i < n; ++i)
    iota[i] = i;
  auto type = VectorType::get({n}, b.getI32Type());
  Value lane = arith::ConstantOp::create(b, loc, DenseIntElementsAttr::get(type, iota));
  // Clamped before it is truncated to 32 bits.
  Value clamped = i64(min(max(count, 0), n));
  Value narrow = arith::TruncIOp::create(b, loc, b.getI32Type(), clamped);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lane,
                               vector::BroadcastOp::create(b, loc, type, narrow));
}

Value MicroCode::load(Value pointer, Ix offset, Value mask, int n) {
  Value address = at(pointer, offset);
  if (!mask)
    return LLVM::LoadOp::create(b, loc, vectorType(n), address, kFloatBytes);
  return LLVM::MaskedLoadOp::create(b, loc, vectorType(n), address, mask, zero(n),
                                    b.getI32IntegerAttr(kFloatBytes));
}

void MicroCode::store(Value vector, Value pointer, Ix offset, Value mask) {
  Value address = at(pointer, offset);
  if (!mask)
    LLVM::StoreOp::create(b, loc, vector, address, kFloatBytes);
  else
    LLVM::MaskedStoreOp::create(b, loc, vector, address, mask, b.getI32IntegerAttr(kFloatBytes));
}

Value MicroCode::offsets(Ix offset, Ix stride, int n) {
  auto type = VectorType::get({n}, b.getI64Type());
  SmallVector<int64_t> iota(n);
  for (int i = 0; i < n; ++i)
    iota[i] = stride.isStatic() ? i * stride.known() : i;
  Value lane = arith::ConstantOp::create(b, loc, DenseIntElementsAttr::get(type, iota));
  if (!stride.isStatic())
    lane = arith::MulIOp::create(b, loc, lane, vector::BroadcastOp::create(b, loc, type, i64(stride)));
  return arith::AddIOp::create(b, loc, lane, vector::BroadcastOp::create(b, loc, type, i64(offset)));
}

Value MicroCode::loadStrided(Value pointer, Ix offset, Ix stride, Value mask, int n) {
  n = n ? n : lanes;
  if (stride.is(1))
    return load(pointer, offset, mask, n);
  if (stride.is(0) && !mask)
    return splat(loadScalar(pointer, offset), n);
  auto pointers = VectorType::get({n}, LLVM::LLVMPointerType::get(b.getContext()));
  Value where = LLVM::GEPOp::create(b, loc, pointers, b.getF32Type(), pointer,
                                    ArrayRef<LLVM::GEPArg>{offsets(offset, stride, n)});
  if (!mask)
    mask =
        arith::ConstantOp::create(b, loc, DenseElementsAttr::get(VectorType::get({n}, b.getI1Type()), true));
  return LLVM::masked_gather::create(b, loc, vectorType(n), where, mask, ValueRange{zero(n)},
                                     b.getI32IntegerAttr(kFloatBytes));
}

void MicroCode::storeStrided(Value vector, Value pointer, Ix offset, Ix stride, Value mask) {
  if (stride.is(1))
    return store(vector, pointer, offset, mask);
  int n = cast<VectorType>(vector.getType()).getDimSize(0);
  auto pointers = VectorType::get({n}, LLVM::LLVMPointerType::get(b.getContext()));
  Value where = LLVM::GEPOp::create(b, loc, pointers, b.getF32Type(), pointer,
                                    ArrayRef<LLVM::GEPArg>{offsets(offset, stride, n)});
  if (!mask)
    mask =
        arith::ConstantOp::create(b, loc, DenseElementsAttr::get(VectorType::get({n}, b.getI1Type()), true));
  LLVM::masked_scatter::create(b, loc, vector, where, mask, b.getI32IntegerAttr(kFloatBytes));
}

Value MicroCode::loadScalar(Value pointer, Ix offset) {
  return LLVM::LoadOp::create(b, loc, b.getF32Type(), at(pointer, offset), kFloatBytes);
}

void MicroCode::storeScalar(Value scalar, Value pointer, Ix offset) {
  LLVM::StoreOp::create(b, loc, scalar, at(pointer, offset), kFloatBytes);
}

Value MicroCode::loadMask(Value pointer, Ix offset, Ix stride, Value mask) {
  Value bytes;
  auto type = VectorType::get({lanes}, b.getI8Type());
  if (stride.is(1)) {
    Value zeros = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, int8_t(0)));
    bytes = mask ? kernel.loadMasked(type, pointer, i64(offset), mask, zeros)
                 : kernel.load(type, pointer, b.getI8Type(), i64(offset));
  } else {
    bytes = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, int8_t(0)));
    for (int i = 0; i < lanes; ++i) {
      auto read = [&]() -> Values {
        Value byte = kernel.load(b.getI8Type(), pointer, b.getI8Type(), i64(add(offset, mul(stride, i))));
        return {vector::InsertOp::create(b, loc, byte, bytes, int64_t(i))};
      };
      bytes = mask ? choose(vector::ExtractOp::create(b, loc, mask, int64_t(i)), read,
                            [&] { return Values{bytes}; })[0]
                   : read()[0];
    }
  }
  Value none = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, int8_t(0)));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, bytes, none);
}

void MicroCode::storeMask(Value bits, Value pointer, Ix offset, Ix stride, Value mask) {
  auto type = VectorType::get({lanes}, b.getI8Type());
  Value bytes = arith::ExtUIOp::create(b, loc, type, bits);
  if (stride.is(1)) {
    if (mask)
      kernel.storeMasked(bytes, pointer, i64(offset), mask);
    else
      kernel.store(bytes, pointer, b.getI8Type(), i64(offset));
    return;
  }
  for (int i = 0; i < lanes; ++i) {
    auto write = [&] {
      Value byte = vector::ExtractOp::create(b, loc, bytes, int64_t(i));
      kernel.store(byte, pointer, b.getI8Type(), i64(add(offset, mul(stride, i))));
    };
    if (mask)
      when(vector::ExtractOp::create(b, loc, mask, int64_t(i)), write);
    else
      write();
  }
}

void MicroCode::prefetch(Value pointer, Ix offset, bool write, int locality) {
  LLVM::Prefetch::create(b, loc, at(pointer, offset), write, locality, 1);
}

Value MicroCode::number(float value) {
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vectorType(), value));
}

Value MicroCode::addf(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }

Value MicroCode::subf(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }

Value MicroCode::mulf(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }

Value MicroCode::fma(Value x, Value y, Value z) { return LLVM::FMAOp::create(b, loc, x, y, z); }

Values MicroCode::loadTransposed(Value pointer, ArrayRef<Ix> rows) {
  const int n = rows.size();
  assert(n % 4 == 0 && "rows in fours");
  auto shuffle = [&](Value x, Value y, llvm::function_ref<int64_t(int64_t)> from) {
    SmallVector<int64_t> mask(n);
    for (int64_t i = 0; i < n; ++i)
      mask[i] = i / 4 * 4 + from(i % 4) % 4 + (from(i % 4) >= 4 ? n : 0);
    return vector::ShuffleOp::create(b, loc, x, y, mask).getResult();
  };
  Values columns;
  for (int from = 0; from < n; from += 4) {
    // Loads four elements of each of the rows i, i + 4, ... into one vector, then transposes squares of four
    // by four.
    Values four;
    for (int i = 0; i < 4; ++i) {
      Value joined = zero(n);
      for (int row = i; row < n; row += 4)
        joined =
            vector::InsertStridedSliceOp::create(b, loc, load(pointer, add(rows[row], from), {}, 4), joined,
                                                 ArrayRef<int64_t>{row / 4 * 4}, ArrayRef<int64_t>{1});
      four.push_back(joined);
    }
    auto low = [](int64_t i) { return i / 2 + i % 2 * 4; }; // x0 y0 x1 y1
    auto high = [](int64_t i) { return 2 + i / 2 + i % 2 * 4; };
    auto lowPairs = [](int64_t i) { return i % 2 + i / 2 * 4; }; // x0 x1 y0 y1
    auto highPairs = [](int64_t i) { return 2 + i % 2 + i / 2 * 4; };
    Value low01 = shuffle(four[0], four[1], low), high01 = shuffle(four[0], four[1], high);
    Value low23 = shuffle(four[2], four[3], low), high23 = shuffle(four[2], four[3], high);
    columns.push_back(shuffle(low01, low23, lowPairs));
    columns.push_back(shuffle(low01, low23, highPairs));
    columns.push_back(shuffle(high01, high23, lowPairs));
    columns.push_back(shuffle(high01, high23, highPairs));
  }
  return columns;
}

} // namespace moe::cpu
