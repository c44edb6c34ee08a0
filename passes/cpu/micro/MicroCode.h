// The building blocks of the contraction and convolution emitters' kernels: 64-bit index arithmetic that
// folds constants, f32 vectors of the target's width, loads and stores through plain pointers, loops and
// branches. There are no memrefs, so only scf and arith have to be lowered to LLVM. All offsets are in f32
// elements.
#pragma once
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/cpu/code/KernelBuilder.h"

namespace moe::cpu {

/// An integer that is known while the kernel is built, or an i64 value of the kernel.
class Ix {
public:
  Ix(int64_t constant = 0) : constant(constant) {}
  Ix(int constant) : constant(constant) {}
  Ix(mlir::Value value) : value(value) {}
  bool isStatic() const { return !value; }
  bool is(int64_t c) const { return !value && constant == c; }
  int64_t known() const {
    assert(!value && "the index is only known when the kernel runs");
    return constant;
  }
  mlir::Value dynamic() const { return value; }

private:
  mlir::Value value;
  int64_t constant = 0;
};

using Values = llvm::SmallVector<mlir::Value>;

/// Builds the body of one kernel at its builder's insertion point.
class MicroCode {
public:
  explicit MicroCode(KernelBuilder &kernel)
      : kernel(kernel), b(kernel.builder()), loc(kernel.loc()), lanes(kernel.target().lanes()) {}

  // Indices.
  /// A size: a constant, or a launch scalar.
  Ix size(flow::Extent extent);
  /// Makes the size the next launch scalar: the launch's scalars have the order of first use.
  void numberScalar(flow::Extent extent) { size(extent); }
  mlir::Value i64(Ix x);
  Ix add(Ix x, Ix y);
  Ix sub(Ix x, Ix y);
  Ix mul(Ix x, Ix y);
  Ix div(Ix x, Ix y); ///< of non-negative numbers
  Ix rem(Ix x, Ix y);
  Ix ceilDiv(Ix x, Ix y) { return div(add(x, sub(y, 1)), y); }
  Ix min(Ix x, Ix y);
  Ix max(Ix x, Ix y);
  mlir::Value less(Ix x, Ix y);
  mlir::Value equal(Ix x, Ix y);
  /// Both conditions; null stands for true.
  mlir::Value both(mlir::Value x, mlir::Value y);
  Ix select(mlir::Value condition, Ix x, Ix y);
  mlir::Value selectPointer(mlir::Value condition, mlir::Value x, mlir::Value y);
  /// Selects one of two pointers.
  mlir::Value pick(mlir::Value condition, mlir::Value x, mlir::Value y);

  // Memory.
  mlir::Value at(mlir::Value pointer, Ix offset);
  mlir::VectorType vectorType(int n = 0);
  mlir::Value zero(int n = 0);
  mlir::Value splat(mlir::Value scalar, int n = 0);
  /// Lanes [0, count) of a vector; count may lie outside [0, lanes].
  mlir::Value firstLanes(Ix count, int n = 0);
  /// A null mask stands for all lanes. Masked-off lanes are zero and do not access memory.
  mlir::Value load(mlir::Value pointer, Ix offset, mlir::Value mask = {}, int n = 0);
  void store(mlir::Value vector, mlir::Value pointer, Ix offset, mlir::Value mask = {});
  /// Lane i at offset + i * stride.
  mlir::Value loadStrided(mlir::Value pointer, Ix offset, Ix stride, mlir::Value mask = {}, int n = 0);
  void storeStrided(mlir::Value vector, mlir::Value pointer, Ix offset, Ix stride, mlir::Value mask = {});
  mlir::Value loadScalar(mlir::Value pointer, Ix offset);
  void storeScalar(mlir::Value scalar, mlir::Value pointer, Ix offset);
  /// Masks of an i1 tensor, which is u8 in memory; offset and stride as for f32.
  mlir::Value loadMask(mlir::Value pointer, Ix offset, Ix stride, mlir::Value mask);
  void storeMask(mlir::Value bits, mlir::Value pointer, Ix offset, Ix stride, mlir::Value mask);
  void prefetch(mlir::Value pointer, Ix offset, bool write, int locality);

  // Vectors.
  /// A vector of one number.
  mlir::Value number(float value);
  mlir::Value addf(mlir::Value x, mlir::Value y);
  mlir::Value subf(mlir::Value x, mlir::Value y);
  mlir::Value mulf(mlir::Value x, mlir::Value y);
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z);
  /// Loads a square, whose width is a multiple of 4, and transposes it; row i begins at the offset rows[i].
  /// Four elements are loaded at a time into their places, so that only two rounds of shuffles remain.
  Values loadTransposed(mlir::Value pointer, llvm::ArrayRef<Ix> rows);

  // Control.
  void loop(Ix lower, Ix upper, Ix step, llvm::function_ref<void(Ix)> body);
  /// A loop with carried values; the body returns the next ones.
  Values loop(Ix lower, Ix upper, Ix step, Values carried, llvm::function_ref<Values(Ix, Values)> body);
  /// Runs `then` if the condition holds; null stands for true.
  void when(mlir::Value condition, llvm::function_ref<void()> then);
  /// The values of `then` if the condition holds, otherwise those of `otherwise`.
  Values choose(mlir::Value condition, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);

  KernelBuilder &kernel;
  mlir::OpBuilder &b;
  mlir::Location loc;
  const int lanes;

private:
  mlir::Value offsets(Ix offset, Ix stride, int n);
};

} // namespace moe::cpu
