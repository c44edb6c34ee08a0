// The passes of fusion.
#pragma once
#include "mlir/Pass/Pass.h"
#include <cstdint>
#include <string>

namespace moe {

/// The work of fusing one entry, as counts that are the same on every machine. Tests check that they are
/// about proportional to a model's length.
struct FusionWork {
  uint64_t ops = 0; // of the entry
  uint64_t analyses = 0,
           analysedOps = 0; // analyses of sets of ops as one loop kernel, and the ops in these sets
  uint64_t searchSteps = 0; // edges that MergeOrder followed
};

/// Partitions the entries into groups, for each target (`cpu` if none is named).
std::unique_ptr<mlir::Pass> createFormGroupsPass(llvm::ArrayRef<std::string> targets = {});
/// The inverse: replaces every group by its ops.
std::unique_ptr<mlir::Pass> createInlineGroupsPass();

} // namespace moe
