// The passes of the fusion stage.
#pragma once
#include "mlir/Pass/Pass.h"
#include <cstdint>

namespace moe {

/// What fusion of one entry took, counted: the same on every machine. Tests hold it against a model's length.
struct FusionWork {
  uint64_t ops = 0;                       // of the entry
  uint64_t analyses = 0, analysedOps = 0; // runs of LoopAnalysis, and the ops that they were given
  uint64_t searchSteps = 0;               // edges that MergeOrder looked at
};

/// Partitions entries into groups, each run by one kernel.
std::unique_ptr<mlir::Pass> createFormGroupsPass();
/// Gives the program back: every group's ops where the group was.
std::unique_ptr<mlir::Pass> createInlineGroupsPass();

} // namespace moe
