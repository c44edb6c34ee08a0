#include "test/unit/RunCompiled.h"
#include <gtest/gtest.h>

using namespace mlir;

namespace moe::test {

std::shared_ptr<const moert::Program> compileProgram(ModuleOp module, const RunOptions &options) {
  auto program = moe::compileModule(module, options);
  if (program.ok())
    return *std::move(program);
  ADD_FAILURE() << program.status().message();
  return nullptr;
}

std::optional<flow::Evaluation> runCompiled(ModuleOp module, const std::string &entry,
                                            const flow::Bindings &bindings, const RunOptions &options) {
  auto program = compileProgram(module, options);
  return program ? runProgram(program, entry, bindings, options) : std::nullopt;
}

std::optional<flow::Evaluation> runProgram(const std::shared_ptr<const moert::Program> &program,
                                           const std::string &entry, const flow::Bindings &bindings,
                                           const RunOptions &options) {
  auto result = moe::runEntry(program, entry, bindings, options);
  if (result.ok())
    return *std::move(result);
  ADD_FAILURE() << result.status().message();
  return std::nullopt;
}

} // namespace moe::test
