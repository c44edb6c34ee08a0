// What ops of the language mean: small models are elaborated and run by the evaluator, and their results are
// held against sums written out here. Parameters are random, so that a weight that meets the wrong axis
// shows.
#include "passes/language/Elaborate.h"
#include "dialects/flow/Evaluator.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

using namespace mlir;
using flow::Array;

namespace {

/// A model's text, elaborated; its entries can be run.
class Model {
public:
  explicit Model(const std::string &text, const moe::ElaborateOptions &options = {}) {
    context.loadDialect<moe::MoeDialect, flow::FlowDialect>();
    context.printOpOnDiagnostic(false);
    module = parseSourceString<ModuleOp>(text, &context);
    if (module && (failed(moe::elaborate(*module, options)) || failed(verify(*module))))
      module = {};
  }
  explicit operator bool() { return bool(module); }

  /// Runs an entry on random values for whatever `bindings` lacks, which are left there.
  flow::Evaluation run(llvm::StringRef entry, flow::Bindings &bindings, int64_t classes = 3) {
    flow::Evaluation result;
    module->walk([&](flow::EntryOp op) {
      if (op.getSymName() != entry)
        return;
      std::mt19937_64 random(7);
      flow::bindRandom(op, bindings, random, classes);
      FailureOr<flow::Evaluation> evaluated = flow::evaluate(op, bindings);
      ASSERT_TRUE(succeeded(evaluated));
      result = *evaluated;
    });
    return result;
  }

private:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

flow::Bindings batch(int64_t domains, int64_t rows) {
  flow::Bindings bindings;
  bindings.setting.symbols.D = domains;
  bindings.setting.symbols.N = rows;
  return bindings;
}

/// Row-major reading by index.
double at(const Array &a, std::initializer_list<int64_t> index) {
  int64_t flat = 0, axis = 0;
  for (int64_t i : index)
    flat = flat * a.shape[axis++] + i;
  return a.data[flat];
}

void expectNear(const Array &found, std::vector<int64_t> shape,
                const std::function<double(llvm::ArrayRef<int64_t>)> &wanted, double tolerance = 1e-9) {
  ASSERT_EQ(found.shape, shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (size_t flat = 0; flat < found.data.size(); ++flat) {
    size_t rest = flat;
    for (size_t axis = shape.size(); axis-- > 0;) {
      index[axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    double value = wanted(index);
    ASSERT_NEAR(found.data[flat], value, tolerance * std::max(1.0, std::fabs(value))) << "element " << flat;
  }
}

/// x W^T + b.
double dense(const Array &x, int64_t row, const Array &w, const Array &b, int64_t out) {
  double sum = b.data[out];
  for (int64_t i = 0; i < w.shape[1]; ++i)
    sum += at(x, {row, i}) * at(w, {out, i});
  return sum;
}

const char *mixture = R"(
moe.layer @Classifier<classes>(%z) {
  %y = linear @fc(%z) to classes
  yield %y
}
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 6
  %s = silu %h
  yield %s
}
moe.model @m<en: number = 2.0, kl: number = 0.5, d: number = 1.0, eps: number = 0.125>(%z: vector[4], %v: vector[2]) {
  %keys  = param @keys [5, 2] normal(1.0)
  %route = route @gate(%v) distance, keys = %keys, eps = eps
  %theta = hyper @hyper(%keys) trunk @Trunk for @Classifier<3> init hyperfan_in
  %each  = experts @classifiers(%z) layer @Classifier<3> weights %theta
  %mixed = combine %route, %each
  aux @entropy entropy %route, en * ramp(0, 1, until = 0.5)
  aux @balance balance_kl %route, kl
  aux @domain cross_entropy %route, domain, d
  expose @gates %route
  return logits = %mixed
})";

// Where nothing drops rows, the one entry for inference reports the losses of routings to some experts.
TEST(Elaborate, LossesAreReportedWithoutACapacity) {
  Model model(R"(
moe.layer @Double(%x) {
  %y = linear @fc(%x) to 3
  yield %y
}
moe.model @small(%image: image[1, 2, 3]) {
  %flat  = flatten %image
  %route = route @gate(%flat) linear, experts = 3, top = 2
  %sent  = dispatch %route, %flat
  %done  = experts @experts(%sent) layer @Double
  %a     = combine %route, %done
  %all   = route @soft(%a) linear, experts = 2
  %each  = experts @every(%a) layer @Double count = 2
  %y     = combine %all, %each
  aux @even gshard %route, 0.25
  aux @flat z_loss %route, 0.5 * ramp(0, 1)
  aux @of_all entropy %all, 0.1
  return logits = %y
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(2, 3);
  flow::Evaluation trained = model.run("train", given), inferred = model.run("main", given);
  EXPECT_NEAR(trained.outputs.at("loss.even").data[0],
              0.25 * inferred.outputs.at("routing_loss.even").data[0], 1e-12);
  EXPECT_GT(inferred.outputs.at("routing_loss.flat").data[0], 0);
  EXPECT_FALSE(inferred.outputs.contains("routing_loss.of_all"));
}

// What a training step and an evaluation report of routings, of a layer that is applied twice too: rows by expert, rows that
// are dropped, and losses.
TEST(Elaborate, RoutingsAreReported) {
  Model model(R"(
moe.layer @Double(%x) {
  %y = linear @fc(%x) to 3
  yield %y
}
moe.layer @Sparse(%x) {
  %route = route @gate(%x) linear, experts = 4, top = 2, capacity = 0.8
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Double
  %y     = combine %route, %done
  yield %y
}
moe.model @m(%flat: vector[15]) {
  %x     = reshape %flat to [5, 3]
  %a     = apply @sparse(%x) layer @Sparse
  %b     = apply shared @sparse(%a) layer @Sparse
  %route = route @last(%b) linear, experts = 4, top = 1, capacity = 0.5
  %sent  = dispatch %route, %b
  %done  = experts @experts(%sent) layer @Double
  %c     = combine %route, %done
  aux @even gshard %route, 0.25
  aux @flat z_loss %route, 0.5
  expose @chosen %route
  %y     = mean %c over tokens
  return logits = %y
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(2, 3);
  flow::Evaluation trained = model.run("train", given);
  flow::Evaluation judged = model.run("as_trained", given), inferred = model.run("main", given);
  const double rows = 6 * 5;
  for (auto [path, top, factor] :
       {std::tuple("sparse.gate", 2, 0.8), {"sparse.gate#2", 2, 0.8}, {"last", 1, 0.5}}) {
    SCOPED_TRACE(path);
    const std::string name = path;
    const Array &chosen = judged.outputs.at("chosen." + name), &kept = judged.outputs.at("kept." + name);
    ASSERT_EQ(chosen.shape, std::vector<int64_t>{4});
    ASSERT_EQ(kept.shape, std::vector<int64_t>{4});
    double all = 0, left = 0;
    for (int64_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(trained.outputs.at("gate_balance." + name).data[k], chosen.data[k] / (rows * top), 1e-12);
      EXPECT_EQ(kept.data[k], std::min(chosen.data[k], top * std::floor(factor * 8)));
      all += chosen.data[k];
      left += kept.data[k];
    }
    EXPECT_EQ(all, rows * top);
    EXPECT_LT(left, all);
    EXPECT_NEAR(trained.outputs.at("dropped." + name).data[0], 1 - left / all, 1e-12);
    EXPECT_FALSE(inferred.outputs.contains("kept." + name));
    double of = 0;
    for (double count : inferred.outputs.at("chosen." + name).data)
      of += count;
    EXPECT_EQ(of, rows * top);
  }
  EXPECT_NEAR(trained.outputs.at("loss.even").data[0], 0.25 * judged.outputs.at("routing_loss.even").data[0],
              1e-12);
  EXPECT_NEAR(trained.outputs.at("loss.flat").data[0], 0.5 * judged.outputs.at("routing_loss.flat").data[0],
              1e-12);
  EXPECT_FALSE(inferred.outputs.contains("routing_loss.even"));
  // Of each row, the expert and its gate; a dropped pair has none.
  const Array &choices = judged.outputs.at("chosen");
  ASSERT_EQ(choices.shape, (std::vector<int64_t>{6, 5, 1, 2}));
  std::vector<double> counts(4), taken(4);
  for (size_t i = 0; i < choices.data.size(); i += 2) {
    ++counts.at(size_t(choices.data[i]));
    taken.at(size_t(choices.data[i])) += choices.data[i + 1] != 0;
  }
  EXPECT_EQ(counts, judged.outputs.at("chosen.last").data);
  EXPECT_EQ(taken, judged.outputs.at("kept.last").data);
}

// A layer that is applied twice reports its routing's second time as `gate#2`, unless an author has named another one so.
TEST(Elaborate, ReportsOfRoutingsHaveNamesOfTheirOwn) {
  Model model(R"(
moe.layer @Double(%x) {
  %y = linear @fc(%x) to 3
  yield %y
}
moe.model @m(%x: vector[3]) {
  %r    = route @"gate#2"(%x) linear, experts = 2, top = 1, capacity = 1.0
  %s    = dispatch %r, %x
  %d    = experts @experts(%s) layer @Double
  %y    = combine %r, %d
  %r1   = route @gate(%y) linear, experts = 3, top = 1, capacity = 1.0
  %r2   = route shared @gate(%x) linear, experts = 3, top = 1, capacity = 1.0
  %s1   = dispatch %r1, %y
  %d1   = experts @first(%s1) layer @Double
  %y1   = combine %r1, %d1
  %s2   = dispatch %r2, %y1
  %d2   = experts @second(%s2) layer @Double
  %y2   = combine %r2, %d2
  return logits = %y2
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 6);
  flow::Evaluation trained = model.run("train", given), judged = model.run("as_trained", given);
  for (auto [name, experts] : {std::pair<std::string, size_t>{"gate#2", 2}, {"gate", 3}, {"gate#3", 3}}) {
    EXPECT_EQ(trained.outputs.at("gate_balance." + name).data.size(), experts) << name;
    EXPECT_EQ(judged.outputs.at("kept." + name).data.size(), experts) << name;
  }
}

} // namespace

TEST(Elaborate, MixtureOfGeneratedClassifiers) {
  Model model(mixture);
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(2, 3);
  flow::Evaluation result = model.run("main", given);
  const Array &z = given.inputs["z"], &v = given.inputs["v"], &keys = given.states["keys"];
  auto trunk = [&](int64_t expert, int64_t unit) {
    double h =
        dense(keys, expert, given.states["hyper.trunk.fc.weight"], given.states["hyper.trunk.fc.bias"], unit);
    return h / (1 + std::exp(-h));
  };
  auto written = [&](const std::string &tensor, int64_t expert, int64_t element) {
    const Array &w = given.states["hyper.out." + tensor + ".weight"];
    double sum = given.states["hyper.out." + tensor + ".bias"].data[element];
    for (int64_t unit = 0; unit < 6; ++unit)
      sum += at(w, {element, unit}) * trunk(expert, unit);
    return sum;
  };
  auto gate = [&](int64_t row, int64_t expert) {
    double all = 0, mine = 0;
    for (int64_t k = 0; k < 5; ++k) {
      double squared = 0.125;
      for (int64_t i = 0; i < 2; ++i)
        squared += std::pow(at(v, {row, i}) - at(keys, {k, i}), 2);
      all += 1 / squared;
      mine = k == expert ? 1 / squared : mine;
    }
    return mine / all;
  };
  expectNear(result.outputs["gates"], {6, 5}, [&](auto i) { return gate(i[0], i[1]); });
  expectNear(result.outputs["logits"], {6, 3}, [&](auto i) {
    double sum = 0;
    for (int64_t k = 0; k < 5; ++k) {
      double y = written("fc.bias", k, i[1]);
      for (int64_t f = 0; f < 4; ++f)
        y += at(z, {i[0], f}) * written("fc.weight", k, i[1] * 4 + f);
      sum += gate(i[0], k) * y;
    }
    return sum;
  });
}

TEST(Elaborate, AuxiliaryLossesAddUp) {
  Model model(mixture);
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(2, 3);
  given.progress = 0.125;
  given.inputs["label"] = Array({6});
  given.inputs["label"].data = {0, 1, -1, 2, 2, -1};
  given.inputs["domain"] = Array({6});
  given.inputs["domain"].data = {0, 0, 0, 1, 1, -1};
  given.scalars["aux.balance"] = 0.75; // what a recipe may change
  flow::Evaluation trained = model.run("train", given);
  flow::Bindings same = given;
  flow::Evaluation inferred = model.run("main", same);
  const Array &gates = inferred.outputs["gates"], &logits = inferred.outputs["logits"];
  double entropy = 0, balance = 0, erm = 0, domain = 0;
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t k = 0; k < 5; ++k)
      entropy -= at(gates, {r, k}) * std::log(at(gates, {r, k})) / 6;
  for (int64_t k = 0; k < 5; ++k) {
    double share = 0;
    for (int64_t r = 0; r < 6; ++r)
      share += at(gates, {r, k}) / 6;
    balance += share * std::log(5 * share);
    EXPECT_NEAR(trained.outputs["gate_balance.gate"].data[k], share, 1e-12);
  }
  for (int64_t r : {0, 1, 3, 4}) {
    double all = 0;
    for (int64_t c = 0; c < 3; ++c)
      all += std::exp(at(logits, {r, c}));
    erm += (std::log(all) - at(logits, {r, int64_t(given.inputs["label"].data[r])})) / 4;
  }
  for (int64_t r = 0; r < 5; ++r)
    domain -= std::log(at(gates, {r, int64_t(given.inputs["domain"].data[r])})) / 5;
  EXPECT_NEAR(trained.outputs["loss.erm"].data[0], erm, 1e-9);
  EXPECT_NEAR(trained.outputs["loss.entropy"].data[0], 2.0 * 0.25 * entropy, 1e-9);
  EXPECT_NEAR(trained.outputs["loss.balance"].data[0], 0.75 * balance, 1e-9);
  EXPECT_NEAR(trained.outputs["loss.domain"].data[0], domain, 1e-9);
  EXPECT_NEAR(trained.outputs["loss"].data[0], erm + 0.5 * entropy + 0.75 * balance + domain, 1e-9);
}

TEST(Elaborate, ConvolutionNormPooling) {
  Model model(R"(
moe.model @m(%x: image[2, 5, 6]) {
  %c = conv @c(%x) kernel = 3, stride = 2, pad = 1 to 4
  %n = group_norm @n(%c) groups = 2, eps = 1e-3
  %p = max_pool %x kernel = 2
  %q = mean_pool %x kernel = 3, stride = 1, pad = 1
  %u = unfold %x kernel = 2
  %m = mean %n over pixels
  %s = slice %m start = 0, size = 3
  return logits = %s, conv = %c, norm = %n, most = %p, even = %q, windows = %u
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("main", given);
  const Array &x = given.inputs["x"], &w = given.states["c.weight"];
  auto pixel = [&](int64_t b, int64_t c, int64_t y, int64_t z) {
    return y < 0 || y >= 5 || z < 0 || z >= 6 ? 0.0 : at(x, {b, c, y, z});
  };
  expectNear(result.outputs["conv"], {2, 4, 3, 3}, [&](auto i) {
    double sum = given.states["c.bias"].data[i[1]];
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t dy = 0; dy < 3; ++dy)
        for (int64_t dx = 0; dx < 3; ++dx)
          sum += pixel(i[0], c, i[2] * 2 + dy - 1, i[3] * 2 + dx - 1) * at(w, {i[1], c, dy, dx});
    return sum;
  });
  const Array &conv = result.outputs["conv"];
  expectNear(result.outputs["norm"], {2, 4, 3, 3}, [&](auto i) {
    double mean = 0, squared = 0;
    int64_t first = i[1] / 2 * 2;
    for (int64_t c = first; c < first + 2; ++c)
      for (int64_t p = 0; p < 9; ++p)
        mean += at(conv, {i[0], c, p / 3, p % 3}) / 18;
    for (int64_t c = first; c < first + 2; ++c)
      for (int64_t p = 0; p < 9; ++p)
        squared += std::pow(at(conv, {i[0], c, p / 3, p % 3}) - mean, 2) / 18;
    return (at(conv, {i[0], i[1], i[2], i[3]}) - mean) / std::sqrt(squared + 1e-3) *
               given.states["n.weight"].data[i[1]] +
           given.states["n.bias"].data[i[1]];
  });
  expectNear(result.outputs["most"], {2, 2, 2, 3}, [&](auto i) {
    double most = -1e30;
    for (int64_t d = 0; d < 4; ++d)
      most = std::max(most, pixel(i[0], i[1], i[2] * 2 + d / 2, i[3] * 2 + d % 2));
    return most;
  });
  expectNear(result.outputs["even"], {2, 2, 5, 6}, [&](auto i) {
    double sum = 0;
    for (int64_t d = 0; d < 9; ++d)
      sum += pixel(i[0], i[1], i[2] + d / 3 - 1, i[3] + d % 3 - 1) / 9;
    return sum;
  });
  expectNear(result.outputs["windows"], {2, 2, 4, 5, 2, 2},
             [&](auto i) { return pixel(i[0], i[1], i[2] + i[4], i[3] + i[5]); });
}

TEST(Elaborate, OrdinaryOps) {
  Model model(R"(
moe.model @m(%x: image[2, 3, 4], %v: vector[4], %mask: vector[3]) {
  %flat   = flatten %x
  %head   = linear @head(%flat) to 3
  %wide   = mul %x, %v
  %row    = reshape %x to [6, 4]
  %turn   = transpose %x to [2, 0, 1]
  %cut    = slice %x axis = 1, start = 0, size = 2, step = 2
  %join   = concat %x, %wide axis = 0
  %token  = take %row token = -1
  %sum    = sum %x over [0, -1]
  %var    = variance %x over features
  %most   = max %x
  %turned = transpose %x to [0, 2, 1]
  %prod   = matmul %x, %turned
  %kept   = relu %mask
  %zero   = sub %head, %head
  %pick   = where %kept, %head, %zero
  %soft   = softmax %x
  return logits = %head, wide = %wide, turn = %turn, cut = %cut, join = %join, token = %token, sum = %sum, var = %var,
         most = %most, prod = %prod, pick = %pick, soft = %soft
  })");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("main", given);
  const Array &x = given.inputs["x"], &v = given.inputs["v"];
  expectNear(result.outputs["wide"], {2, 2, 3, 4},
             [&](auto i) { return at(x, {i[0], i[1], i[2], i[3]}) * at(v, {i[0], i[3]}); });
  expectNear(result.outputs["turn"], {2, 4, 2, 3}, [&](auto i) { return at(x, {i[0], i[2], i[3], i[1]}); });
  expectNear(result.outputs["cut"], {2, 2, 2, 4},
             [&](auto i) { return at(x, {i[0], i[1], 2 * i[2], i[3]}); });
  expectNear(result.outputs["join"], {2, 4, 3, 4}, [&](auto i) {
    return i[1] < 2 ? at(x, {i[0], i[1], i[2], i[3]})
                    : at(x, {i[0], i[1] - 2, i[2], i[3]}) * at(v, {i[0], i[3]});
  });
  expectNear(result.outputs["token"], {2, 4}, [&](auto i) { return at(x, {i[0], 1, 2, i[1]}); });
  expectNear(result.outputs["sum"], {2, 3}, [&](auto i) {
    double sum = 0;
    for (int64_t d = 0; d < 8; ++d)
      sum += at(x, {i[0], d / 4, i[1], d % 4});
    return sum;
  });
  expectNear(result.outputs["var"], {2, 2, 3}, [&](auto i) {
    double mean = 0, squared = 0;
    for (int64_t d = 0; d < 4; ++d)
      mean += at(x, {i[0], i[1], i[2], d}) / 4;
    for (int64_t d = 0; d < 4; ++d)
      squared += std::pow(at(x, {i[0], i[1], i[2], d}) - mean, 2) / 4;
    return squared;
  });
  expectNear(result.outputs["most"], {2}, [&](auto i) {
    return *std::max_element(x.data.begin() + i[0] * 24, x.data.begin() + (i[0] + 1) * 24);
  });
  expectNear(result.outputs["prod"], {2, 2, 3, 3}, [&](auto i) {
    double sum = 0;
    for (int64_t d = 0; d < 4; ++d)
      sum += at(x, {i[0], i[1], i[2], d}) * at(x, {i[0], i[1], i[3], d});
    return sum;
  });
  expectNear(result.outputs["pick"], {2, 3}, [&](auto i) {
    return at(given.inputs["mask"], {i[0], i[1]}) > 0 ? at(result.outputs["logits"], {i[0], i[1]}) : 0.0;
  });
  expectNear(result.outputs["soft"], {2, 2, 3, 4}, [&](auto i) {
    double all = 0;
    for (int64_t d = 0; d < 4; ++d)
      all += std::exp(at(x, {i[0], i[1], i[2], d}));
    return std::exp(at(x, {i[0], i[1], i[2], i[3]})) / all;
  });
}

TEST(Elaborate, EveryExpertOnEveryRow) {
  Model model(R"(
moe.layer @Body(%x) {
  %c = conv @c(%x) kernel = 3 to 2
  %r = tanh %c
  %m = mean %r over pixels
  %n = layer_norm @n(%m) eps = 1e-3
  %y = linear @fc(%n) to 3
  %s = param @shift [3] normal(1.0)
  %z = add %y, %s
  yield %z
}
moe.model @m(%x: image[1, 4, 4]) {
  %flat  = flatten %x
  %route = route @gate(%flat) linear, experts = 3
  %each  = experts @experts(%x) layer @Body count = 3
  %mixed = combine %route, %each
  %mean  = mean %each over experts
  return logits = %mixed, mean = %mean
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("main", given);
  const Array &x = given.inputs["x"];
  auto state = [&](const char *name) -> const Array & {
    return given.states[std::string("experts.") + name];
  };
  ASSERT_EQ(state("c.weight").shape, (std::vector<int64_t>{3, 2, 1, 3, 3}));
  auto expert = [&](int64_t row, int64_t k, int64_t out) {
    double features[2];
    for (int64_t o = 0; o < 2; ++o) {
      features[o] = 0;
      for (int64_t p = 0; p < 16; ++p) {
        double sum = at(state("c.bias"), {k, o});
        for (int64_t d = 0; d < 9; ++d) {
          int64_t y = p / 4 + d / 3 - 1, z = p % 4 + d % 3 - 1;
          if (y >= 0 && y < 4 && z >= 0 && z < 4)
            sum += at(x, {row, 0, y, z}) * at(state("c.weight"), {k, o, 0, d / 3, d % 3});
        }
        features[o] += std::tanh(sum) / 16;
      }
    }
    double mean = (features[0] + features[1]) / 2, deviation = std::pow(features[0] - mean, 2);
    double y = at(state("fc.bias"), {k, out}) + at(state("shift"), {k, out});
    for (int64_t o = 0; o < 2; ++o)
      y += at(state("fc.weight"), {k, out, o}) *
           ((features[o] - mean) / std::sqrt(deviation + 1e-3) * at(state("n.weight"), {k, o}) +
            at(state("n.bias"), {k, o}));
    return y;
  };
  auto gate = [&](int64_t row, int64_t k) {
    double all = 0, mine = 0;
    for (int64_t j = 0; j < 3; ++j) {
      double score = 0;
      for (int64_t i = 0; i < 16; ++i)
        score += x.data[row * 16 + i] * at(given.states["gate.weight"], {j, i});
      all += std::exp(score);
      mine = j == k ? std::exp(score) : mine;
    }
    return mine / all;
  };
  expectNear(result.outputs["mean"], {2, 3}, [&](auto i) {
    return (expert(i[0], 0, i[1]) + expert(i[0], 1, i[1]) + expert(i[0], 2, i[1])) / 3;
  });
  expectNear(result.outputs["logits"], {2, 3}, [&](auto i) {
    double sum = 0;
    for (int64_t k = 0; k < 3; ++k)
      sum += gate(i[0], k) * expert(i[0], k, i[1]);
    return sum;
  });
}

TEST(Elaborate, DropoutIsNoiseInTrainingOnly) {
  Model model(R"(
moe.model @m(%x: vector[1000]) {
  %kept   = dropout %x, 0.25
  %logits = linear @fc(%kept) to 3
  expose @kept %kept
  return logits = %logits
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  given.inputs["x"] = Array({2, 1000}, 1.0);
  flow::Evaluation inferred = model.run("main", given);
  expectNear(inferred.outputs["kept"], {2, 1000}, [](auto) { return 1.0; });
  flow::Evaluation trained = model.run("train", given);
  const Array &kept = trained.exposed["kept"];
  double sum = 0;
  for (double value : kept.data) {
    EXPECT_TRUE(value == 0 || std::fabs(value - 1 / 0.75) < 1e-6);
    sum += value;
  }
  EXPECT_NEAR(sum / 2000, 1.0, 0.05);
}

TEST(Elaborate, FrozenTakesNoGradient) {
  Model model(R"(
moe.model @m(%x: vector[4]) {
  %h = linear frozen @fixed(%x) to 4
  %a = linear @moving(%h) to 4
  %b = linear frozen @moving(%a) to 4
  %c = linear shared @moving(%b) to 4
  %y = linear @head(%c) to 3
  return logits = %y
})",
              moe::ElaborateOptions{{}, "erm", "sgd", {}, {}, {}});
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("main", given);
  const Array &x = given.inputs["x"], &w = given.states["moving.weight"], &b = given.states["moving.bias"];
  // The same parameters are used three times.
  Array h({2, 4});
  for (int64_t r = 0; r < 2; ++r)
    for (int64_t o = 0; o < 4; ++o)
      h.data[r * 4 + o] = dense(x, r, given.states["fixed.weight"], given.states["fixed.bias"], o);
  for (int time = 0; time < 3; ++time) {
    Array next({2, 4});
    for (int64_t r = 0; r < 2; ++r)
      for (int64_t o = 0; o < 4; ++o)
        next.data[r * 4 + o] = dense(h, r, w, b, o);
    h = next;
  }
  expectNear(result.outputs["logits"], {2, 3}, [&](auto i) {
    return dense(h, i[0], given.states["head.weight"], given.states["head.bias"], i[1]);
  });
}

TEST(Elaborate, SharedLayerSharesWhatItsHypernetworkWrites) {
  Model model(R"(
moe.layer @Expert(%x) {
  %y = linear @fc(%x) to 3
  yield %y
}
moe.layer @Trunk(%keys) {
  %y = linear @fc(%keys) to 2
  yield %y
}
moe.layer @Mixture(%x) {
  %keys  = param @keys [2, 4] normal(1.0)
  %theta = hyper @hyper(%keys) trunk @Trunk for @Expert
  %gate  = route @gate(%x) distance, keys = %keys
  %each  = experts @experts(%x) layer @Expert weights %theta
  %y     = combine %gate, %each
  yield %y
}
moe.model @m(%x: vector[4]) {
  %once  = apply @mix(%x) layer @Mixture
  %again = apply shared @mix(%x) layer @Mixture
  return logits = %once, again = %again
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("main", given);
  EXPECT_EQ(result.outputs["logits"].data, result.outputs["again"].data);
  EXPECT_EQ(given.states.count("mix.hyper.out.fc.weight.weight"), 1u);
}

TEST(Elaborate, FrozenLayerDrawsItsOwnNumbersAgain) {
  Model model(R"(
moe.layer @Drop(%x) {
  %h = linear @fc(%x) to 50 init ones, zeros
  %y = dropout %h, 0.5
  yield %y
}
moe.model @m(%x: vector[4]) {
  %once   = apply @drop(%x) layer @Drop
  %again  = apply frozen @drop(%x) layer @Drop
  %both   = concat %once, %again
  %logits = linear @fc(%both) to 3
  expose @once %once
  expose @again %again
  return logits = %logits
})");
  ASSERT_TRUE(bool(model));
  flow::Bindings given = batch(1, 2);
  flow::Evaluation result = model.run("train", given);
  EXPECT_NE(result.exposed["once"].data, result.exposed["again"].data);
  EXPECT_EQ(model.run("main", given).outputs["logits"].shape, (std::vector<int64_t>{2, 3}));
}
