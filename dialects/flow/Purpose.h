// Which part of a training step an op belongs to: forward, backward or update. Rematerialisation and fusion
// treat the three parts differently. Outputs and exposed values carry their part as an attribute; an op's
// part follows from the results that need it.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

namespace flow {

/// The part that an op which names a result says that it belongs to.
inline std::optional<Part> markedPart(mlir::Operation *op) {
  if (auto output = llvm::dyn_cast<OutputOp>(op))
    return output.getPart();
  if (auto expose = llvm::dyn_cast<ExposeOp>(op))
    return expose.getPart();
  return std::nullopt;
}

/// Ops, and all that they need.
template <typename Predicate>
llvm::DenseSet<mlir::Operation *> opsNeededBy(mlir::Block &block, Predicate isEnd) {
  llvm::DenseSet<mlir::Operation *> needed;
  for (mlir::Operation &op : llvm::reverse(block))
    if (isEnd(&op) ||
        llvm::any_of(op.getUsers(), [&](mlir::Operation *user) { return needed.contains(user); }))
      needed.insert(&op);
  return needed;
}

/// The forward part: the forward results and all ops that they need. Where differentiation has marked the forward
/// results, a result without a mark was added behind it: it is forward too, unless it needs an op that only
/// the other parts need.
inline llvm::DenseSet<mlir::Operation *> forwardOps(mlir::Block &block) {
  auto isResult = [](mlir::Operation *op) { return llvm::isa<OutputOp, ExposeOp>(op); };
  const bool isMarked =
      llvm::any_of(block, [](mlir::Operation &op) { return markedPart(&op) == Part::forward; });
  llvm::DenseSet<mlir::Operation *> forward = opsNeededBy(block, [&](mlir::Operation *op) {
    return isResult(op) &&
           markedPart(op).value_or(isMarked ? Part::backward : Part::forward) == Part::forward;
  });
  if (!isMarked)
    return forward;
  llvm::DenseSet<mlir::Operation *> others = opsNeededBy(block, [&](mlir::Operation *op) {
    return llvm::isa<AssignOp>(op) || markedPart(op).value_or(Part::forward) != Part::forward;
  });
  llvm::DenseSet<mlir::Operation *> late; // ops of the other parts alone, and what needs them
  for (mlir::Operation &op : block)
    if ((others.contains(&op) && !forward.contains(&op)) ||
        llvm::any_of(op.getOperands(), [&](mlir::Value x) { return late.contains(x.getDefiningOp()); }))
      late.insert(&op);
  for (mlir::Operation *op : opsNeededBy(
           block, [&](mlir::Operation *op) { return isResult(op) && !markedPart(op) && !late.contains(op); }))
    forward.insert(op);
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
