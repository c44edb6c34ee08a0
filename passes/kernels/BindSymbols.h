// Substitutes a target's numbers for the symbols in sizes that each target chooses. After groups are formed,
// sizes have only the symbols D and N.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe::kernels {

/// Substitutes `values` for symbols in all types and attributes inside `target`. Reports an error at an op
/// with a symbol that has no value.
mlir::LogicalResult bindSymbols(flow::TargetOp target, const llvm::StringMap<int64_t> &values);

} // namespace moe::kernels
