// The passes of planning.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe {

/// Lowers grouped flow entries to plans and kernels, for each target that they were grouped for.
std::unique_ptr<mlir::Pass> createLowerToPlanPass();
/// Records on each entry the FLOPs of one image, without recomputation.
std::unique_ptr<mlir::Pass> createCountFlopsPass();

} // namespace moe
