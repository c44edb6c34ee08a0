// Kernels' exponential function, logarithm, error function and power, correct for every f32 number. MLIR's own approximations
// give 0 for results below the smallest normal number, treat all subnormal operands of the logarithm as the
// smallest normal number, and give NaN for 0 to the power of 0.
#pragma once
#include "mlir/IR/PatternMatch.h"

namespace moe::kernels {

/// Replaces math.exp, math.log, math.erf and math.powf, of f32 and of vectors of f32, by polynomials.
void addMathFunctions(mlir::RewritePatternSet &patterns);

} // namespace moe::kernels
