// Which dialects the tools know. Passes register themselves where they are defined.
#pragma once
#include "mlir/IR/DialectRegistry.h"

namespace moe {
/// The project's own dialects and MLIR's that kernels are written in.
void registerProjectDialects(mlir::DialectRegistry &registry);
/// Those, and the dialects of all plugins that are loaded (Plugins.h).
void registerDialects(mlir::DialectRegistry &registry);
} // namespace moe
