// What attention and its gradient are of: sizes, and where the features of a head lie in the operands. The
// evaluator, the verifier, the decomposition and the back ends' kernels all ask here, so that there is one
// description of the two layouts: q, k and v as three values, or side by side in one.
#pragma once
#include "dialects/flow/Flow.h"

namespace flow {

struct AttentionShape {
  /// Where a value's heads are. A token's features are at `offset` in its row of `stride` elements of input
  /// `operand`; those of head h begin h heads later.
  struct Rows {
    unsigned operand;
    int64_t offset, stride;
    Extent tokens;
  };
  Rows q, k, v;
  llvm::SmallVector<Extent> lead; ///< the axes in front of the tokens
  int64_t heads;
  int64_t size;      ///< features of a head of q and of k
  int64_t valueSize; ///< features of a head of v, and of the result
  mlir::Type element;

  /// The inputs are those of an op that verifies.
  static AttentionShape of(mlir::ValueRange inputs, int64_t heads);
  static AttentionShape of(AttentionOp op) { return of(op.getInputs(), op.getHeads()); }
  static AttentionShape of(AttentionGradOp op) { return of(op.getInputs(), op.getHeads()); }

  /// How many independent problems there are, each of all heads: the product of the leading axes.
  Extent groups() const { return productOf(lead, element.getContext()); }
  Extent rows() const { return q.tokens; }
  Extent keys() const { return k.tokens; }
  mlir::RankedTensorType resultType() const;
  mlir::RankedTensorType sumType() const;
};

} // namespace flow
