// Chooses which values of an entry are stored as NHWC. Convolutions read and write all channels of a pixel
// together, so the rank-4 values around them are stored with channels innermost. Inputs, parameters, states,
// outputs, values that are reshaped, and those that attention reads or makes are row-major.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"
#include "llvm/ADT/DenseMap.h"

namespace moe::kernels {

/// The values whose layout is not row-major, for an entry whose ops are not grouped yet.
llvm::DenseMap<mlir::Value, Layout> convolutionLayouts(flow::EntryOp entry);

} // namespace moe::kernels
