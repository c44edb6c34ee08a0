// The passes of the planning stage.
#pragma once
#include "mlir/Pass/Pass.h"
#include <string>

namespace moe {

/// Grouped flow entries to plans and kernels for each of the targets.
std::unique_ptr<mlir::Pass> createLowerToPlanPass(llvm::ArrayRef<std::string> targets);
/// Notes on each entry what one more image costs, before anything is recomputed.
std::unique_ptr<mlir::Pass> createCountFlopsPass();

} // namespace moe
