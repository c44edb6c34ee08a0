// Replaces composite ops (ComputeInterface) by the ops that compute them, once nothing is to be differentiated any more:
// a composite's own gradient rule is a better one than that of its parts.
//
//     %y = flow.scatter_add %index, %rows : tensor<8xi32>, tensor<8x4xf32> -> tensor<3x4xf32>
//   ==>
//     %order, %offsets = flow.counting_sort %index : tensor<8xi32> -> tensor<8xi32>, tensor<4xi32>
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
    SmallVector<flow::ComputeInterface> composites;
    getOperation().walk([&](flow::ComputeInterface op) {
      if (op.computeKind() == flow::ComputeKind::composite)
        composites.push_back(op);
    });
    for (flow::ComputeInterface op : composites) {
      OpBuilder builder(op);
      op->replaceAllUsesWith(op.decompose(builder));
      op->erase();
    }
  }
};

PassRegistration<Decompose> registration;

} // namespace

std::unique_ptr<Pass> moe::createDecompose() { return std::make_unique<Decompose>(); }
