// A pass that replaces mathematical functions by polynomials, the same ones on every target, so that a kernel's
// numbers do not depend on a library of the machine that it runs on.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe::kernels {

/// Replaces mathematical functions in a function, of the CPU or of a GPU, except sqrt, fma, floor and abs, which
/// are instructions.
std::unique_ptr<mlir::Pass> createApproximateMathPass();

} // namespace moe::kernels
