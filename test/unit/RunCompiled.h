// Compiles a program of flow by the pipeline's own phases and runs an entry of it by the runtime's session,
// in process.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/program/Program.h"
#include <map>
#include <optional>
#include <string>

namespace moe::test {

struct RunOptions {
  std::string target = "cpu"; // what --target takes
  int threads = 2;
  bool poison = true;
};

/// What an entry gives for these bindings: outputs by name, and every state's value after the run by path.
/// The module is consumed. Reports what went wrong as a test failure and gives nothing.
std::optional<flow::Evaluation> runCompiled(mlir::ModuleOp module, const std::string &entry,
                                            const flow::Bindings &bindings, const RunOptions &options = {});

/// The same of a program that is compiled already.
std::optional<flow::Evaluation> runProgram(const std::shared_ptr<const moert::Program> &program,
                                           const std::string &entry, const flow::Bindings &bindings,
                                           const RunOptions &options = {});

/// The module as a verified program; null after a test failure. The module is consumed.
std::shared_ptr<const moert::Program> compileProgram(mlir::ModuleOp module, const RunOptions &options = {});

/// "cpu", and the level below the host's where there is one.
std::vector<std::string> testTargets();

} // namespace moe::test
