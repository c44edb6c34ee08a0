// Which ops are dead. A parameter or state that an entry assigns has to stay declared, with its type and
// initial value, even if nothing reads it: an assignment names it by path and is no use of its value. Passes
// that erase dead ops therefore call `isDead`.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/StringSet.h"

namespace flow {

/// The path of a parameter or state; empty for any other op.
inline llvm::StringRef pathOf(mlir::Operation *op) {
  if (auto parameter = llvm::dyn_cast<ParameterOp>(op))
    return parameter.getPath();
  if (auto state = llvm::dyn_cast<StateOp>(op))
    return state.getPath();
  return {};
}

inline llvm::StringSet<> assignedPaths(mlir::Block &block) {
  llvm::StringSet<> paths;
  for (AssignOp assign : block.getOps<AssignOp>())
    paths.insert(assign.getPath());
  return paths;
}

/// Whether the op is dead, given the paths that are assigned. Inputs never are: they are part of the entry's
/// interface.
inline bool isDead(mlir::Operation *op, const llvm::StringSet<> &assigned) {
  return !llvm::isa<InputOp>(op) && mlir::isOpTriviallyDead(op) && !assigned.contains(pathOf(op));
}

} // namespace flow
