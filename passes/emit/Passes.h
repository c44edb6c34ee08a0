// The passes of emission.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe {

/// Lowers kernels to object code; `timing` prints the steps' times on standard error.
std::unique_ptr<mlir::Pass> createLowerKernelsPass(bool timing);

} // namespace moe
