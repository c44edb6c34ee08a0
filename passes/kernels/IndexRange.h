// Checks that indices inside a loop kernel do not overflow. The loader checks the sizes of buffers, but a
// loop kernel may also index tensors that are never in memory: a broadcast whose axes a reshape joins, or
// random numbers that are used at once. The element counts of such tensors are checked during compilation if
// they are constant, and otherwise by the loader when a batch is bound.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe::kernels {

/// The element counts that depend on the batch and may be larger than every operand and result of the group.
llvm::SmallVector<flow::Extent> countsWithoutBuffer(flow::GroupOp group);

/// Fails if such a count, or any size, is constant and larger than `limit`, the largest index of the target.
mlir::LogicalResult checkConstantSizes(flow::GroupOp group, int64_t limit);

} // namespace moe::kernels
