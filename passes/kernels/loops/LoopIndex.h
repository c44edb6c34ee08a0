// Indices and masks of a vectorised loop. An index is base + lane * step as long as possible, so that a load
// is contiguous (step 1) or a splat (step 0) rather than a gather. After a division, or if it is read from
// data, an index is a vector. A mask likewise consists of one bit for all lanes and of a vector of bits.
#pragma once
#include "mlir/IR/Value.h"
#include "passes/kernels/code/IndexCode.h"
#include <optional>

namespace moe::kernels {

struct Index {
  mlir::Value base;       // i64, the same for all lanes
  int64_t step = 0;       // the difference between neighbouring lanes
  mlir::Value lanes = {}; // a vector of i32 that is added, or null
  bool uniform() const { return step == 0 && !lanes; }
};

struct Mask {
  mlir::Value uniform;    // i1; null stands for true
  mlir::Value lanes = {}; // a vector of i1; null stands for true in all lanes
  explicit operator bool() const { return uniform || lanes; }
};

std::optional<int64_t> constantOf(mlir::Value value);

// A value for IndexCode's arithmetic, where constants are known integers.
Ix toIx(mlir::Value value);

// Whether the value is known to be a multiple of `by`.
bool isMultiple(mlir::Value value, int64_t by);

// Arithmetic on indices, folding constants as it goes.
class IndexMath {
public:
  IndexMath(KernelCode &kernel, int64_t width) : k(kernel), code(kernel), width(width) {}

  mlir::Value add(mlir::Value a, mlir::Value b) { return code.i64(code.add(toIx(a), toIx(b))); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return code.i64(code.sub(toIx(a), toIx(b))); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return code.i64(code.mul(toIx(a), toIx(b))); }
  // Of non-negative numbers.
  mlir::Value div(mlir::Value a, mlir::Value b) { return code.i64(code.div(toIx(a), toIx(b))); }
  mlir::Value rem(mlir::Value a, mlir::Value b) { return code.i64(code.rem(toIx(a), toIx(b))); }
  mlir::Value min(mlir::Value a, mlir::Value b) { return code.i64(code.min(toIx(a), toIx(b))); }

  Index constant(int64_t value) { return {k.i64(value)}; }
  Index add(Index a, Index b);
  Index add(Index a, int64_t b) { return add(a, constant(b)); }
  Index mul(Index a, mlir::Value factor);
  // Quotient and remainder of non-negative numbers.
  std::pair<Index, Index> divide(Index a, mlir::Value divisor);
  // The quotient of any number by a positive one, rounded down, and the remainder, which is not negative.
  std::pair<Index, Index> divideSigned(Index a, mlir::Value divisor);
  mlir::Value vector(Index index); // vector of i32
  mlir::Value wide(Index index);   // vector of i64

  Mask both(Mask a, Mask b);
  // 0 <= index < extent.
  Mask within(Index index, mlir::Value extent);
  Mask equals(Index index, mlir::Value value);
  mlir::Value bits(Mask mask); // as a vector, or null if it always holds
  // `value` in the lanes where the mask holds, `otherwise` in the others.
  mlir::Value select(Mask mask, mlir::Value value, mlir::Value otherwise);

  mlir::VectorType type(mlir::Type element) { return mlir::VectorType::get({width}, element); }
  mlir::Value splat(mlir::Value scalar);
  mlir::Value iota(); // vector of i32: 0, 1, ...

private:
  Mask compare(Index index, mlir::Value value, bool equal);
  KernelCode &k;
  IndexCode code;
  int64_t width;
};

} // namespace moe::kernels
