// --moe-lower-kernels: each target's kernels, a nested module of functions, become the object code that the
// target carries as bytes.
#include "dialects/plan/Plan.h"
#include "passes/cpu/ObjectCode.h"
#include "passes/emit/EmitProgram.h"
#include "passes/emit/Passes.h"

using namespace mlir;

namespace moe {
namespace {

// The target's name on a command line for its level: the host's, or one of the fixed ones.
FailureOr<cpu::CpuTarget> cpuOf(plan::TargetOp target) {
  std::string error;
  for (StringRef name : {"cpu", "cpu:x86-64-v3", "cpu:x86-64-v4"}) {
    std::optional<cpu::CpuTarget> cpu = cpu::cpuTarget(name, error);
    if (cpu && cpu->level == target.getLevel())
      return *cpu;
  }
  return target.emitOpError("expected a level that this compiler makes code for here, found '")
         << target.getLevel() << "'";
}

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
    ModuleOp kernels = *modules.begin();
    FailureOr<cpu::CpuTarget> cpu = cpuOf(target);
    if (failed(cpu))
      return failure();
    auto object = cpu::compileToObject(kernels, *cpu, {.timing = showTimes});
    if (failed(object))
      return failure();
    target.setCodeAttr(bytesAttr(&getContext(), ("code" + Twine(index)).str(), *object));
    kernels.erase();
    return success();
  }
};
PassRegistration<LowerKernels> registration;

} // namespace

std::unique_ptr<Pass> createLowerKernelsPass(bool timing) { return std::make_unique<LowerKernels>(timing); }

} // namespace moe
