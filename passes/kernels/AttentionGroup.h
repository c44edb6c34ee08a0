// A group whose root is attention or its gradient, as kernels of all targets see it: the shape, and the buffer of
// each operand and result. Results that nothing reads have no buffer, and need not be computed.
#pragma once
#include "dialects/flow/Attention.h"
#include "passes/kernels/GroupCode.h"
#include <optional>

namespace moe::kernels {

struct AttentionGroup {
  mlir::Operation *root;
  flow::AttentionShape shape;
  float scale;
  unsigned inputs;                                     ///< how many values q, k and v are in: 1 or 3
  llvm::SmallVector<BufferRef> operands;               ///< of the root
  llvm::SmallVector<std::optional<BufferRef>> results; ///< of the root

  /// What flow.skippable says of the problems: a mask, and how many neighbouring problems have one element of it. Kernels may
  /// take no notice of it.
  struct Live {
    BufferRef mask;
    flow::Extent elements, run;
  };
  std::optional<Live> live;

  /// The gradient's operands behind the inputs.
  unsigned logSum() const { return inputs; }
  unsigned dy() const { return inputs + 1; }
  unsigned delta() const { return inputs + 2; }
  flow::Extent elementsOfOperand(unsigned i) const { return flow::elementsOf(root->getOperand(i).getType()); }
  flow::Extent elementsOfResult(unsigned i) const { return flow::elementsOf(root->getResult(i).getType()); }
  /// The bytes of all operands, and of the results that are written.
  flow::Extent bytes() const;

  /// Fails with a diagnostic if the group has another op, or another result.
  static mlir::FailureOr<AttentionGroup> of(flow::GroupOp group);
};

} // namespace moe::kernels
