// Which part of a training step an op belongs to: forward, backward or update. Rematerialisation and fusion
// treat the three parts differently. Outputs and exposed values carry their part as an attribute; an op's
// part follows from the results that need it.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseSet.h"

namespace flow {

/// Whether an op names a result of the forward part.
inline bool isForwardResult(mlir::Operation *op) {
  std::optional<Part> part;
  if (auto output = llvm::dyn_cast<OutputOp>(op))
    part = output.getPart();
  else if (auto expose = llvm::dyn_cast<ExposeOp>(op))
    part = expose.getPart();
  else
    return false;
  return part.value_or(Part::forward) == Part::forward;
}

/// The forward part: the forward results and all ops that they need.
inline llvm::DenseSet<mlir::Operation *> forwardOps(mlir::Block &block) {
  llvm::DenseSet<mlir::Operation *> forward;
  for (mlir::Operation &op : llvm::reverse(block))
    if (isForwardResult(&op) ||
        llvm::any_of(op.getUsers(), [&](mlir::Operation *user) { return forward.contains(user); }))
      forward.insert(&op);
  return forward;
}

/// The ops whose values are needed by ops of kind `End` only: by assignments (such ops are the update), or by
/// exposed values.
template <typename End> llvm::DenseSet<mlir::Operation *> opsLeadingTo(mlir::Block &block) {
  llvm::DenseSet<mlir::Operation *> found;
  for (mlir::Operation &op : llvm::reverse(block))
    if (!op.use_empty() && llvm::all_of(op.getUsers(), [&](mlir::Operation *user) {
          return llvm::isa<End>(user) || found.contains(user);
        }))
      found.insert(&op);
  return found;
}

} // namespace flow
