// Random whole programs through every pass over flow, evaluated before and after each, and compiled and run.
// f64 evaluation of what a pass made must agree with what it was given; compiled f32 must agree with f64 within
// the noise that rounding makes of the program (Noise.h), new parameters and the optimiser's states too, at every
// level, and give the same bytes for any number of threads.
#include "test/unit/RandomProgram.h"
#include "mlir/IR/Verifier.h"
#include "passes/fusion/Fusion.h"
#include "passes/pipeline/Pipeline.h"
#include "passes/pipeline/VerifyByEvaluation.h"
#include "test/fuzz/models/Noise.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe;
using namespace moe::test;

namespace {

constexpr unsigned opsPerProgram = 24;

class RandomProgram : public ::testing::TestWithParam<int> {};

/// The program, differentiated, with values for which rounding turns no choice, and what it gives for them; nothing
/// after a test failure. Values that were drawn with the program are drawn again where need be.
std::optional<NoisyEvaluation> decided(FlowCase &truth, uint64_t seed) {
  if (!truth.differentiate())
    return std::nullopt;
  for (uint64_t draw = 0; draw < 20; ++draw) {
    if (draw) {
      std::mt19937_64 random(seed * 1000 + draw);
      truth.bindings.inputs.clear();
      truth.bindings.states.clear();
      flow::bindRandom(truth.entry, truth.bindings, random, 4);
    }
    auto expected = evaluateWithNoise(truth.entry, truth.bindings, seed);
    if (!expected || expected->undecided.empty())
      return expected;
  }
  ADD_FAILURE() << "for all values that were tried, rounding may turn a choice";
  return std::nullopt;
}

} // namespace

TEST_P(RandomProgram, verifies) {
  FlowCase one = randomProgram(GetParam(), opsPerProgram);
  ASSERT_TRUE(succeeded(mlir::verify(*one.module))) << one.text();
  EXPECT_TRUE(std::isfinite(one.evaluate().outputs.at("loss").data[0])) << one.text();
}

TEST_P(RandomProgram, everyPassKeepsItsValues) {
  FlowCase one = randomProgram(GetParam(), opsPerProgram);
  EntryValues values({one.bindings.setting.symbols}, GetParam() + 1);
  for (Phase phase : {Phase::differentiate, Phase::simplify, Phase::rematerialize, Phase::fuse}) {
    PassManager passes(&context());
    passes.addInstrumentation(verifyByEvaluation(values));
    addPhase(passes, phase, {});
    ASSERT_TRUE(succeeded(passes.run(*one.module))) << phaseName(phase).str() << "\n" << one.text();
    ASSERT_FALSE(values.failed()) << phaseName(phase).str() << "\n" << one.text();
  }
  PassManager passes(&context());
  passes.addInstrumentation(verifyByEvaluation(values));
  passes.addPass(createInlineGroupsPass());
  ASSERT_TRUE(succeeded(passes.run(*one.module)));
  EXPECT_FALSE(values.failed()) << one.text();
  EXPECT_GT(values.comparisons(), 10u);
}

TEST_P(RandomProgram, compiledAgreesWithTheEvaluator) {
  FlowCase truth = randomProgram(GetParam(), opsPerProgram);
  std::string text = truth.text();
  auto expected = decided(truth, GetParam());
  ASSERT_TRUE(expected) << text;
  for (const std::string &target : testTargets()) {
    FlowCase program = randomProgram(GetParam(), opsPerProgram);
    auto found = runCompiled(*program.module, "main", truth.bindings, {target});
    ASSERT_TRUE(found) << target << "\n" << text;
    ASSERT_EQ(disagreement(truth.entry, truth.bindings, GetParam(), *expected, *found), "") << target << "\n"
                                                                                            << text;
  }
}

TEST_P(RandomProgram, threadsDoNotShow) {
  std::optional<flow::Evaluation> first;
  for (int threads : {1, 2, 3}) {
    FlowCase one = randomProgram(GetParam(), opsPerProgram);
    RunOptions options;
    options.threads = threads;
    auto found = runCompiled(*one.module, "main", one.bindings, options);
    ASSERT_TRUE(found);
    if (!first) {
      first = std::move(found);
      continue;
    }
    for (auto &[name, value] : first->outputs)
      EXPECT_EQ(value.data, found->outputs.at(name).data) << threads << " threads, output " << name;
    for (auto &[path, value] : first->assigned)
      EXPECT_EQ(value.data, found->assigned.at(path).data) << threads << " threads, state " << path;
  }
}

INSTANTIATE_TEST_SUITE_P(, RandomProgram, ::testing::Range(0, 12));
