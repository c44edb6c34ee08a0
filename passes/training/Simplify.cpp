// Makes an entry small: folds and canonical forms of the ops, the rules of SimplifyElementwise,
// SimplifyReductions, SimplifyWindows and SimplifyRows, common subexpressions, sums shared between reductions, and everything dead. They enable
// each other, so they run in rounds until nothing changes. Barriers keep their clones apart throughout. Marks
// that only differentiation reads (stop_gradient, reverse_gradient) go where no flow.grad is left.
//
//     %s = flow.broadcast %k to [0] : tensor<8xf32> -> tensor<8x16xf32>
//     %p = flow.mul %x, %s : tensor<8x16xf32>
//     %y = flow.reduce sum %p over [1] : tensor<8x16xf32> -> tensor<8xf32>
//   ==>
//     %t = flow.reduce sum %x over [1] : tensor<8x16xf32> -> tensor<8xf32>
//     %y = flow.mul %t, %k : tensor<8xf32>
#include "dialects/flow/Declared.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/training/ShareReductions.h"
#include "passes/training/SimplifyPatterns.h"
#include "passes/training/Training.h"

using namespace mlir;
using namespace flow;

namespace {

struct Simplify : PassWrapper<Simplify, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Simplify)
  StringRef getArgument() const final { return "moe-simplify"; }
  StringRef getDescription() const final { return "fold, share and drop what a graph can do without"; }

  void runOnOperation() final {
    MLIRContext *context = &getContext();
    RewritePatternSet rules(context), last(context);
    for (RewritePatternSet *set : {&rules, &last}) {
      for (RegisteredOperationName name : context->getRegisteredOperations())
        if (name.hasInterface<ComputeInterface>() || name.hasTrait<Boundary>())
          name.getCanonicalizationPatterns(*set, context);
      moe::addElementwiseRules(*set);
      moe::addReductionRules(*set);
      moe::addWindowRules(*set);
      moe::addRowRules(*set);
    }
    moe::addDerivativeMarkRules(last);
    FrozenRewritePatternSet before(std::move(rules)), after(std::move(last));

    SmallVector<EntryOp> entries;
    getOperation().walk([&](EntryOp entry) { entries.push_back(entry); });
    for (EntryOp entry : entries) {
      bool differentiated = entry.getBody().getOps<GradOp>().empty();
      SmallVector<OwningOpRef<Operation *>> targets = declarations(entry);
      if (failed(simplify(entry, differentiated ? after : before)))
        return signalPassFailure();
      declare(entry, targets);
    }
  }

  // The driver drops what nothing reads, and so the declarations of what is assigned without being read, and
  // the inputs that nothing uses, which callers give all the same: they are put back.
  static SmallVector<OwningOpRef<Operation *>> declarations(EntryOp entry) {
    SmallVector<OwningOpRef<Operation *>> targets;
    llvm::StringSet<> paths = assignedPaths(entry.getBody().front());
    for (Operation &op : entry.getBody().front())
      if (isa<InputOp>(op) || paths.contains(pathOf(&op)))
        targets.emplace_back(op.clone());
    return targets;
  }
  static std::pair<unsigned, StringRef> keyOf(Operation *op) {
    auto input = dyn_cast<InputOp>(op);
    return {input ? 1 : 0, input ? input.getName() : pathOf(op)};
  }
  static void declare(EntryOp entry, SmallVector<OwningOpRef<Operation *>> &targets) {
    Block &block = entry.getBody().front();
    llvm::DenseMap<std::pair<unsigned, StringRef>, Operation *> declared;
    for (Operation &op : block)
      declared.try_emplace(keyOf(&op), &op);
    bool inputs = llvm::any_of(
        targets, [&](auto &target) { return isa<InputOp>(*target) && !declared.contains(keyOf(*target)); });
    for (OwningOpRef<Operation *> &target : llvm::reverse(targets)) {
      Operation *kept = declared.lookup(keyOf(*target));
      if (!kept)
        block.push_front(target.release());
      else if (inputs && isa<InputOp>(kept)) // they keep their order
        kept->moveBefore(&block, block.begin());
    }
  }

  LogicalResult simplify(EntryOp entry, const FrozenRewritePatternSet &rules) {
    GreedyRewriteConfig config;
    config.setMaxIterations(100);
    // Each round that changes something removes ops: the bound is only a guard.
    for (unsigned round = 0; round < 16; ++round) {
      if (failed(applyPatternsGreedily(entry.getBody(), rules, config)))
        return entry.emitError(
            "internal: expected the rules of moe-simplify to come to an end, found them still at work after "
            "the driver's limit; report this with the model");
      IRRewriter rewriter(entry.getContext());
      DominanceInfo dominance(entry);
      bool merged = false;
      eliminateCommonSubExpressions(rewriter, dominance, entry, &merged);
      if (!moe::shareReductions(entry) && !merged)
        return success();
    }
    return success();
  }
};
PassRegistration<Simplify> registration;

} // namespace

std::unique_ptr<Pass> moe::createSimplify() { return std::make_unique<Simplify>(); }
