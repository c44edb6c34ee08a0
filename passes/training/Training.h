// The passes between elaboration and fusion, all over `flow` and in this order: AddGradientsEntry (on demand)
// adds an entry for checking gradients, Differentiate replaces flow.grad by the ops that compute it, Decompose
// replaces ops that others compute, Simplify makes the graph small, Rematerialize chooses what is kept for the
// backward part.
#pragma once
#include "mlir/Pass/Pass.h"
#include <memory>

namespace moe {

std::unique_ptr<mlir::Pass> createAddGradientsEntry();
std::unique_ptr<mlir::Pass> createDifferentiate();
std::unique_ptr<mlir::Pass> createDecompose();
std::unique_ptr<mlir::Pass> createSimplify();
/// `targets`: the names of what the program is for; this machine, if there are none.
std::unique_ptr<mlir::Pass> createRematerialize(llvm::ArrayRef<std::string> targets = {});

} // namespace moe
