// Sizes' symbols that a target binds: from the forming of groups on, sizes are over D and N alone.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe::kernels {

/// Puts a target's numbers in the place of its symbols, in all types and attributes below `target`. Reports at an op
/// with a symbol that the target does not have.
mlir::LogicalResult bindSymbols(flow::TargetOp target, const llvm::StringMap<int64_t> &values);

} // namespace moe::kernels
