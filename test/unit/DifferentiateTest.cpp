// Gradients of whole small programs against central differences of the loss in f64, as differentiated, then
// as simplified and rematerialised. Each program uses one family of composites: convolution with group norm,
// layer norm with gated units, pooling, the mixture's routing, a gradient penalty that differentiates a
// gradient.
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/Emit.h"
#include "test/unit/TrainingProgram.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace flow;

namespace {

class Differentiated : public TrainingProgram {
public:
  OpBuilder &b = builder;
  Location l = location;

  Value linearLayer(Value x, const std::string &name, int64_t in, int64_t out) {
    Value y = linear(b, l, x, parameter(name + ".weight", {out, in}));
    return add(b, l, y, parameter(name + ".bias", {out}));
  }

  // Differentiates the loss in all parameters and compares some elements of each gradient with central
  // differences.
  void check(Value loss, uint64_t seed = 1) {
    output("loss", loss);
    outputGradients(loss);
    bind(seed, 3);
    std::vector<std::unique_ptr<Pass>> first, second;
    first.push_back(moe::createDifferentiate());
    run(std::move(first));
    ASSERT_TRUE(succeeded(verify(*module)));
    EXPECT_EQ(count("flow.grad"), 0);
    Evaluation plain = evaluate();
    int compared = 0;
    std::mt19937_64 random(seed);
    for (ParameterOp parameter : parameters()) {
      std::string path = parameter.getPath().str();
      const Array &gradient = plain.outputs.at("grad." + path);
      for (int pick = 0; pick < 6; ++pick, ++compared) {
        size_t element = random() % gradient.data.size();
        double exact = slope(path, element);
        EXPECT_NEAR(gradient.data[element], exact, 1e-6 + 1e-5 * std::fabs(exact))
            << path << " at " << element;
      }
    }
    EXPECT_GT(compared, 0);
    second.push_back(moe::createSimplify());
    second.push_back(moe::createRematerialize());
    run(std::move(second));
    ASSERT_TRUE(succeeded(verify(*module)));
    expectSame(plain, evaluate(), 1e-10);
  }

private:
  double slope(const std::string &path, size_t element) {
    constexpr double h = 1e-5;
    double &x = bindings.states.at(path).data[element], middle = x;
    x = middle + h;
    double above = evaluate().outputs.at("loss").data[0];
    x = middle - h;
    double below = evaluate().outputs.at("loss").data[0];
    x = middle;
    return (above - below) / (2 * h);
  }
};

TEST(Differentiate, ConvolutionReluGroupNormPool) {
  Differentiated p;
  Value x = p.input("image", {p.B(), p.size(2), p.size(6), p.size(6)});
  Value y = relu(p.b, p.l, conv(p.b, p.l, x, p.parameter("c0.weight", {4, 2, 3, 3}), {1, 1}, {1, 1, 1, 1}));
  y = groupNorm(p.b, p.l, y, p.parameter("n0.weight", {4}), p.parameter("n0.bias", {4}), 2, 1e-5);
  y = relu(p.b, p.l, conv(p.b, p.l, y, p.parameter("c1.weight", {6, 4, 3, 3}), {2, 2}, {1, 1, 1, 1}));
  y = groupNorm(p.b, p.l, y, p.parameter("n1.weight", {6}), p.parameter("n1.bias", {6}), 3, 1e-5);
  y = p.linearLayer(mean(p.b, p.l, y, {2, 3}), "head", 6, 3);
  p.check(crossEntropy(p.b, p.l, y, p.labels("label", {p.B()})));
}

TEST(Differentiate, LayerNormActivationsSoftmax) {
  Differentiated p;
  Value x = p.input("x", {p.B(), p.size(5)});
  Value y = p.linearLayer(x, "fc0", 5, 7);
  y = layerNorm(p.b, p.l, gelu(p.b, p.l, y), p.parameter("norm.weight", {7}), p.parameter("norm.bias", {7}),
                1e-6);
  y = silu(p.b, p.l, p.linearLayer(y, "fc1", 7, 4));
  y = mul(p.b, p.l, softmax(p.b, p.l, y, 1), tanh(p.b, p.l, logSoftmax(p.b, p.l, y, 1)));
  y = add(p.b, p.l, y, sigmoid(p.b, p.l, sqrt(p.b, p.l, add(p.b, p.l, mul(p.b, p.l, y, y), 0.1))));
  p.check(mean(p.b, p.l, y, {0, 1}));
}

TEST(Differentiate, MaximumPoolingAndViews) {
  Differentiated p;
  Value x = p.input("image", {p.B(), p.size(1), p.size(6), p.size(6)});
  Value y = conv(p.b, p.l, x, p.parameter("w", {2, 1, 3, 3}), {1, 1}, {1, 1, 1, 1});
  Value pooled =
      reduce(p.b, p.l, ReduceKind::max, window(p.b, p.l, y, {3, 3}, {2, 2}, {1, 1, 1, 1}, -1e30), {4, 5});
  Value overlap =
      reduce(p.b, p.l, ReduceKind::sum, window(p.b, p.l, y, {2, 3}, {1, 2}, {0, 1, 1, 1}), {4, 5});
  Value cut = slice(p.b, p.l, pooled, {0, 0, 1, 0}, {1, 1, 1, 2}, {p.B(), p.size(2), p.size(2), p.size(2)});
  Value joined = concat(p.b, p.l, {transpose(p.b, p.l, cut, {0, 1, 3, 2}), cut}, 1);
  Value squares = mul(p.b, p.l, joined, joined);
  p.check(add(p.b, p.l, mean(p.b, p.l, squares, {0, 1, 2, 3}),
              mean(p.b, p.l, exp(p.b, p.l, mul(p.b, p.l, overlap, 0.1)), {0, 1, 2, 3})));
}

// The mixture: distances to learned vectors route, every expert sees every row, the entropy and the balance
// of the gates join the loss.
TEST(Differentiate, DistanceRoutedMixture) {
  Differentiated p;
  Value x = p.input("x", {p.B(), p.size(4)});
  Value keys = p.parameter("keys", {3, 4});
  Value v = p.linearLayer(x, "d2v", 4, 4);
  llvm::SmallVector<Extent> wide = {p.B(), p.size(3), p.size(4)};
  Value apart = sub(p.b, p.l, broadcast(p.b, p.l, v, wide, {0, 2}), broadcast(p.b, p.l, keys, wide, {1, 2}));
  Value distance = sum(p.b, p.l, mul(p.b, p.l, apart, apart), {2});
  Value scores = neg(p.b, p.l, log(p.b, p.l, add(p.b, p.l, distance, 1e-6)));
  Value gates = softmax(p.b, p.l, scores, 1);
  Value each = contract(p.b, p.l, x, {1, 2}, p.parameter("experts", {3, 5, 4}), {0, 3, 2}, {0, 1, 3});
  Value mixed = contract(p.b, p.l, gates, {1, 0}, each, {0, 1, 2}, {1, 2});
  Value logs = logSoftmax(p.b, p.l, scores, 1);
  Value entropy = neg(p.b, p.l, mean(p.b, p.l, sum(p.b, p.l, mul(p.b, p.l, gates, logs), {1}), {0}));
  Value balance = variance(p.b, p.l, mean(p.b, p.l, gates, {0}), {0}, true);
  Value loss = crossEntropy(p.b, p.l, mixed, p.labels("label", {p.B()}));
  p.check(add(p.b, p.l, loss, add(p.b, p.l, entropy, balance)));
}

// Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), equation 3: a loss that holds a
// gradient's norm.
TEST(Differentiate, GradientPenaltyThroughTwoLinears) {
  Differentiated p;
  Value x = p.parameter("point", {2, 4});
  Value hidden = tanh(p.b, p.l, p.linearLayer(x, "fc0", 4, 5));
  Value critic = sumAll(p.b, p.l, p.linearLayer(hidden, "fc1", 5, 1));
  auto grad = GradOp::create(p.b, p.l, TypeRange{x.getType()}, critic, ValueRange{x});
  Value slope = grad.getGradients()[0];
  Value norm = sqrt(p.b, p.l, add(p.b, p.l, sum(p.b, p.l, mul(p.b, p.l, slope, slope), {1}), 1e-12));
  Value over = sub(p.b, p.l, norm, onesLike(p.b, p.l, norm));
  Value loss = add(p.b, p.l, critic, mean(p.b, p.l, mul(p.b, p.l, over, over), {0}));
  p.output("slope", slope);
  // Differences of the loss need the inner gradient lowered, which `check` does before it evaluates.
  p.check(loss);
}

TEST(Differentiate, UnknownLabelsLeaveTheLoss) {
  Differentiated p;
  Value x = p.input("x", {p.B(), p.size(4)});
  Value y = p.linearLayer(x, "fc", 4, 3);
  Value known = p.labels("label", {p.B()});
  Value rows = crossEntropyRows(p.b, p.l, y, known);
  p.output("rows", rows);
  Array label({6});
  label.data = {0, -1, 2, 1, 3, 2};
  p.bindings.inputs["label"] = label;
  p.check(meanOverKnown(p.b, p.l, rows, known, p.size(3)));
}

TEST(Differentiate, NoKnownLabelIsNoLoss) {
  Differentiated p;
  Value y = p.linearLayer(p.input("x", {p.B(), p.size(4)}), "fc", 4, 3);
  Value loss = crossEntropy(p.b, p.l, y, p.labels("label", {p.B()}));
  Array label({6}, -1);
  p.bindings.inputs["label"] = label;
  p.check(loss);
  EXPECT_EQ(p.evaluate().outputs.at("loss").data[0], 0);
}

// The first of equal largest elements gets the gradient, as torch.max's does; torch.maximum's share it by
// halves.
TEST(Differentiate, Ties) {
  Differentiated p;
  Value w = p.parameter("w", {4});
  Value c = p.input("c", {p.size(4)});
  Value loss =
      add(p.b, p.l, reduce(p.b, p.l, ReduceKind::max, w, {0}), sumAll(p.b, p.l, maximum(p.b, p.l, w, c)));
  p.outputGradients(loss);
  Array values({4}), other({4});
  values.data = {3, 1, 3, 3};
  other.data = {3, 2, 0, 4};
  p.bindings.states["w"] = values;
  p.bindings.inputs["c"] = other;
  std::vector<std::unique_ptr<Pass>> passes;
  passes.push_back(moe::createDifferentiate());
  p.run(std::move(passes));
  std::vector<double> expected = {1 + 0.5, 0, 1, 0};
  EXPECT_EQ(p.evaluate().outputs.at("grad.w").data, expected);
}

// Over several axes the first in row-major order, where a batch axis is the slowest; the smallest alike.
TEST(Differentiate, TiesOverSeveralAxes) {
  for (ReduceKind kind : {ReduceKind::max, ReduceKind::min}) {
    Differentiated p;
    Value w = p.parameter("w", {2, 2, 3});
    Value loss = sumAll(p.b, p.l, reduce(p.b, p.l, kind, w, {0, 2}));
    p.outputGradients(loss);
    Array values({2, 2, 3});
    double sign = kind == ReduceKind::max ? 1 : -1;
    values.data = {0, 1, 5, 7, 7, 2, 5, 5, 3, 7, 9, 9};
    for (double &value : values.data)
      value *= sign;
    p.bindings.states["w"] = values;
    std::vector<std::unique_ptr<Pass>> passes;
    passes.push_back(moe::createDifferentiate());
    p.run(std::move(passes));
    std::vector<double> expected = {0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    EXPECT_EQ(p.evaluate().outputs.at("grad.w").data, expected);
  }
}

// pow at 0 as in torch: no gradient in the base where the exponent is 0, none in the exponent where the base
// is 0.
TEST(Differentiate, PowAtZero) {
  Differentiated p;
  Value w = p.parameter("w", {5}), c = p.parameter("c", {5});
  Emit e{p.b, p.l};
  p.outputGradients(e.sumAll(e.pow(w, c)));
  Array base({5}), exponent({5});
  base.data = {0, 0, 0, 2, 0};
  exponent.data = {0, 1, 2, 0, 0.5};
  p.bindings.states["w"] = base;
  p.bindings.states["c"] = exponent;
  std::vector<std::unique_ptr<Pass>> passes;
  passes.push_back(moe::createDifferentiate());
  p.run(std::move(passes));
  std::vector<double> inBase = {0, 1, 0, 0, INFINITY}, inExponent = {0, 0, 0, std::log(2), 0};
  EXPECT_EQ(p.evaluate().outputs.at("grad.w").data, inBase);
  EXPECT_EQ(p.evaluate().outputs.at("grad.c").data, inExponent);
}

// A chain of selects takes one more select for each rule that may make NaN, not one for each select behind it;
// and a chain of finite ops takes none, however long it is.
TEST(Differentiate, SelectsOfAChain) {
  auto selects = [](int length, bool finite) {
    Differentiated p;
    Value w = p.parameter("w", {5}), x = w;
    Emit e{p.b, p.l};
    if (finite) {
      for (int i = 0; i < length; ++i)
        x = e.unary<TanhOp>(x);
      x = e.keep(e.compare(Predicate::gt, w, 0.0), x);
    } else {
      for (int i = 0; i < length; ++i)
        x = e.select(e.compare(Predicate::gt, x, double(i)), e.sqrt(x), w);
    }
    p.outputGradients(e.sumAll(x));
    std::vector<std::unique_ptr<Pass>> passes;
    passes.push_back(moe::createDifferentiate());
    p.run(std::move(passes));
    return p.count("flow.select");
  };
  EXPECT_EQ(selects(80, false) - selects(40, false), selects(120, false) - selects(80, false));
  EXPECT_EQ(selects(200, true), selects(1, true));
}

} // namespace
