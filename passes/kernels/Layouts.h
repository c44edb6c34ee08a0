// The physical order of values' axes. Types are logical; a group says in its attribute `layouts`, one array
// of axes a result, how its results lie in memory. Everything else (inputs, parameters, states) is row-major.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/Value.h"

namespace moe::kernels {

// The physical order of a tensor's axes, outermost first; empty means row-major. NHWC of [B, C, H, W] is {0,
// 2, 3, 1}.
using Layout = llvm::SmallVector<int64_t, 4>;
struct GroupLayouts {
  llvm::SmallVector<Layout> operands, results; // one each; missing ones are row-major
  Layout operand(size_t i) const { return i < operands.size() ? operands[i] : Layout(); }
  Layout result(size_t i) const { return i < results.size() ? results[i] : Layout(); }
};

/// How a value lies in memory, as its group says; empty means row-major.
Layout physicalLayout(mlir::Value value);
void setPhysicalLayout(mlir::OpResult result, llvm::ArrayRef<int64_t> order);

/// The distance between neighbours along each axis of a tensor in memory, in elements.
llvm::SmallVector<flow::Extent> physicalStrides(mlir::Type type, const Layout &layout);

} // namespace moe::kernels
