// A gradient penalty: the squared norm of a two-layer network's gradient in its input, differentiated in the
// weights. flow.grad nests, so the second derivative is one more op.
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

TEST(NestedGradient, penaltyThroughTwoLinearsMatchesCentralDifferences) {
  FlowCase one;
  one.bindings.setting.symbols = {2, 3};
  std::mt19937_64 random(7);
  auto size = [](int64_t value) { return flow::Extent::constant(&context(), value); };
  Value x = one.input("x", {flow::Extent::batch(&context()), size(5)}, random);
  Value w1 = one.input("w1", {size(7), size(5)}, random), b1 = one.input("b1", {size(7)}, random);
  Value w2 = one.input("w2", {size(3), size(7)}, random);
  OpBuilder b = one.atEnd();
  Location loc = b.getUnknownLoc();
  Value hidden = flow::tanh(b, loc, flow::add(b, loc, flow::linear(b, loc, x, w1), b1));
  Value score = flow::sumAll(b, loc, flow::linear(b, loc, hidden, w2));
  Value slope = flow::GradOp::create(b, loc, TypeRange{x.getType()}, score, ValueRange{x}).getResult(0);
  Value penalty = flow::sumAll(b, loc, flow::mul(b, loc, slope, slope));
  one.addOutput("penalty", penalty);
  SmallVector<Value> weights{w1, b1, w2};
  b = one.atEnd();
  auto grad = flow::GradOp::create(b, loc, TypeRange(ValueRange(weights)), penalty, weights);
  const StringRef names[] = {"d.w1", "d.b1", "d.w2"};
  for (auto [name, value] : llvm::zip(names, grad.getResults()))
    one.addOutput(name, value);
  ASSERT_TRUE(one.differentiate());
  auto found = one.evaluate();
  double largest = 0;
  for (std::string name : {"w1", "b1", "w2"}) {
    const flow::Array &values = found.outputs.at("d." + name);
    for (size_t i = 0; i < values.data.size(); ++i) {
      double expected = centralDifference(one, "penalty", name, i);
      EXPECT_LE(std::fabs(values.data[i] - expected), 1e-6 + 1e-5 * std::fabs(expected))
          << name << "[" << i << "]";
      largest = std::max(largest, std::fabs(expected));
    }
  }
  EXPECT_GT(largest, 0.1); // the penalty does depend on the weights
  auto compiled = runCompiled(*one.module, "main", one.bindings);
  ASSERT_TRUE(compiled);
  for (auto &[name, value] : found.outputs)
    for (size_t i = 0; i < value.data.size(); ++i)
      EXPECT_NEAR(compiled->outputs.at(name).data[i], value.data[i], 1e-5 * (1 + largest))
          << name << "[" << i << "]";
}
