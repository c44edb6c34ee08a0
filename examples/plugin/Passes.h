// The plugin's passes.
#pragma once
#include "mlir/Pass/Pass.h"
#include <memory>

namespace extra {
std::unique_ptr<mlir::Pass> createClipGradients();
}
