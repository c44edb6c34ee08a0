// The compiler from text to program as named phases over one set of options. A phase is a plain function that
// adds its passes; `--to=PHASE` stops behind one and prints the IR there.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
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
  std::vector<std::string> targets = {"cpu"}; // by name, as the back ends have them (kernels/Backend.h)
  std::string batchHint;                      // flow::BatchHint's text; empty: the default batches
  std::map<std::string, std::string> digests; // of the sources' texts, by the files' names
  bool gradients = false;                     // an entry `gradients` beside `train`, for checks
  Phase to = Phase::emit;
  bool timing = false;              // a table of the passes' times on standard error
  bool verifyByEvaluation = false;  // evaluates every entry before and after each pass
  std::vector<std::string> plugins; // files after --load, for the program's records
  std::vector<PlacedPass> placed;   // plugins' passes, in the order in which those of one place run
  std::string reproducer;           // where a failing pass leaves its input; empty: nowhere
};

/// Adds the passes of one phase, with those that plugins place before and behind it. `parse` has none.
void addPhase(mlir::OpPassManager &passes, Phase phase, const PipelineOptions &options);

/// Runs the phases behind `parse` up to and including options.to. Diagnostics go to the context's handler;
/// `reached` is the phase that failed, or the last, and `plugin` the flag of a plugin's pass that failed, or empty. A
/// text is to blame for failures up to `simplify`, the compiler for later ones.
llvm::LogicalResult runPipeline(mlir::ModuleOp module, const PipelineOptions &options,
                                Phase *reached = nullptr, std::string *plugin = nullptr);

} // namespace moe
