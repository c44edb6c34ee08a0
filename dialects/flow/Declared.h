// What an entry assigns has to stay declared, with its type and initial value, though nothing may read it: no
// use says so, since an assignment names its target by path. Passes that drop dead ops ask here.
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

/// Is the op dead, where these paths are assigned? Inputs never are: a program's callers know them.
inline bool isDead(mlir::Operation *op, const llvm::StringSet<> &assigned) {
  return !llvm::isa<InputOp>(op) && mlir::isOpTriviallyDead(op) && !assigned.contains(pathOf(op));
}

} // namespace flow
