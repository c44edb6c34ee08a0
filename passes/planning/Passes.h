// The passes of the planning stage.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe {

/// Grouped flow entries to plans and kernels, for each target that they were grouped for.
std::unique_ptr<mlir::Pass> createLowerToPlanPass();
/// Notes on each entry what one more image costs, before anything is recomputed.
std::unique_ptr<mlir::Pass> createCountFlopsPass();

} // namespace moe
