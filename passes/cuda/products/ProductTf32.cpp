// Products in tf32 (dialects/flow/Precision.h), by the tensor cores' instruction for 16 rows, 8 columns and 8 steps. A block's
// eight warps share its tile of 64 x 64: each has 16 rows and 32 columns, four instructions wide. The slices in shared
// memory are rounded when they are stored there, once for all warps that read them. A lane holds parts of the matrices,
// as the instruction prescribes: with group = lane / 4 and member = lane % 4,
//   A: rows group and group + 8, steps member and member + 4;
//   B: steps member and member + 4, column group;
//   sums: rows group and group + 8, columns 2 * member and 2 * member + 1.
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cuda/products/Product.h"

using namespace mlir;

namespace moe::cuda {

// Of one instruction.
static constexpr int64_t kRows = 16, kColumns = 8, kSteps = 8;
static constexpr int64_t kRowWarps = kTile / kRows;
static_assert(kSlice % kSteps == 0 && kProductThreads / kWarp % kRowWarps == 0 &&
              kTile / (kProductThreads / kWarp / kRowWarps) == kSquare * kColumns);

Product::Lane Product::lanePlace() {
  Ix warp = code.div(k.thread(), kWarp), lane = code.rem(k.thread(), kWarp);
  return {code.mul(code.rem(warp, kRowWarps), kRows), code.mul(code.div(warp, kRowWarps), kSquare * kColumns),
          code.div(lane, kSteps / 2), code.rem(lane, kSteps / 2)};
}

Value Product::roundToTf32(Value number) {
  return NVVM::ConvertFloatToTF32Op::create(b, k.loc(), b.getI32Type(), number, NVVM::FPRoundingMode::RNA);
}

Values Product::multiplyTf32(Values sums) {
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  auto four = VectorType::get({kSquare}, f32);
  auto result = LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  const Lane place = lanePlace();
  auto element = [&](Value tile, Ix step, Ix line) {
    return k.load(i32, tile, i32, code.i64(code.add(code.mul(step, pitch()), line)));
  };
  Ix row = code.add(place.firstRow, place.group);
  for (int64_t step = 0; step < kSlice; step += kSteps) {
    Ix near = code.add(place.member, step), far = code.add(place.member, step + kSteps / 2),
       below = code.add(row, kRows / 2);
    Values left{element(tileA, near, row), element(tileA, near, below), element(tileA, far, row),
                element(tileA, far, below)};
    for (auto [i, sum] : llvm::enumerate(sums)) {
      Ix column = code.add(code.add(place.firstColumn, place.group), int64_t(i) * kColumns);
      Values right{element(tileB, near, column), element(tileB, far, column)}, before, after;
      for (int64_t j = 0; j < kSquare; ++j)
        before.push_back(vector::ExtractOp::create(b, k.loc(), sum, j));
      Value all = NVVM::MmaOp::create(b, k.loc(), result, left, right, before,
                                      ArrayRef<int64_t>{kRows, kColumns, kSteps}, std::nullopt, std::nullopt,
                                      std::array{NVVM::MMATypes::tf32, NVVM::MMATypes::tf32},
                                      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
      for (int64_t j = 0; j < kSquare; ++j)
        after.push_back(LLVM::ExtractValueOp::create(b, k.loc(), all, j));
      sum = vector::FromElementsOp::create(b, k.loc(), four, after);
    }
  }
  return sums;
}

void Product::shareSumsTf32(const Values &sums) {
  const Lane place = lanePlace();
  Ix row = code.add(place.firstRow, place.group),
     column = code.add(place.firstColumn, code.mul(place.member, 2));
  for (auto [i, sum] : llvm::enumerate(sums))
    for (int64_t half : {0, 1}) {
      Value pair = vector::ExtractStridedSliceOp::create(b, k.loc(), sum, ArrayRef<int64_t>{2 * half},
                                                         ArrayRef<int64_t>{2}, ArrayRef<int64_t>{1});
      Ix line = code.mul(code.add(row, half * (kRows / 2)), kSumPitch);
      k.store(pair, tileSums, b.getF32Type(),
              code.i64(code.add(line, code.add(column, int64_t(i) * kColumns))));
    }
}

} // namespace moe::cuda
