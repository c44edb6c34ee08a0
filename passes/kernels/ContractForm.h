// Any contraction of two as one shape: batch axes, rows (M), columns (N) and the summed axes (K), each with
// its distance in memory for every operand. Axes that lie one behind the other in all operands are merged
// first, so that a linear layer over any number of leading axes is one matrix product.
#pragma once
#include "dialects/flow/BatchHint.h"
#include "passes/kernels/Epilogue.h"

namespace moe::kernels {

struct ContractAxis {
  flow::Extent extent;
  /// By operand: a, b, then the epilogue's inputs, then its outputs. 0 where the operand lacks the axis.
  llvm::SmallVector<flow::Extent> strides;
};

struct ContractForm {
  llvm::SmallVector<ContractAxis> batch, rows, sums; ///< outermost first; each may be empty
  ContractAxis columns;
  unsigned a = 0, b = 1; ///< operands of the group, which may be the other way round than the op's
  bool fixedB =
      false; ///< b follows from parameters alone, so that what is packed of it lasts until they change
  flow::Symbols plannedBatch;
  unsigned firstInput = 2, firstOutput = 2;

  /// Fails with a diagnostic where the root, a contraction, reads what is no operand of the group.
  static mlir::FailureOr<ContractForm> of(flow::GroupOp group, const GroupLayouts &layouts,
                                          const Epilogue &epilogue);

  flow::Extent batchExtent() const { return product(batch); }
  flow::Extent rowExtent() const { return product(rows); }
  flow::Extent sumExtent() const { return product(sums); }
  /// How many elements there are along all of `axes`.
  flow::Extent product(llvm::ArrayRef<ContractAxis> axes) const;
  mlir::MLIRContext *context() const { return columns.extent.getContext(); }
};

/// Whether a value outside of groups follows from parameters in an inference entry: what is packed of it then lasts until
/// they change. A group may put a random number or a number of the step into it; planning then runs the packing with
/// every step.
bool followsFromParameters(mlir::Value value);

} // namespace moe::kernels
