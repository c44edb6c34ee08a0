// The local rules of Simplify, by theme. Each keeps the value up to rounding; none copies work that is not
// small.
#pragma once
#include "mlir/IR/PatternMatch.h"

namespace moe {

/// Rules about elementwise ops on broadcasts, signs and masks.
void addElementwiseRules(mlir::RewritePatternSet &patterns);
/// Rules about reductions of broadcasts, of scaled values, and of products.
void addReductionRules(mlir::RewritePatternSet &patterns);
/// Rules about contractions with windows.
void addWindowRules(mlir::RewritePatternSet &patterns);
/// Rules about rows that an index names.
void addRowRules(mlir::RewritePatternSet &patterns);
/// Removes stop_gradient and reverse_gradient: only for entries without a flow.grad.
void addDerivativeMarkRules(mlir::RewritePatternSet &patterns);

} // namespace moe
