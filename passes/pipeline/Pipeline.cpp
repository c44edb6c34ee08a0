#include "passes/pipeline/Pipeline.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Support/Timing.h"
#include "passes/emit/Passes.h"
#include "passes/fusion/Fusion.h"
#include "passes/language/CheckUnused.h"
#include "passes/language/Elaborate.h"
#include "passes/pipeline/VerifyByEvaluation.h"
#include "passes/planning/Passes.h"
#include "passes/training/Training.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace moe {

static constexpr StringRef names[] = {"parse",         "elaborate", "differentiate", "simplify",
                                      "rematerialize", "fuse",      "plan",          "emit"};

StringRef phaseName(Phase phase) { return names[static_cast<size_t>(phase)]; }

std::optional<Phase> phaseNamed(StringRef name) {
  const auto *found = llvm::find(names, name);
  if (found == std::end(names))
    return std::nullopt;
  return static_cast<Phase>(found - std::begin(names));
}

std::string phaseNames() { return llvm::join(std::begin(names), std::end(names), ", "); }

void addPhase(OpPassManager &passes, Phase phase, const PipelineOptions &options) {
  switch (phase) {
  case Phase::parse:
    break;
  case Phase::elaborate:
    passes.addPass(createCheckUnusedPass());
    passes.addPass(createElaboratePass({options.defines, options.objective, options.optimizer}));
    if (options.gradients)
      passes.addPass(createAddGradientsEntry());
    break;
  case Phase::differentiate:
    passes.addPass(createDifferentiate());
    break;
  case Phase::simplify:
    passes.addPass(createSimplify());
    // Before anything is recomputed, so that a model's cost is the model's.
    passes.addPass(createCountFlopsPass());
    break;
  case Phase::rematerialize:
    passes.addPass(createRematerialize());
    break;
  case Phase::fuse:
    passes.addPass(createFormGroupsPass());
    break;
  case Phase::plan:
    passes.addPass(createLowerToPlanPass(options.targets));
    break;
  case Phase::emit:
    passes.addPass(createLowerKernelsPass(options.timing));
    break;
  }
}

/// MLIR's reproducer of a failed phase, written again with the author's names: an input's is part of what a
/// model means. Where a pass ends the process, MLIR's own stays.
static void keepNames(ModuleOp input, PassManager &passes, const std::string &path) {
  std::string pipeline;
  llvm::raw_string_ostream os(pipeline);
  os << ModuleOp::getOperationName() << '(';
  llvm::interleave(passes, os, [&](Pass &pass) { pass.printAsTextualPipeline(os); }, ",");
  os << ')';
  AsmState state(input, OpPrintingFlags().printNameLocAsPrefix());
  state.attachResourcePrinter("mlir_reproducer", [&](Operation *, AsmResourceBuilder &builder) {
    builder.buildString("pipeline", pipeline);
    builder.buildBool("disable_threading", true);
    builder.buildBool("verify_each", true);
  });
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  if (error) {
    emitWarning(UnknownLoc::get(input.getContext()))
        << "--reproducer=" << path << ": cannot be written: " << error.message();
    return;
  }
  input->print(file, state);
  emitRemark(UnknownLoc::get(input.getContext()))
      << "what the failing phase was given is in " << path << "; 'moe-opt --run-reproducer' runs it";
}

LogicalResult runPipeline(ModuleOp module, const PipelineOptions &options, Phase *reached) {
  DefaultTimingManager times;
  times.setEnabled(options.timing);
  TimingScope all = times.getRootScope();
  EntryValues values;
  for (size_t index = 0; index <= static_cast<size_t>(options.to); ++index) {
    Phase phase = static_cast<Phase>(index);
    if (reached)
      *reached = phase;
    PassManager passes(module.getContext());
    TimingScope scope = all.nest(phaseName(phase));
    passes.enableTiming(scope);
    OwningOpRef<ModuleOp> input;
    if (!options.reproducer.empty()) {
      input = module.clone();
      passes.enableCrashReproducerGeneration(options.reproducer, /*genLocalReproducer=*/false);
    }
    addPhase(passes, phase, options);
    if (options.verifyByEvaluation)
      passes.addInstrumentation(verifyByEvaluation(values));
    ScopedDiagnosticHandler quiet(module.getContext(), [&](Diagnostic &d) {
      // The pass has said what is wrong; this only says where MLIR put the reproducer.
      return success(input && StringRef(d.str()).starts_with("Failures have been detected"));
    });
    if (passes.size() && failed(passes.run(module))) {
      if (input)
        keepNames(*input, passes, options.reproducer);
      return failure();
    }
    if (values.failed())
      return failure();
  }
  return success();
}

} // namespace moe
