// A group whose root is a counting sort: where its results go.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/kernels/GroupCode.h"

namespace moe::kernels {

struct SortGroup {
  flow::CountingSortOp sort;
  BufferRef order, offsets, positions;
  GroupCode code; ///< with a temporary for a result that the group does not give

  /// Fails with a diagnostic if the group has another op, or another result.
  static mlir::FailureOr<SortGroup> of(flow::GroupOp group);
};

} // namespace moe::kernels
