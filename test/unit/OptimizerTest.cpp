// The optimisers' updates, evaluated over several steps, against the formulas of torch.optim written out by
// hand; and a step whose loss or gradient is not finite, which must leave every parameter and state as it
// was.
#include "dialects/flow/BuildOptimizer.h"
#include "test/unit/TrainingProgram.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace flow;

namespace {

constexpr double rate = 0.1, beta1 = 0.8, beta2 = 0.95, eps = 1e-3, decay = 0.05, momentum = 0.9;

// loss = sum(a w^2 / 2 + b w), whose gradient is a w + b, over two parameters.
struct Optimized : TrainingProgram {
  std::vector<double> a = {1, -2, 0.5}, b = {0.3, 0.1, -1};

  explicit Optimized(OptimizerKind kind) {
    Value x = input("a", {size(3)}), y = input("b", {size(3)});
    Value first = parameter("first", {3}), second = parameter("second", {3});
    Value loss = number(builder, location, 0);
    for (Value w : {first, second}) {
      Value quadratic = mul(builder, location, mul(builder, location, mul(builder, location, w, w), x), 0.5);
      loss = add(builder, location, loss,
                 sumAll(builder, location, add(builder, location, quadratic, mul(builder, location, w, y))));
    }
    output("loss", loss);
    std::vector<ParameterOp> all = parameters();
    std::vector<Value> slopes = gradients(loss);
    buildUpdate(builder, location, kind, loss, all, slopes);
    EXPECT_TRUE(succeeded(verify(*module)));
    std::vector<std::unique_ptr<Pass>> passes;
    passes.push_back(moe::createDifferentiate());
    passes.push_back(moe::createSimplify());
    run(std::move(passes));
    bindings.inputs["a"] = array(a);
    bindings.inputs["b"] = array(b);
    bindings.states["first"] = array({0.5, 1, -1});
    bindings.states["second"] = array({2, 0, 3});
    entry.walk([&](StateOp state) {
      Array zero(cast<RankedTensorType>(state.getY().getType()).getShape());
      bindings.states[state.getPath().str()] = zero;
    });
    bindings.scalars = {
        {"optimizer.lr", rate}, {"optimizer.beta1", beta1},        {"optimizer.beta2", beta2},
        {"optimizer.eps", eps}, {"optimizer.weight_decay", decay}, {"optimizer.momentum", momentum}};
  }

  static Array array(std::vector<double> values) {
    Array result({int64_t(values.size())});
    result.data = std::move(values);
    return result;
  }

  void step() {
    Evaluation result = evaluate();
    ASSERT_EQ(result.outputs.at("finite").data[0], 1);
    for (auto &[path, value] : result.assigned)
      bindings.states[path] = value;
  }

  std::vector<double> values(const std::string &path) { return bindings.states.at(path).data; }
};

void expectNear(const std::vector<double> &expected, const std::vector<double> &found) {
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(expected[i], found[i], 1e-12) << i;
}

void checkAdam(bool decoupled) {
  Optimized p(decoupled ? OptimizerKind::adamw : OptimizerKind::adam);
  std::vector<double> w = p.values("second"), m(3), v(3);
  for (int t = 1; t <= 5; ++t) {
    for (int i = 0; i < 3; ++i) {
      double g = p.a[i] * w[i] + p.b[i];
      if (decoupled)
        w[i] -= rate * decay * w[i];
      else
        g += decay * w[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      double bias1 = 1 - std::pow(beta1, t), bias2 = 1 - std::pow(beta2, t);
      w[i] -= rate / bias1 * m[i] / (std::sqrt(v[i]) / std::sqrt(bias2) + eps);
    }
    p.step();
    expectNear(w, p.values("second"));
    expectNear(m, p.values("adam.m:second"));
    expectNear(v, p.values("adam.v:second"));
  }
}

TEST(Optimizer, AdamCouplesDecay) { checkAdam(false); }
TEST(Optimizer, AdamwDecouplesDecay) { checkAdam(true); }

TEST(Optimizer, SgdHasMomentum) {
  Optimized p(OptimizerKind::sgd);
  std::vector<double> w = p.values("first"), velocity(3);
  for (int t = 1; t <= 5; ++t) {
    for (int i = 0; i < 3; ++i) {
      velocity[i] = momentum * velocity[i] + (p.a[i] * w[i] + p.b[i] + decay * w[i]);
      w[i] -= rate * velocity[i];
    }
    p.step();
    expectNear(w, p.values("first"));
    expectNear(velocity, p.values("sgd.momentum:first"));
  }
}

void checkNothingChanges(double poison) {
  for (OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw}) {
    Optimized p(kind);
    p.step();
    p.bindings.inputs["a"].data[1] = poison;
    Evaluation result = p.evaluate();
    EXPECT_EQ(result.outputs.at("finite").data[0], 0);
    EXPECT_FALSE(result.assigned.empty());
    for (auto &[path, value] : result.assigned)
      EXPECT_EQ(value.data, p.bindings.states.at(path).data) << path;
  }
}

TEST(Optimizer, NanChangesNothing) { checkNothingChanges(std::nan("")); }
TEST(Optimizer, InfinityChangesNothing) { checkNothingChanges(INFINITY); }

// Every state is assigned, names its parameter, and has its shape.
TEST(Optimizer, StatesBelongToParameters) {
  Optimized p(OptimizerKind::adam);
  std::map<std::string, std::string> owners;
  p.entry.walk([&](StateOp state) { owners[state.getPath().str()] = state.getOf().value_or("").str(); });
  std::map<std::string, std::string> expected = {{"adam.correction1", ""},    {"adam.correction2", ""},
                                                 {"adam.m:first", "first"},   {"adam.v:first", "first"},
                                                 {"adam.m:second", "second"}, {"adam.v:second", "second"}};
  EXPECT_EQ(owners, expected);
  EXPECT_EQ(p.count("flow.assign"), 8);
}

TEST(Optimizer, NamesAreRead) {
  for (auto [index, name] : llvm::enumerate(optimizerNames()))
    EXPECT_EQ(parseOptimizerKind(name), OptimizerKind(index));
  EXPECT_FALSE(parseOptimizerKind("adagrad"));
}

} // namespace
