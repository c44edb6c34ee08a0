// Replaces composite ops (ComputeInterface) by the ops that compute them, once nothing is to be differentiated any more:
// a composite's own gradient rule is a better one than that of its parts.
//
//     %y = flow.scatter_add %index, %rows : tensor<8xi32>, tensor<8x4xf32> -> tensor<3x4xf32>
//   ==>
//     %order, %offsets, %positions = flow.counting_sort %index
//         : tensor<8xi32> -> tensor<8xi32>, tensor<4xi32>, tensor<8xi32>
//     %sorted = flow.gather %rows, %order : tensor<8x4xf32>, tensor<8xi32> -> tensor<8x4xf32>
//     %y = flow.segment_sum %sorted, %offsets : tensor<8x4xf32>, tensor<4xi32> -> tensor<3x4xf32>
#include "dialects/flow/Flow.h"
#include "mlir/Pass/Pass.h"
#include "passes/training/Training.h"

using namespace mlir;

namespace {

struct Decompose : PassWrapper<Decompose, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Decompose)
  StringRef getArgument() const final { return "moe-decompose"; }
  StringRef getDescription() const final { return "replace composite ops by the ops that compute them"; }

  void runOnOperation() final {
    // A composite may be made of others.
    for (SmallVector<flow::ComputeInterface> found = composites(); !found.empty(); found = composites())
      for (flow::ComputeInterface op : found) {
        OpBuilder builder(op);
        op->replaceAllUsesWith(op.decompose(builder));
        op->erase();
      }
  }

  SmallVector<flow::ComputeInterface> composites() {
    SmallVector<flow::ComputeInterface> found;
    getOperation().walk([&](flow::ComputeInterface op) {
      if (op.computeKind() == flow::ComputeKind::composite)
        found.push_back(op);
    });
    return found;
  }
};

PassRegistration<Decompose> registration;

} // namespace

std::unique_ptr<Pass> moe::createDecompose() { return std::make_unique<Decompose>(); }
