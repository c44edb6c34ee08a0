// Integer arithmetic and control flow of kernels, for any target: 64-bit arithmetic that folds constants, loops
// and branches. Only scf and arith have to be lowered to LLVM.
#pragma once
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/kernels/code/KernelCode.h"

namespace moe::kernels {

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

/// Builds code at the insertion point of a kernel's builder.
class IndexCode {
public:
  /// `narrow`: all that is divided, and what it is divided by, is less than 2^32, so that divisions are those of
  /// 32-bit numbers. A GPU has no others.
  explicit IndexCode(KernelCode &kernel, bool narrow = false)
      : code(kernel), narrow(narrow), b(kernel.builder()), loc(kernel.loc()) {}

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
  mlir::Value either(mlir::Value x, mlir::Value y);
  Ix select(mlir::Value condition, Ix x, Ix y);
  /// Selects one of two pointers.
  mlir::Value selectPointer(mlir::Value condition, mlir::Value x, mlir::Value y);
  mlir::Value pick(mlir::Value condition, mlir::Value x, mlir::Value y);

  // Control.
  void loop(Ix lower, Ix upper, Ix step, llvm::function_ref<void(Ix)> body);
  /// A loop with carried values; the body returns the next ones.
  Values loop(Ix lower, Ix upper, Ix step, Values carried, llvm::function_ref<Values(Ix, Values)> body);
  /// Runs `then` if the condition holds; null stands for true.
  void when(mlir::Value condition, llvm::function_ref<void()> then);
  /// The values of `then` if the condition holds, otherwise those of `otherwise`.
  Values choose(mlir::Value condition, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);

protected:
  KernelCode &code;

private:
  /// The quotient or remainder, an op of arith.
  template <typename Op> Ix divided(Ix x, Ix y);
  bool narrow;

public:
  mlir::OpBuilder &b;
  mlir::Location loc;
};

} // namespace moe::kernels
