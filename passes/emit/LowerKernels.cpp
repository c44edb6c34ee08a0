// --moe-lower-kernels: compiles each target's kernels, which are functions in a nested module, and stores the
// result as bytes in the plan's target. For the CPU this is object code.
#include "dialects/plan/Plan.h"
#include "passes/emit/EmitProgram.h"
#include "passes/emit/Passes.h"
#include "passes/kernels/Backend.h"

using namespace mlir;

namespace moe {
namespace {

struct LowerKernels : PassWrapper<LowerKernels, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerKernels)
  LowerKernels() = default;
  LowerKernels(const LowerKernels &other) : PassWrapper(other) {}
  explicit LowerKernels(bool timing) { showTimes = timing; }
  StringRef getArgument() const override { return "moe-lower-kernels"; }
  StringRef getDescription() const override { return "compile each target's kernels to object code"; }
  Option<bool> showTimes{*this, "timing", llvm::cl::desc("show what each step took"), llvm::cl::init(false)};

  void runOnOperation() override {
    for (plan::ProgramOp program : getOperation().getOps<plan::ProgramOp>())
      for (auto [index, target] : llvm::enumerate(program.getBody().getOps<plan::TargetOp>()))
        if (failed(lower(target, index)))
          return signalPassFailure();
  }

  LogicalResult lower(plan::TargetOp target, size_t index) {
    auto modules = target.getBody().getOps<ModuleOp>();
    if (modules.empty())
      return target.emitOpError("expected a module with the kernels' functions, found none");
    ModuleOp functions = *modules.begin();
    std::unique_ptr<kernels::Target> machine = kernels::targetOf(target);
    if (!machine)
      return failure();
    FailureOr<kernels::Sections> sections = machine->finish(functions, showTimes);
    if (failed(sections))
      return failure();
    target.setCodeAttr(bytesAttr(&getContext(), ("code" + Twine(index)).str(), sections->code));
    target->removeAttr(kernels::targetNameAttr); // it has served
    functions.erase();
    return success();
  }
};
PassRegistration<LowerKernels> registration;

} // namespace

std::unique_ptr<Pass> createLowerKernelsPass(bool timing) { return std::make_unique<LowerKernels>(timing); }

} // namespace moe
