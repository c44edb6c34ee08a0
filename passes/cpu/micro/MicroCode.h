// The building blocks of the contraction and convolution emitters' kernels: index arithmetic, loops and branches
// (kernels/code/IndexCode.h), f32 vectors of the target's width, and loads and stores through plain pointers.
// All offsets are in f32 elements.
#pragma once
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "passes/cpu/code/KernelBuilder.h"
#include "passes/kernels/code/IndexCode.h"

namespace moe::cpu {

/// Builds the body of one kernel at its builder's insertion point.
class MicroCode : public IndexCode {
public:
  explicit MicroCode(KernelBuilder &kernel)
      : IndexCode(kernel), kernel(kernel), lanes(kernel.target().lanes()) {}

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

  KernelBuilder &kernel;
  const int lanes;

private:
  mlir::Value offsets(Ix offset, Ix stride, int n);
};

} // namespace moe::cpu
