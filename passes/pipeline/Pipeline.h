// The compiler's pipeline from a model's text to a program: named phases, all with one set of options. A
// phase is a plain function that adds its passes; `--to=PHASE` stops after a phase and prints the IR.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "passes/language/Elaborate.h"
#include "passes/pipeline/Places.h"
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moe {

struct PipelineOptions {
  std::vector<std::pair<std::string, std::string>> defines; // -Dname=value
  std::string objective = "erm";
  std::string optimizer = "adam";             // adam, adamw, sgd
  std::vector<std::string> targets = {"cpu"}; // names of targets (kernels/Backend.h)
  std::string batchHint;                      // flow::BatchHint's text; empty: the default batches
  std::string precision;                      // flow::Precision's name; empty: f32
  std::map<std::string, std::string> digests; // of the sources' texts, by the files' names
  bool gradients = false;                     // adds an entry `gradients` besides `train`, for checks
  Phase to = Phase::emit;
  bool timing = false;              // a table of the passes' times on standard error
  bool verifyByEvaluation = false;  // evaluates every entry before and after each pass
  std::vector<std::string> plugins; // the files given to --load, which the program records
  std::vector<PlacedPass> placed;   // plugins' passes; those of one place run in this order
  std::string reproducer;           // the file to which a failing pass writes its input; empty: none
};

ElaborateOptions elaborateOptions(const PipelineOptions &options);

/// Adds the passes of one phase, with those that plugins place before and after it. `parse` has none.
void addPhase(mlir::OpPassManager &passes, Phase phase, const PipelineOptions &options);

/// Runs the phases after `parse` up to and including options.to. Diagnostics go to the context's handler.
/// `reached` is set to the phase that failed, or to the last one, and `plugin` to the flag of a plugin's pass
/// that failed, or to nothing. A failure up to `simplify` is a mistake in the model's text; a later one is a
/// fault of the compiler.
llvm::LogicalResult runPipeline(mlir::ModuleOp module, const PipelineOptions &options,
                                Phase *reached = nullptr, std::string *plugin = nullptr);

} // namespace moe
