// The context is shared: loading MLIR's dialects takes longer than most tests.
#include "test/unit/FlowCase.h"
#include "frontends/driver/Dialects.h"
#include <gtest/gtest.h>

using namespace mlir;

namespace moe::test {

MLIRContext &context() {
  static MLIRContext *shared = [] {
    DialectRegistry registry;
    registerDialects(registry);
    auto *made = new MLIRContext(registry, MLIRContext::Threading::DISABLED);
    made->loadAllAvailableDialects();
    return made;
  }();
  return *shared;
}

std::vector<RegisteredOperationName> computingOps() { return moe::computingOps(context(), {"flow"}); }

flow::Evaluation FlowCase::evaluate() const {
  auto result = OpCase::evaluate();
  EXPECT_TRUE(succeeded(result)) << text();
  return succeeded(result) ? std::move(*result) : flow::Evaluation();
}

} // namespace moe::test
