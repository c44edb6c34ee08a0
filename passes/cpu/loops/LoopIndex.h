// Indices of a vectorised loop. Along the lanes an index is base + lane * step, or has a vector of its own
// where it went through a division or came from data. Keeping the first form as long as possible is what
// makes a load contiguous or a splat rather than a gather. Masks are kept in the same two parts, one bit for
// all lanes and a vector of bits.
#pragma once
#include "mlir/IR/Value.h"
#include "passes/cpu/micro/MicroCode.h"
#include <optional>

namespace moe::cpu {

struct Index {
  mlir::Value base;       // i64, the same for all lanes
  int64_t step = 0;       // what a lane adds
  mlir::Value lanes = {}; // vector of i32 that is added as well, or null
  bool uniform() const { return step == 0 && !lanes; }
};

struct Mask {
  mlir::Value uniform;    // i1, or null: holds
  mlir::Value lanes = {}; // vector of i1, or null: all hold
  explicit operator bool() const { return uniform || lanes; }
};

std::optional<int64_t> constantOf(mlir::Value value);

// As MicroCode's arithmetic takes it: a constant is known there.
Ix toIx(mlir::Value value);

// Is it a multiple of `by` for certain?
bool isMultiple(mlir::Value value, int64_t by);

// Arithmetic on indices, folding constants as it goes.
class IndexMath {
public:
  IndexMath(KernelBuilder &kernel, int64_t width) : k(kernel), code(kernel), width(width) {}

  mlir::Value add(mlir::Value a, mlir::Value b) { return code.i64(code.add(toIx(a), toIx(b))); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return code.i64(code.sub(toIx(a), toIx(b))); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return code.i64(code.mul(toIx(a), toIx(b))); }
  // Of numbers that are not negative.
  mlir::Value div(mlir::Value a, mlir::Value b) { return code.i64(code.div(toIx(a), toIx(b))); }
  mlir::Value rem(mlir::Value a, mlir::Value b) { return code.i64(code.rem(toIx(a), toIx(b))); }
  mlir::Value min(mlir::Value a, mlir::Value b) { return code.i64(code.min(toIx(a), toIx(b))); }

  Index constant(int64_t value) { return {k.i64(value)}; }
  Index add(Index a, Index b);
  Index add(Index a, int64_t b) { return add(a, constant(b)); }
  Index mul(Index a, mlir::Value factor);
  // Quotient and remainder, of numbers that are not negative.
  std::pair<Index, Index> divide(Index a, mlir::Value divisor);
  // The quotient rounded down, and what is left, which is not negative; of any number by a positive one.
  std::pair<Index, Index> divideSigned(Index a, mlir::Value divisor);
  mlir::Value vector(Index index); // vector of i32
  mlir::Value wide(Index index);   // vector of i64

  Mask both(Mask a, Mask b);
  // 0 <= index < extent.
  Mask within(Index index, mlir::Value extent);
  Mask equals(Index index, mlir::Value value);
  mlir::Value bits(Mask mask); // as a vector, or null where it always holds
  // `value` where the mask holds, else `otherwise`.
  mlir::Value select(Mask mask, mlir::Value value, mlir::Value otherwise);

  mlir::VectorType type(mlir::Type element) { return mlir::VectorType::get({width}, element); }
  mlir::Value splat(mlir::Value scalar);
  mlir::Value iota(); // vector of i32: 0, 1, ...

private:
  Mask compare(Index index, mlir::Value value, bool equal);
  KernelBuilder &k;
  MicroCode code;
  int64_t width;
};

} // namespace moe::cpu
