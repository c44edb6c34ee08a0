// What the values of an entry are for. Rematerialisation and fusion treat the forward part, the backward part
// and the updates of states differently. Outputs and exposed values are marked with the part that they belong
// to; what an op is for follows from what it leads to.
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

/// The ops that results of the forward part need, these included.
inline llvm::DenseSet<mlir::Operation *> forwardOps(mlir::Block &block) {
  llvm::DenseSet<mlir::Operation *> forward;
  for (mlir::Operation &op : llvm::reverse(block))
    if (isForwardResult(&op) ||
        llvm::any_of(op.getUsers(), [&](mlir::Operation *user) { return forward.contains(user); }))
      forward.insert(&op);
  return forward;
}

/// The ops that lead to ops of kind `End` alone: to assignments, which makes them updates of states, or to
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
