// Walks the registered ops of flow: each states every fact about itself, and the facts agree with the
// evaluator on random cases. The checks are those of `moec check-ops` (frontends/check/CheckOps.h). A new op
// is covered by being registered.
#include "frontends/check/CheckOps.h"
#include "frontends/check/Facts.h"
#include "test/unit/FlowCase.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

constexpr unsigned casesPerOp = 24;

class FlowOp : public ::testing::TestWithParam<RegisteredOperationName> {
protected:
  void hold(moert::Status (*check)(RegisteredOperationName, uint64_t), unsigned cases) {
    for (unsigned i = 0; i < cases && !HasFailure(); ++i) {
      moert::Status status = check(GetParam(), 1000 + i);
      EXPECT_TRUE(status.ok()) << "case " << 1000 + i << ": " << status.message();
    }
  }
};

} // namespace

TEST(FlowRegistry, everyOpStatesEveryFact) {
  ASSERT_GE(computingOps().size(), 40u);
  for (RegisteredOperationName name : context().getRegisteredOperationsByDialect("flow"))
    EXPECT_EQ(moe::checkFacts(name).message(), "");
}

TEST_P(FlowOp, casesVerify) { hold(moe::checkVerifies, casesPerOp); }
TEST_P(FlowOp, textAndBytecodeKeepIt) { hold(moe::checkText, 8); }
TEST_P(FlowOp, gradientAgreesWithCentralDifferences) { hold(moe::checkGradient, casesPerOp); }
TEST_P(FlowOp, secondGradientAgreesWithCentralDifferences) { hold(moe::checkSecondGradient, casesPerOp / 2); }
TEST_P(FlowOp, gradientsBehindASelectAreRightAndZeroWhereNothingIsChosen) {
  hold(moe::checkSelected, casesPerOp / 2);
}
TEST_P(FlowOp, accessesGiveTheResult) { hold(moe::checkAccesses, casesPerOp); }
TEST_P(FlowOp, partsGiveTheResult) { hold(moe::checkParts, casesPerOp); }
// Ops that read their operands at other places than their own have more ways to be odd: axes of 1, paddings
// of whole strides, windows that cover all of an image.
TEST_P(FlowOp, compiledCodeAgreesWithTheEvaluator) {
  hold(moe::checkCompiled, GetParam().hasTrait<flow::Elementwise>() ? 6 : 10);
}

INSTANTIATE_TEST_SUITE_P(, FlowOp, ::testing::ValuesIn(computingOps()),
                         [](const auto &info) { return info.param.getStringRef().drop_front(5).str(); });
