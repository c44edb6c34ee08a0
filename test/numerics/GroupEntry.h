// An entry of flow as one group, and its values in the memory of a GroupRunner: what tests that hold emitted
// kernels against the evaluator share. Values come from the evaluator in row-major order; memory has them in
// the physical order of their layout.
#pragma once
#include "dialects/flow/Flow.h"
#include "test/numerics/GroupRunner.h"

namespace moe::test {

/// All ops of the entry, but for inputs, parameters, states and outputs, in one group. Outputs read its
/// results.
void groupAll(flow::EntryOp entry);

/// Whether a loop group is what one kernel can run: of the CPU at every level, or of a GPU.
bool isOneKernel(flow::GroupOp group, const cpu::GroupLayouts &layouts, const Machine &machine);

/// Where element i, counted in the physical order, is in row-major order.
std::vector<int64_t> physicalOrder(llvm::ArrayRef<int64_t> shape, const cpu::Layout &layout);

void fill(Memory &memory, mlir::Type element, const flow::Array &values, llvm::ArrayRef<int64_t> order);
double read(const Memory &memory, mlir::Type element, size_t i);

} // namespace moe::test
