// The physical order of values' axes. Types are logical; a group says in its attribute `layouts`, one array
// of axes a result, how its results lie in memory. Everything else (inputs, parameters, states) is row-major.
#pragma once
#include "mlir/IR/Value.h"
#include "passes/cpu/KernelEmitter.h"

namespace moe {

/// Outermost axis first; empty means row-major.
cpu::Layout physicalLayout(mlir::Value value);
void setPhysicalLayout(mlir::OpResult result, llvm::ArrayRef<int64_t> order);

} // namespace moe
