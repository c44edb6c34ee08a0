// Every op of flow as a program of its own, compiled and run by the runtime, against the evaluator: within
// c * eps * sum|terms|, c stated by the op, at the host's level and the one below. Buffers are poisoned, and
// the random cases' odd sizes leave tails everywhere.
#include "dialects/flow/Flow.h"
#include "dialects/flow/RandomCase.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

class CompiledFlowOp : public ::testing::TestWithParam<RegisteredOperationName> {};

constexpr double epsilon = 0x1p-24;

/// One case at one level; false where it differs or does not compile.
void check(RegisteredOperationName name, uint64_t seed, const std::string &target) {
  FlowCase one = randomCase(name, seed);
  std::string text = one.text();
  Operation *op = one.output("y").getDefiningOp();
  SmallVector<const flow::Array *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(&one.bindings.inputs.at(operand.getDefiningOp<flow::InputOp>().getName().str()));
  auto outputs = one.evaluate().outputs;
  SmallVector<flow::Array> expected;
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    expected.push_back(outputs.at(flow::RandomCase::resultName(i)));
  auto truth = cast<flow::TruthInterface>(op);
  const double factor = truth.errorFactor();
  const SmallVector<flow::Array> magnitudes = truth.magnitude(operands, expected);
  auto found = runCompiled(*one.module, "main", one.bindings, {target});
  ASSERT_TRUE(found) << target << "\n" << text;
  for (unsigned result = 0; result < expected.size(); ++result) {
    const flow::Array &y = found->outputs.at(flow::RandomCase::resultName(result));
    ASSERT_EQ(y.data.size(), expected[result].data.size()) << text;
    for (size_t i = 0; i < y.data.size(); ++i) {
      double wanted = expected[result].data[i], bound = factor * epsilon * magnitudes[result].data[i];
      if (factor == 0)
        wanted = double(float(wanted));
      bool same = wanted == y.data[i] || (std::isnan(wanted) && std::isnan(y.data[i]));
      ASSERT_TRUE(same || std::fabs(y.data[i] - wanted) <= bound)
          << target << ", result " << result << ", element " << i << ": expected " << wanted << " within "
          << bound << ", found " << y.data[i] << "\n"
          << text;
    }
  }
}

} // namespace

// Ops that read their operands at other places than their own have more ways to be odd: axes of 1, paddings of whole
// strides, windows that cover all of an image.
TEST_P(CompiledFlowOp, agreesWithTheEvaluator) {
  const bool isElementwise = GetParam().hasTrait<flow::Elementwise>();
  for (const std::string &target : testTargets())
    for (uint64_t seed = 0; seed < (isElementwise ? 6 : 10); ++seed) {
      check(GetParam(), 1000 + seed, target);
      if (HasFailure())
        return;
    }
}

INSTANTIATE_TEST_SUITE_P(, CompiledFlowOp, ::testing::ValuesIn(computingOps()),
                         [](const auto &info) { return info.param.getStringRef().drop_front(5).str(); });
