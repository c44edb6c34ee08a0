// The passes of the emit stage.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe {

/// Kernels to object code; `timing` shows the steps' times on standard error.
std::unique_ptr<mlir::Pass> createLowerKernelsPass(bool timing);

} // namespace moe
