// Kernels' exponential function, logarithm, error function and power, correct for every f32 number. MLIR's own approximations
// give 0 for results below the smallest normal number, treat all subnormal operands of the logarithm as the
// smallest normal number, and give NaN for 0 to the power of 0.
#pragma once
#include "mlir/IR/PatternMatch.h"

namespace moe::kernels {

/// Replaces math.exp, math.log, math.erf and math.powf, of f32 and of vectors of f32, by polynomials.
void addMathFunctions(mlir::RewritePatternSet &patterns);

/// e^x of f32 x, a scalar or a vector, for the x of softmax: not above 0 but for rounding. It takes two thirds of the instructions of
/// math.exp; results below e^-87, the smallest normal number or so, are 0, and none is above e^88. NaN stays NaN.
mlir::Value buildExpUpToOne(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);

} // namespace moe::kernels
