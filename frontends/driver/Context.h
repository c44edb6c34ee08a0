// One MLIR context set up as every tool of the compiler wants it.
#pragma once
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/MLIRContext.h"
#include <memory>

namespace moe {

const char *version();

/// The dialects of this project and those that kernels are written in.
void registerDialects(mlir::DialectRegistry &registry);

/// A context with them, single-threaded so that diagnostics and bytes come in one order.
std::unique_ptr<mlir::MLIRContext> makeContext();

}  // namespace moe
