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

using namespace mlir;

namespace moe {

ElaborateOptions elaborateOptions(const PipelineOptions &options) {
  return {options.defines,   options.objective, options.optimizer, options.digests,
          options.batchHint, options.precision, options.plugins};
}

static void addPlaced(OpPassManager &passes, Place place, const PipelineOptions &options) {
  for (const PlacedPass &placed : options.placed)
    if (placed.place == place)
      passes.addPass(placed.make());
}

void addPhase(OpPassManager &passes, Phase phase, const PipelineOptions &options) {
  addPlaced(passes, {phase, /*after=*/false}, options);
  switch (phase) {
  case Phase::parse:
    break;
  case Phase::elaborate:
    passes.addPass(createCheckUnusedPass(options.defines));
    passes.addPass(createElaboratePass(elaborateOptions(options)));
    if (options.gradients)
      passes.addPass(createAddGradientsEntry());
    break;
  case Phase::differentiate:
    passes.addPass(createDifferentiate());
    break;
  case Phase::simplify:
    passes.addPass(createDecompose());
    passes.addPass(createSimplify());
    // Before rematerialisation, so that recomputation does not count as a cost of the model.
    passes.addPass(createCountFlopsPass());
    break;
  case Phase::rematerialize:
    passes.addPass(createRematerialize(options.targets));
    break;
  case Phase::fuse:
    passes.addPass(createFormGroupsPass(options.targets));
    break;
  case Phase::plan:
    passes.addPass(createLowerToPlanPass());
    break;
  case Phase::emit:
    passes.addPass(createLowerKernelsPass(options.timing));
    break;
  }
  addPlaced(passes, {phase, /*after=*/true}, options);
}

/// Records which pass failed.
struct FailedPass : PassInstrumentation {
  explicit FailedPass(std::string &flag) : flag(flag) {}
  void runAfterPassFailed(Pass *pass, Operation *) override {
    if (flag.empty())
      flag = pass->getArgument().str();
  }
  std::string &flag;
};

static std::error_code write(const std::string &path, StringRef text) {
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  if (error)
    return error;
  file << text;
  file.close();
  error = file.error();
  file.clear_error(); // the stream would end the process at an error that was not cleared
  return error;
}

/// MLIR's reproducer, written in a way that does not end the process when a disk is full.
struct ReproducerText : ReproducerStream {
  explicit ReproducerText(std::string path) : path(std::move(path)), stream(text) {}
  ~ReproducerText() override { (void)write(path, text); } // `keepNames` writes again, and warns
  StringRef description() override { return path; }
  raw_ostream &os() override { return stream; }

  std::string path, text;
  llvm::raw_string_ostream stream;
};

/// Writes MLIR's reproducer of a failed phase again, now with the author's names of values, since the name of
/// a model's input is part of the model's meaning. If a pass ends the process, MLIR's own reproducer stays.
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
  std::string text;
  llvm::raw_string_ostream printed(text);
  input->print(printed, state);
  if (std::error_code error = write(path, text)) {
    emitWarning(UnknownLoc::get(input.getContext()))
        << "--reproducer=" << path << ": cannot be written: " << error.message();
    return;
  }
  emitRemark(UnknownLoc::get(input.getContext()))
      << "what the failing phase was given is in " << path << "; 'moe-opt --run-reproducer' runs it";
}

LogicalResult runPipeline(ModuleOp module, const PipelineOptions &options, Phase *reached,
                          std::string *plugin) {
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
      passes.enableCrashReproducerGeneration(
          [&](std::string &) { return std::make_unique<ReproducerText>(options.reproducer); });
    }
    addPhase(passes, phase, options);
    if (options.verifyByEvaluation)
      passes.addInstrumentation(verifyByEvaluation(values));
    std::string failedPass;
    passes.addInstrumentation(std::make_unique<FailedPass>(failedPass));
    ScopedDiagnosticHandler quiet(module.getContext(), [&](Diagnostic &d) {
      // The pass has reported the error; this diagnostic only names MLIR's reproducer.
      return success(input && StringRef(d.str()).starts_with("Failures have been detected"));
    });
    // Only this phase profits from threads: it lowers kernels in parallel. The result does not depend on
    // their number.
    const bool threads = phase == Phase::emit && !module.getContext()->isMultithreadingEnabled();
    if (threads)
      module.getContext()->enableMultithreading();
    const LogicalResult done = passes.size() ? passes.run(module) : success();
    if (threads)
      module.getContext()->disableMultithreading();
    if (failed(done)) {
      if (plugin && llvm::any_of(options.placed, [&](const PlacedPass &placed) {
            return placed.make()->getArgument() == failedPass;
          }))
        *plugin = failedPass;
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
