// The exponential function, the logarithm and the power of kernels, for every number of f32. MLIR's own
// approximations give 0 for results below the smallest normal number and take the logarithm of all subnormal
// numbers to be that of the smallest normal one; its power of 0 and 0 is NaN.
#pragma once
#include "mlir/IR/PatternMatch.h"

namespace moe::cpu {

/// Replaces math.exp, math.log and math.powf, of f32 and of vectors of f32, by polynomials.
void addMathFunctions(mlir::RewritePatternSet &patterns);

} // namespace moe::cpu
