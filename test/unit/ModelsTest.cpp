// The example models as wholes: one training step and one inference, compiled and run, against the evaluator
// of what elaboration and differentiation made. Parameters are all random, and an update by SGD with rate 1
// shows every gradient.
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/Pipeline.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe;
using namespace moe::test;

namespace {

struct Model {
  const char *name;
  int64_t domains, rows;
  std::vector<std::pair<std::string, std::string>> defines = {};
};
std::ostream &operator<<(std::ostream &stream, const Model &model) { return stream << model.name; }

class ExampleModel : public ::testing::TestWithParam<Model> {};

PipelineOptions sgd(const Model &model) {
  PipelineOptions options;
  options.optimizer = "sgd";
  options.defines = model.defines;
  return options;
}

OwningOpRef<ModuleOp> elaborated(const Model &model, Phase to = Phase::elaborate) {
  auto module = parseSourceFile<ModuleOp>(
      MOE_SOURCE_DIR "/examples/models/" + std::string(model.name) + ".mlir", &context());
  if (!module)
    return {};
  for (Phase phase : {Phase::elaborate, Phase::differentiate}) {
    PassManager passes(&context());
    addPhase(passes, phase, sgd(model));
    if (phase > to)
      break;
    if (failed(passes.run(*module)))
      return {};
  }
  return module;
}

flow::EntryOp entryOf(ModuleOp module, StringRef name) {
  flow::EntryOp found;
  module.walk([&](flow::EntryOp entry) {
    if (entry.getSymName() == name)
      found = entry;
  });
  return found;
}

/// The norm of the difference, relative to the norm.
double distance(const flow::Array &expected, const flow::Array &found) {
  if (expected.data.size() != found.data.size())
    return INFINITY;
  double all = 0, off = 0;
  for (size_t i = 0; i < expected.data.size(); ++i) {
    all += expected.data[i] * expected.data[i];
    off += (expected.data[i] - found.data[i]) * (expected.data[i] - found.data[i]);
  }
  return std::isfinite(off) ? std::sqrt(off / std::max(all, 1e-12)) : INFINITY;
}

} // namespace

TEST_P(ExampleModel, compiledStepAgreesWithTheEvaluator) {
  Model model = GetParam();
  for (std::string name : {"train", "main"}) {
    auto truth = elaborated(model, Phase::differentiate);
    ASSERT_TRUE(truth);
    flow::EntryOp entry = entryOf(*truth, name);
    ASSERT_TRUE(entry);
    flow::Bindings bindings;
    bindings.setting = {{model.domains, model.rows}, 5, 7};
    bindings.progress = 0.25;
    bindings.scalars = {{"optimizer.lr", 1}, {"optimizer.momentum", 0}, {"optimizer.weight_decay", 0}};
    std::mt19937_64 random(3);
    flow::bindRandom(entry, bindings, random, 2);
    auto expected = flow::evaluate(entry, bindings);
    ASSERT_TRUE(succeeded(expected));
    for (const std::string &target : testTargets()) {
      auto module = elaborated(model);
      ASSERT_TRUE(module);
      auto found = runCompiled(*module, name, bindings, {target});
      ASSERT_TRUE(found) << target;
      EXPECT_FALSE(expected->outputs.empty());
      for (auto &[output, value] : expected->outputs)
        EXPECT_LE(distance(value, found->outputs.at(output)), 1e-4) << target << ", output " << output;
      for (auto &[path, value] : expected->assigned) {
        flow::Array change = value, mine = found->assigned.at(path), before = bindings.states.at(path);
        for (size_t i = 0; i < before.data.size(); ++i)
          change.data[i] -= before.data[i], mine.data[i] -= before.data[i];
        EXPECT_LE(distance(change, mine), 1e-3) << target << ", the change of " << path;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , ExampleModel,
    ::testing::Values(
        Model{"linear", 3, 5}, Model{"mnist_cnn", 2, 1}, Model{"hmoe_28", 2, 2},
        Model{"vit",
              2,
              2,
              {{"channels", "1"},
               {"size", "28"},
               {"patch", "4"},
               {"dim", "64"},
               {"depth", "2"},
               {"heads", "4"},
               {"classes", "10"}}},
        Model{"vit_dinov2_reg", 2, 2, {{"size", "28"}, {"dim", "24"}, {"depth", "1"}, {"heads", "3"}}}),
    [](const auto &info) { return std::string(info.param.name); });
