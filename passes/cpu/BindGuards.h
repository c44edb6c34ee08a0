// Element counts inside a loop kernel that no buffer has: of axes of a broadcast that a reshape joins,
// of random numbers that are used where they are drawn. One index runs through such a tensor, in the kernel's
// 32-bit lanes, so the loader has to see its size when a batch is bound, though nothing in memory has it.
#pragma once
#include "passes/cpu/KernelEmitter.h"

namespace moe::cpu {

/// Makes launch scalars of such counts, which bind rule B06 then holds to what lanes can index.
void guardElements(flow::GroupOp group, KernelBuilder &k);

/// Fails where such a count, or any size, is constant and too large.
mlir::LogicalResult checkConstantSizes(flow::GroupOp group);

} // namespace moe::cpu
