#include "passes/pipeline/Pipeline.h"
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
    if (!options.reproducer.empty())
      passes.enableCrashReproducerGeneration(options.reproducer, /*genLocalReproducer=*/false);
    addPhase(passes, phase, options);
    if (options.verifyByEvaluation)
      passes.addInstrumentation(verifyByEvaluation(values));
    if (passes.size() && failed(passes.run(module)))
      return failure();
    if (values.failed())
      return failure();
  }
  return success();
}

} // namespace moe
