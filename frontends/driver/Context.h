// One MLIR context set up as every tool of the compiler wants it.
#pragma once
#include "mlir/IR/MLIRContext.h"
#include <memory>

namespace moe {

/// A context with all dialects (Dialects.h), single-threaded so that diagnostics and bytes come in one order.
std::unique_ptr<mlir::MLIRContext> makeContext();

} // namespace moe
