// Models whose texts stand in tests, run entry by entry: by the evaluator, and compiled on every target.
#pragma once
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/Pipeline.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

namespace moe::test {

using flow::Array;
using mlir::ArrayRef, mlir::ModuleOp, mlir::OwningOpRef, mlir::StringRef;

/// A model's text; its entries can be run, on random values for whatever the bindings lack.
class TextModel {
public:
  flow::Bindings given;

  explicit TextModel(const std::string &text, int64_t rows = 4, const std::string &optimizer = "sgd") {
    given.setting = {{1, rows}, 3, 5};
    given.progress = 0.25;
    options.optimizer = optimizer;
    options.gradients = true;
    this->text = text;
    module = mlir::parseSourceString<ModuleOp>(text, &context());
    if (!module || failed(run(*module, Phase::elaborate))) {
      ADD_FAILURE() << "expected this text to be elaborated:\n" << text;
      module = {};
    }
  }
  explicit operator bool() { return bool(module); }

  flow::EntryOp entryOf(ModuleOp program, StringRef name) {
    flow::EntryOp found;
    program.walk([&](flow::EntryOp entry) { found = entry.getSymName() == name ? entry : found; });
    return found;
  }
  bool has(StringRef name) { return bool(entryOf(*module, name)); }
  /// Random values for what an entry reads and nothing has given.
  void bind(StringRef name) {
    std::mt19937_64 random(7);
    flow::bindRandom(entryOf(*module, name), given, random, 3);
  }
  flow::Evaluation evaluate(StringRef name) {
    bind(name);
    if (!differentiated) {
      differentiated = module->clone();
      EXPECT_TRUE(succeeded(run(*differentiated, Phase::differentiate)));
    }
    mlir::FailureOr<flow::Evaluation> found = flow::evaluate(entryOf(*differentiated, name), given);
    EXPECT_TRUE(succeeded(found));
    return failed(found) ? flow::Evaluation() : *found;
  }
  flow::Evaluation compiled(StringRef name, const std::string &target) {
    bind(name);
    auto &program = programs[target];
    if (!program) {
      OwningOpRef<ModuleOp> copy(module->clone());
      program = compileProgram(*copy, {target});
    }
    auto found = program ? runProgram(program, name.str(), given, {target}) : std::nullopt;
    return found ? *found : flow::Evaluation();
  }
  /// The evaluator and every target; or the evaluator alone.
  std::vector<std::pair<std::string, flow::Evaluation>> everywhere(StringRef name, bool compile = true) {
    std::vector<std::pair<std::string, flow::Evaluation>> all{{"evaluator", evaluate(name)}};
    if (compile)
      for (const std::string &target : testTargets())
        all.emplace_back(target, compiled(name, target));
    return all;
  }
  /// Compiles for all targets and evaluates every entry before and after each pass; says what a pass changed.
  mlir::LogicalResult verifyByEvaluation() {
    PipelineOptions all = options;
    all.targets = testTargets();
    all.verifyByEvaluation = true;
    OwningOpRef<ModuleOp> copy = mlir::parseSourceString<ModuleOp>(text, &context());
    return runPipeline(*copy, all);
  }
  void input(const std::string &name, ArrayRef<int64_t> shape, const std::vector<double> &values) {
    given.inputs[name] = arrayOf(shape, values);
  }
  void state(const std::string &name, ArrayRef<int64_t> shape, const std::vector<double> &values) {
    given.states[name] = arrayOf(shape, values);
  }

private:
  std::string text;
  PipelineOptions options;
  OwningOpRef<ModuleOp> module, differentiated;
  std::map<std::string, std::shared_ptr<const moert::Program>> programs;

  mlir::LogicalResult run(ModuleOp program, Phase phase) {
    mlir::PassManager passes(&context());
    addPhase(passes, phase, options);
    return passes.run(program);
  }
  static Array arrayOf(ArrayRef<int64_t> shape, const std::vector<double> &values) {
    Array made{shape};
    EXPECT_EQ(size_t(made.size()), values.size());
    made.data.assign(values.begin(), values.end());
    for (double &value : made.data)
      value = double(float(value));
    return made;
  }
};

/// The norm of the difference, relative to the norm; infinity where it is no number, or the sizes differ.
inline double distance(ArrayRef<double> expected, ArrayRef<double> found) {
  if (expected.size() != found.size())
    return INFINITY;
  double all = 0, off = 0;
  for (auto [a, b] : llvm::zip(expected, found)) {
    all += a * a;
    off += (a - b) * (a - b);
  }
  return std::isfinite(off) ? std::sqrt(off / std::max(all, 1e-24)) : INFINITY;
}
inline double distance(const Array &expected, const Array &found) {
  return distance(ArrayRef(expected.data.data(), expected.data.size()),
                  ArrayRef(found.data.data(), found.data.size()));
}

} // namespace moe::test
