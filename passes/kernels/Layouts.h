// The order of values' axes in memory. Types are logical. A group's attribute `layouts` has the axis order of
// each of its results; all other values (inputs, parameters, states) are row-major.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/Value.h"

namespace moe::kernels {

// The order of a tensor's axes in memory, outermost first; empty means row-major. NHWC of [B, C, H, W] is {0,
// 2, 3, 1}.
using Layout = llvm::SmallVector<int64_t, 4>;
struct GroupLayouts {
  llvm::SmallVector<Layout> operands, results; // one each; missing ones are row-major
  Layout operand(size_t i) const { return i < operands.size() ? operands[i] : Layout(); }
  Layout result(size_t i) const { return i < results.size() ? results[i] : Layout(); }
};

/// A value's layout, from its group's attribute; empty means row-major.
Layout physicalLayout(mlir::Value value);
void setPhysicalLayout(mlir::OpResult result, llvm::ArrayRef<int64_t> order);

/// The strides of a tensor in memory along each of its axes, in elements.
llvm::SmallVector<flow::Extent> physicalStrides(mlir::Type type, const Layout &layout);

} // namespace moe::kernels
