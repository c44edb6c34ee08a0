// --extra-clip-gradients: scales all gradients of a training step by one factor where their norm, that of all
// of them together, is above a limit (Pascanu et al., "On the difficulty of training recurrent neural
// networks", 2013). The limit is the recipe's `optimizer.clip_norm`, 1 unless given. An entry of kind
// `infer`, such as `gradients`, keeps its gradients as they are.
//
//     %g:2 = flow.grad %loss wrt (%w, %b) : (...) -> (tensor<10x4xf32>, tensor<10xf32>)
//   ==>
//     %g:2 = flow.grad %loss wrt (%w, %b) : (...) -> (tensor<10x4xf32>, tensor<10xf32>)
//     %squares = ...   // the sum of %g#0 * %g#0 and %g#1 * %g#1
//     %factor = ...    // min(1, limit / (sqrt(%squares) + 1e-6))
//     ...              // uses of %g#0 and %g#1 read their products with %factor
#include "Passes.h"
#include "dialects/flow/Build.h"

using namespace mlir;

namespace {

struct ClipGradients : PassWrapper<ClipGradients, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ClipGradients)
  StringRef getArgument() const final { return "extra-clip-gradients"; }
  StringRef getDescription() const final { return "limit the norm of all gradients together"; }

  void runOnOperation() final {
    getOperation().walk([](flow::GradOp grad) {
      if (grad->getParentOfType<flow::EntryOp>().getKind() == flow::EntryKind::train)
        clip(grad);
    });
  }

  static void clip(flow::GradOp grad) {
    OpBuilder b(grad->getContext());
    b.setInsertionPointAfter(grad);
    Location loc = NameLoc::get(b.getStringAttr("clip_gradients optimizer"));
    Value limit = flow::scalar(b, loc, "optimizer.clip_norm", flow::ScalarKind::recipe, 1), squares;
    for (Value g : grad.getGradients()) {
      Value own = flow::sumAll(b, loc, flow::mul(b, loc, g, g));
      squares = squares ? flow::add(b, loc, squares, own) : own;
    }
    Value norm = flow::add(b, loc, flow::sqrt(b, loc, squares), 1e-6);
    Value factor = flow::minimum(b, loc, flow::div(b, loc, limit, norm), flow::number(b, loc, 1));
    Operation *last = factor.getDefiningOp();
    for (Value g : grad.getGradients()) {
      Value clipped = flow::mul(b, loc, g, factor);
      g.replaceUsesWithIf(clipped, [&](OpOperand &use) {
        return last->isBeforeInBlock(use.getOwner()) && use.getOwner() != clipped.getDefiningOp();
      });
    }
  }
};

} // namespace

std::unique_ptr<Pass> extra::createClipGradients() { return std::make_unique<ClipGradients>(); }
