// The passes of the fusion stage.
#pragma once
#include "mlir/Pass/Pass.h"
#include <cstdint>
#include <string>

namespace moe {

/// What fusion of one entry took, counted: the same on every machine. Tests hold it against a model's length.
struct FusionWork {
  uint64_t ops = 0; // of the entry
  uint64_t analyses = 0,
           analysedOps = 0; // of sets of ops as one loop kernel, and the ops that they were given
  uint64_t searchSteps = 0; // edges that MergeOrder looked at
};

/// Partitions entries into groups, each run by one kernel, for each target (`cpu` where none is named).
std::unique_ptr<mlir::Pass> createFormGroupsPass(llvm::ArrayRef<std::string> targets = {});
/// Gives the program back: every group's ops where the group was.
std::unique_ptr<mlir::Pass> createInlineGroupsPass();

} // namespace moe
