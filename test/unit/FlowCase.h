// What the tests of flow share (frontends/check/OpCase.h): a context of all dialects, and cases whose
// failures are test failures.
#pragma once
#include "frontends/check/OpCase.h"

namespace moe::test {

/// A context with every dialect; diagnostics go to stderr.
mlir::MLIRContext &context();

/// Every registered op of flow that computes, in name order.
std::vector<mlir::RegisteredOperationName> computingOps();

struct FlowCase : OpCase {
  explicit FlowCase(flow::EntryKind kind = flow::EntryKind::infer) : OpCase(context(), kind) {}
  explicit FlowCase(OpCase &&other) : OpCase(std::move(other)) {}
  /// A test failure, and nothing, where the entry cannot be evaluated.
  flow::Evaluation evaluate() const;
};

/// One op of that name with random attributes and operands, its result named "y".
inline FlowCase randomCase(mlir::RegisteredOperationName name, uint64_t seed) {
  return FlowCase(moe::randomCase(name, seed));
}

} // namespace moe::test
