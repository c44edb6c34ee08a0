// Which dialects the tools know. Passes register themselves where they are defined.
#pragma once
#include "mlir/IR/DialectRegistry.h"

namespace moe {
void registerDialects(mlir::DialectRegistry &registry);
}
