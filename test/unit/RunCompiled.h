// Compiled programs in tests (frontends/check/RunCompiled.h): what goes wrong is a test failure.
#pragma once
#include "frontends/check/RunCompiled.h"
#include <map>
#include <optional>

namespace moe::test {

using moe::RunOptions;

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

/// What this machine can run.
inline std::vector<std::string> testTargets() { return hostTargets(); }

} // namespace moe::test
