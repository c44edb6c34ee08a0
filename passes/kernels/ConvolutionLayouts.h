// Which values of an entry lie in memory as NHWC. Convolutions read and write whole pixels, so the rank-4
// values around them are stored channels last; what comes from outside, what leaves, and what is viewed as
// another shape is row-major.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"
#include "llvm/ADT/DenseMap.h"

namespace moe::kernels {

/// The values whose layout is not row-major. Valid for an entry whose ops are not grouped yet.
llvm::DenseMap<mlir::Value, Layout> convolutionLayouts(flow::EntryOp entry);

} // namespace moe::kernels
