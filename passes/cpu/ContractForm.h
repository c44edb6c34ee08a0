// Any contraction of two as one shape: batch axes, rows (M), columns (N) and the summed axes (K), each with
// its distance in memory for every operand. Axes that lie one behind the other in all operands are merged
// first, so that a linear layer over any number of leading axes is one matrix product.
#pragma once
#include "passes/cpu/MicroEpilogue.h"

namespace moe::cpu {

struct ContractAxis {
  flow::Extent extent;
  /// By operand: a, b, then the epilogue's inputs, then its outputs. 0 where the operand lacks the axis.
  llvm::SmallVector<flow::Extent> strides;
};

struct ContractForm {
  llvm::SmallVector<ContractAxis> batch, rows, sums; ///< outermost first; each may be empty
  ContractAxis columns;
  bool swapped = false; ///< the op's second operand is `a`
  unsigned firstInput = 2, firstOutput = 2;

  static ContractForm of(flow::ContractOp contract, llvm::ArrayRef<flow::Extent> aStrides,
                         llvm::ArrayRef<flow::Extent> bStrides, const Epilogue &epilogue);

  flow::Extent batchExtent() const { return product(batch); }
  flow::Extent rowExtent() const { return product(rows); }
  flow::Extent sumExtent() const { return product(sums); }
  /// How many elements there are along all of `axes`.
  flow::Extent product(llvm::ArrayRef<ContractAxis> axes) const;
  mlir::MLIRContext *context() const { return columns.extent.getContext(); }
};

} // namespace moe::cpu
