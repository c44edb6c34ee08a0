// Warnings of what a text does not use: see CheckUnused.cpp.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace moe {
void checkUnused(mlir::ModuleOp module);
std::unique_ptr<mlir::Pass> createCheckUnusedPass();
} // namespace moe
