// What the commands of moec do, without the command line: each returns the Status that becomes the exit code.
// Diagnostics of a model's text have gone to standard error by then, and such a Status has no message of its
// own.
#pragma once
#include "frontends/moec/Evaluate.h"
#include "passes/pipeline/Pipeline.h"
#include "runtime/base/Status.h"
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moe {

/// Compiles texts to a program file, or prints the IR after options.to.
moert::Status compileFiles(const PipelineOptions &options, const std::vector<std::string> &inputs,
                           const std::string &output);

/// Runs an entry of the texts' model in f64 by the evaluator (Evaluate.h).
moert::Status evaluateFiles(const PipelineOptions &options, const std::vector<std::string> &inputs,
                            const EvaluateOptions &evaluation);

/// A program file as the text of its plan, and back to the same bytes.
moert::Status disassembleFile(const std::string &input, const std::string &output);
moert::Status assembleFile(const std::string &input, const std::string &output);

/// Entries, parameters, costs and memory of a program at a batch (see moert::readBatch). `kernels`: also what the
/// kernels for GPUs take.
moert::Status inspectFile(const std::string &input, const std::string &batch, int threads, bool kernels,
                          bool json);

} // namespace moe
