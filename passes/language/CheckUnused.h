// Warnings of what a text does not use: see CheckUnused.cpp.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include <string>
#include <utility>
#include <vector>

namespace moe {
/// Names and values of -D, as Elaborate.h has them: what a value names is used.
using Defines = std::vector<std::pair<std::string, std::string>>;
void checkUnused(mlir::ModuleOp module, const Defines &defines = {});
std::unique_ptr<mlir::Pass> createCheckUnusedPass(const Defines &defines = {});
} // namespace moe
