// What the values of an entry are for. Rematerialisation and fusion treat the forward part, the backward part
// and the updates of states differently, and nothing in the graph marks them: they follow from what a value
// leads to.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseSet.h"

namespace flow {

/// The ops that outputs and exposed values need, these included: the forward part. `finite`, which tells
/// whether a step's new states were taken, does not count, since it depends on the gradients.
inline llvm::DenseSet<mlir::Operation *> forwardOps(mlir::Block &block) {
  llvm::DenseSet<mlir::Operation *> forward;
  for (mlir::Operation &op : llvm::reverse(block)) {
    auto output = llvm::dyn_cast<OutputOp>(op);
    if (llvm::isa<ExposeOp>(op) || (output && output.getName() != "finite") ||
        llvm::any_of(op.getUsers(), [&](mlir::Operation *user) { return forward.contains(user); }))
      forward.insert(&op);
  }
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
