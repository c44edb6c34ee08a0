// The passes of the fusion stage.
#pragma once
#include "mlir/Pass/Pass.h"

namespace moe {

/// Partitions entries into groups, each run by one kernel.
std::unique_ptr<mlir::Pass> createFormGroupsPass();
/// Gives the program back: every group's ops where the group was.
std::unique_ptr<mlir::Pass> createInlineGroupsPass();

} // namespace moe
