// Adds to a program the entry `gradients`: the training entry's losses and, instead of an update, the loss's
// gradient in every trained parameter as output `grad.<path>`. It is how anyone checks gradients from
// outside: moert runs it like an inference entry, and `moec evaluate` gives the same in f64.
//   1. Clone the entry `train` as `gradients`, which is an inference entry: it changes no state.
//   2. Erase its assignments; the optimiser's ops die with them.
//   3. Name the gradient of each parameter that its grad op differentiates by.
//   4. Record in the program's `config` that the entry was asked for, as every choice of the compile command.
//
//     flow.entry @train train {
//       %w = flow.parameter "w" ...
//       %g = flow.grad %loss wrt(%w)
//       flow.assign "w" %new
//     }
//   ==>
//     flow.entry @gradients infer {
//       %w = flow.parameter "w" ...
//       %g = flow.grad %loss wrt(%w)
//       flow.output "grad.w" %g
//     }
#include "dialects/flow/Declared.h"
#include "mlir/Pass/Pass.h"
#include "passes/training/Training.h"

using namespace mlir;

namespace {

struct AddGradientsEntry : PassWrapper<AddGradientsEntry, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(AddGradientsEntry)
  StringRef getArgument() const final { return "moe-add-gradients-entry"; }
  StringRef getDescription() const final { return "add an entry that yields every parameter's gradient"; }

  void runOnOperation() final {
    SmallVector<flow::EntryOp> training;
    getOperation().walk([&](flow::EntryOp entry) {
      if (entry.getKind() == flow::EntryKind::train)
        training.push_back(entry);
    });
    for (flow::EntryOp entry : training) {
      OpBuilder outer(entry->getContext());
      outer.setInsertionPointToEnd(entry->getBlock()); // behind `main`, which stays the first to infer by
      auto copy = cast<flow::EntryOp>(outer.clone(*entry));
      copy.setKind(flow::EntryKind::infer);
      copy.setSymName(training.size() == 1 ? "gradients" : ("gradients_" + entry.getSymName()).str());
      SmallVector<flow::GradOp> grads(copy.getBody().getOps<flow::GradOp>());
      for (auto assign : llvm::make_early_inc_range(copy.getBody().getOps<flow::AssignOp>()))
        assign.erase();
      OpBuilder builder = OpBuilder::atBlockEnd(&copy.getBody().front());
      for (flow::GradOp grad : grads)
        for (auto [gradient, wrt] : llvm::zip(grad.getGradients(), grad.getWrt()))
          if (auto parameter = wrt.getDefiningOp<flow::ParameterOp>())
            flow::OutputOp::create(builder, grad.getLoc(),
                                   builder.getStringAttr("grad." + parameter.getPath()), gradient);
      // Inputs stay: all entries of a model have the same, but for those that only a training step is given.
      llvm::StringSet<> assigned;
      for (Operation &op : llvm::make_early_inc_range(llvm::reverse(copy.getBody().front())))
        if (flow::isDead(&op, assigned))
          op.erase();
      Operation *program = entry->getParentOp();
      NamedAttrList config(program->getAttrOfType<DictionaryAttr>("config"));
      config.set("gradients", outer.getStringAttr("yes"));
      program->setAttr("config", config.getDictionary(entry->getContext()));
    }
  }
};
PassRegistration<AddGradientsEntry> registration;

} // namespace

std::unique_ptr<Pass> moe::createAddGradientsEntry() { return std::make_unique<AddGradientsEntry>(); }
