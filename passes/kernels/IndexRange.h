// Element counts inside a loop kernel that no buffer has: of axes of a broadcast that a reshape joins, of random numbers
// that are used where they are drawn. One index runs through such a tensor, so what the index can hold has to be checked
// though nothing in memory has its size: constants while compiling, others by the loader when a batch is bound.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe::kernels {

/// The counts that follow from the batch, and that no operand or result of the group has at least as many elements as.
llvm::SmallVector<flow::Extent> countsWithoutBuffer(flow::GroupOp group);

/// Fails where such a count, or any size, is constant and larger than `limit`, which is what an index of the target holds.
mlir::LogicalResult checkConstantSizes(flow::GroupOp group, int64_t limit);

} // namespace moe::kernels
