// The bounds that whole models are held to must be tight enough to see what they are for, and wide enough for what f32
// cannot do better: a drift of a sum, a cancellation, a choice next to a kink.
#include "test/fuzz/models/Noise.h"
#include "dialects/flow/Build.h"
#include "test/unit/FlowCase.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

struct Fixture : ::testing::Test {
  FlowCase one;
  OpBuilder b = one.atEnd();
  Location loc = b.getUnknownLoc();
  std::mt19937_64 random{5};

  Value input(ArrayRef<int64_t> shape) {
    SmallVector<flow::Extent> extents;
    for (int64_t extent : shape)
      extents.push_back(flow::Extent::constant(&context(), extent));
    Value x = one.input("x", extents, random);
    b = one.atEnd();
    return x;
  }
  NoisyEvaluation evaluated() {
    auto found = evaluateWithNoise(one.entry, one.bindings, 3);
    EXPECT_TRUE(found);
    return found ? *found : NoisyEvaluation();
  }
  /// The exact result moved by so much of itself.
  static flow::Array movedBy(const NoisyValue &y, double part) {
    flow::Array moved = y.value;
    for (double &value : moved.data)
      value *= 1 + part;
    return moved;
  }
  /// What is said of it.
  std::string saidOf(double part) {
    NoisyValue y = evaluated().outputs.at("y");
    return disagreement("y", y, movedBy(y, part));
  }
};

using Noise = Fixture;

} // namespace

TEST_F(Noise, seesASumThatDriftsByAMillionth) {
  Value x = input({7, 300});
  one.addOutput("y", flow::sum(b, loc, flow::exp(b, loc, x), {1}));
  EXPECT_EQ(saidOf(0), "");
  EXPECT_EQ(saidOf(1e-7), "");
  EXPECT_NE(saidOf(1e-6), "");
}

TEST_F(Noise, seesItBehindSeveralLayers) {
  Value x = flow::exp(b, loc, input({7, 32}));
  for (int i = 0; i < 3; ++i) {
    Value sums = flow::contract(b, loc, x, {0, 2}, x, {1, 2}, {0, 1});
    x = flow::mul(b, loc, sums, 0.01);
  }
  one.addOutput("y", x);
  EXPECT_EQ(saidOf(0), "");
  EXPECT_NE(saidOf(4e-6), "");
}

TEST_F(Noise, manyRunsDecideWhereFewSayThatAResultIsWrong) {
  Value x = input({7, 300});
  one.addOutput("y", flow::sum(b, loc, flow::exp(b, loc, x), {1}));
  NoisyEvaluation few = evaluated();
  NoisyValue &y = few.outputs.at("y");
  std::fill(y.noise.data.begin(), y.noise.data.end(), 0.0); // by chance
  auto saidOfAll = [&](const flow::Array &found) {
    flow::Evaluation all;
    all.outputs["y"] = found;
    return disagreement(one.entry, one.bindings, 3, few, all);
  };
  EXPECT_NE(disagreement("y", y, movedBy(y, 2e-7)), "");
  EXPECT_EQ(saidOfAll(movedBy(y, 2e-7)), "");
  EXPECT_NE(saidOfAll(movedBy(y, 1e-6)), "");
  EXPECT_NE(disagreement(one.entry, one.bindings, 3, few, {}), "") << "the output is missing";
}

TEST_F(Noise, allowsWhatCancellationCosts) {
  Value x = input({64}), big = flow::add(b, loc, x, 1e4);
  one.addOutput("y", flow::sub(b, loc, big, flow::constant(b, loc, 1e4, big.getType())));
  EXPECT_EQ(saidOf(1e-4), "");
  EXPECT_NE(saidOf(1), "");
}

TEST_F(Noise, tellsChoicesThatRoundingMayTurn) {
  Value x = input({3});
  one.bindings.inputs["x"].data = {0.5, -0.25, 0};
  one.addOutput("y", flow::relu(b, loc, x));
  EXPECT_EQ(evaluated().undecided, ""); // an exact 0 is the same for everybody
  b = one.atEnd();
  Value y = flow::sub(b, loc, flow::mul(b, loc, x, 1.0 / 3), flow::constant(b, loc, 1.0 / 6, x.getType()));
  one.addOutput("z", flow::relu(b, loc, y));
  EXPECT_EQ(evaluated().undecided, "flow.relu");
}

TEST_F(Noise, noNumberAgreesWithNoNumberAlone) {
  Value x = input({3});
  one.addOutput("y", flow::log(b, loc, x));
  one.bindings.inputs["x"].data = {0.5, -0.25, 0};
  NoisyValue y = evaluated().outputs.at("y");
  flow::Array found = y.value;
  EXPECT_EQ(disagreement("y", y, found), "");
  found.data[0] = NAN;
  EXPECT_NE(disagreement("y", y, found), "");
  found = y.value;
  found.data[1] = 0;
  EXPECT_NE(disagreement("y", y, found), "");
  found = y.value;
  found.data[2] = INFINITY;
  EXPECT_NE(disagreement("y", y, found), "");
}
