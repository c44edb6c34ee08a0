// What routing to some experts means: properties that a wrong routing breaks. Small models are elaborated, and their entries
// are run by the evaluator and, where the target's code is what could be wrong, compiled on every target. The oracle is the
// routing written out below, row by row, as Tutel defines it.
#include "runtime/program/Philox.h"
#include "test/unit/TextModel.h"
#include "llvm/ADT/STLExtras.h"
#include <numeric>

using namespace mlir;
using namespace moe;
using namespace moe::test;
namespace {

using Model = TextModel;

std::vector<double> valuesOf(const flow::Evaluation &result, const std::string &name) {
  auto found = result.outputs.find(name);
  if (found == result.outputs.end()) {
    ADD_FAILURE() << "expected an output '" << name << "'";
    return {};
  }
  return {found->second.data.begin(), found->second.data.end()};
}

/// A routing as Tutel defines it, of the logits of rows.
struct Routed {
  std::vector<std::vector<int64_t>> chosen; // of each row, best first
  std::vector<std::vector<double>> gates;   // normalised where there are several
  std::vector<std::vector<bool>> kept;
};
Routed routed(const std::vector<std::vector<double>> &logits, size_t top, int64_t capacity,
              bool prioritized) {
  const size_t rows = logits.size(), experts = logits[0].size();
  Routed r{std::vector(rows, std::vector<int64_t>(top)), std::vector(rows, std::vector<double>(top)),
           std::vector(rows, std::vector<bool>(top))};
  std::vector<double> largest(rows);
  for (size_t row = 0; row < rows; ++row) {
    std::vector<double> p(experts);
    double sum = 0, most = *std::max_element(logits[row].begin(), logits[row].end());
    for (size_t e = 0; e < experts; ++e)
      sum += p[e] = std::exp(logits[row][e] - most);
    std::vector<int64_t> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return std::pair(-p[size_t(a)], a) < std::pair(-p[size_t(b)], b);
    });
    double chosenSum = 0;
    for (size_t j = 0; j < top; ++j) {
      r.chosen[row][j] = order[j];
      chosenSum += r.gates[row][j] = p[size_t(order[j])] / sum;
    }
    largest[row] = r.gates[row][0];
    if (top > 1)
      for (double &gate : r.gates[row])
        gate /= chosenSum;
  }
  std::vector<size_t> order(rows);
  std::iota(order.begin(), order.end(), size_t(0));
  if (prioritized)
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return std::pair(-largest[a], a) < std::pair(-largest[b], b); });
  std::vector<int64_t> used(experts);
  for (size_t j = 0; j < top; ++j)
    for (size_t row : order)
      r.kept[row][j] = used[size_t(r.chosen[row][j])]++ < capacity;
  return r;
}

/// Rows of logits are the inputs themselves, and expert e gives 10^e whatever it gets: so the result says which experts a row
/// had, and by which gates.
std::string tellingText(int64_t experts, const std::string &route) {
  const std::string n = std::to_string(experts);
  return R"(
moe.layer @Expert(%x) {
  %y = linear @fc(%x) to 1
  yield %y
}
moe.model @m(%x: vector[)" +
         n + R"(]) {
  %route  = route @gate(%x) linear, experts = )" +
         n + ", " + route + R"(
  %sent   = dispatch %route, %x
  %done   = experts @experts(%sent) layer @Expert
  %mixed  = combine %route, %done
  expose @mixed %mixed
  %logits = linear @head(%mixed) to 3
  return logits = %logits
})";
}
Model telling(int64_t experts, const std::string &route, const std::vector<std::vector<double>> &logits) {
  Model model(tellingText(experts, route), int64_t(logits.size()));
  std::vector<double> flat, identity, zeros(size_t(experts * experts)), powers;
  for (const std::vector<double> &row : logits)
    flat.insert(flat.end(), row.begin(), row.end());
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t i = 0; i < experts; ++i)
      identity.push_back(e == i);
    powers.push_back(std::pow(10.0, double(e)));
  }
  model.input("x", {int64_t(logits.size()), experts}, flat);
  model.state("gate.weight", {experts, experts}, identity);
  model.state("experts.fc.weight", {experts, 1, experts}, zeros);
  model.state("experts.fc.bias", {experts, 1}, powers);
  return model;
}
double told(const Routed &r, size_t row) {
  double sum = 0;
  for (size_t j = 0; j < r.chosen[row].size(); ++j)
    sum += r.kept[row][j] ? r.gates[row][j] * std::pow(10.0, double(r.chosen[row][j])) : 0;
  return sum;
}

std::vector<std::vector<double>> randomLogits(size_t rows, size_t experts, uint64_t seed, bool ties = false) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<double>> logits(rows, std::vector<double>(experts));
  for (auto &row : logits)
    for (double &x : row)
      x = ties ? double(random() % 3) * 0.5 : double(float(double(random() >> 11) * 0x1p-51 - 2));
  return logits;
}

/// Tokens of 4 features through a router and experts with a hidden layer.
struct Words {
  std::string route = "linear, experts = 3, top = 2", aux = "", experts = "", body = "dispatched",
              dropout = "0.0", path = "0.0";
};
std::string tokensText(const Words &words) {
  const bool every = words.body == "every";
  return R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %k = dropout %a, )" +
         words.dropout + R"(
  %y = linear @fc2(%k) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) )" +
         words.route + (every ? "" : "\n  %sent   = dispatch %route, %t") +
         "\n  %done   = experts @experts(" + (every ? "%t" : "%sent") + ") layer @Mlp " + words.experts + R"(
  %mixed  = combine %route, %done
  )" + words.aux +
         R"(
  %both   = residual %t, %mixed drop_path = )" +
         words.path + R"(
  expose @both %both
  expose @gates %route
  %flat   = reshape %both to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})";
}

} // namespace

// Which pairs an expert has room for, by the number of rows that it takes.
TEST(Routing, capacitiesOfBatches) {
  struct Limit {
    const char *factor;
    int64_t experts, rows, capacity;
  };
  for (Limit limit : {Limit{"0.7", 4, 40, 7}, Limit{"1.15", 4, 80, 23}, Limit{"-0.7", 4, 40, 7},
                      Limit{"0.7", 4, 39, 7}, Limit{"0.7", 4, 5, 1}, Limit{"0.29", 1, 100, 28},
                      Limit{"0.5", 4, 3, 0}, Limit{"3.0", 2, 7, 12}, Limit{"0.7, alignment = 4", 4, 40, 8}}) {
    // Everybody chooses the last expert.
    std::vector<std::vector<double>> logits(size_t(limit.rows),
                                            std::vector<double>(size_t(limit.experts), 0));
    for (auto &row : logits)
      row.back() = 40;
    Model model = telling(limit.experts, std::string("top = 1, capacity = ") + limit.factor, logits);
    const double each = std::pow(10.0, double(limit.experts - 1));
    for (auto &[entry, taken] : {std::pair<std::string, int64_t>{"main", limit.rows},
                                 {"as_trained", std::min(limit.capacity, limit.rows)}})
      for (auto &[where, result] : model.everywhere(entry, StringRef(limit.factor) == "1.15")) {
        std::vector<double> mixed = valuesOf(result, "mixed");
        for (int64_t row = 0; row < limit.rows; ++row)
          EXPECT_NEAR(mixed[size_t(row)], row < taken ? each : 0, 1e-3)
              << where << ", " << entry << ": row " << row << " of " << limit.rows << ", factor "
              << limit.factor;
      }
    const double dropped = valuesOf(model.evaluate("train"), "dropped.gate")[0];
    EXPECT_NEAR(dropped, double(std::max<int64_t>(0, limit.rows - limit.capacity)) / double(limit.rows),
                1e-12);
  }
}

// All first choices come before second ones, however weak; what is dropped leaves the other gate as it was.
TEST(Routing, placesByHand) {
  // A share of one row and two choices: an expert takes two.
  const std::vector<std::vector<double>> logits = {
      {2.0, 1.9, -9, -9},  // expert 0 strongly, and expert 1 nearly as strongly
      {-9, 0.1, 0.0, -9},  // expert 1 weakly
      {-9, 0.3, 0.2, -9},  // expert 1
      {0.0, 0.5, -9, -9}}; // expert 1: without priority it comes too late
  for (bool prioritized : {false, true}) {
    Model model =
        telling(4, std::string("top = 2, capacity = 1.0") + (prioritized ? ", prioritized" : ""), logits);
    const Routed r = routed(logits, 2, 2, prioritized);
    // By hand: of the three rows whose first choice is expert 1, two have room, and so no second choice does.
    const std::vector<std::vector<bool>> kept =
        prioritized ? std::vector<std::vector<bool>>{{1, 0}, {0, 1}, {1, 1}, {1, 1}}
                    : std::vector<std::vector<bool>>{{1, 0}, {1, 1}, {1, 1}, {0, 1}};
    EXPECT_EQ(r.kept, kept);
    for (auto &[where, result] : model.everywhere("as_trained", prioritized)) {
      std::vector<double> mixed = valuesOf(result, "mixed");
      const double gate = 1 / (1 + std::exp(-0.1)); // of expert 0 alone, by its share of both
      EXPECT_NEAR(mixed[0], gate, 1e-5) << where;
      for (size_t row = 0; row < 4; ++row)
        EXPECT_NEAR(mixed[row], told(r, row), 1e-4)
            << where << ", row " << row << ", prioritized " << prioritized;
    }
  }
}

TEST(Routing, placesOfRandomRows) {
  for (bool ties : {false, true})
    for (size_t top : {1, 2, 3})
      for (bool prioritized : {false, true}) {
        const auto logits = randomLogits(50, 4, 11 * top + ties, ties);
        const int64_t capacity = int64_t(top) * int64_t(0.8 * 13);
        Model model = telling(
            4, "top = " + std::to_string(top) + ", capacity = 0.8" + (prioritized ? ", prioritized" : ""),
            logits);
        const Routed r = routed(logits, top, capacity, prioritized),
                     all = routed(logits, top, 1000, prioritized);
        for (auto &[entry, right] : {std::pair<std::string, const Routed &>{"as_trained", r}, {"main", all}})
          for (auto &[where, result] : model.everywhere(entry, ties && top == 2)) {
            std::vector<double> mixed = valuesOf(result, "mixed");
            for (size_t row = 0; row < logits.size(); ++row)
              ASSERT_NEAR(mixed[row], told(right, row), 2e-4)
                  << where << ", " << entry << ": row " << row << ", top " << top << ", prioritized "
                  << prioritized << ", ties " << ties;
          }
      }
}

// Gates that are equal in 32 bits do not hide which score is larger.
TEST(Routing, scoresWhoseGatesAreEqualInFloat) {
  struct {
    const char *route;
    std::vector<double> logits, counts;
  } cases[] = {{"top = 1, sigmoid", {20, 40, 30}, {0, 1, 0}}, {"top = 2", {0, -150, -120}, {1, 0, 1}}};
  for (auto &[route, logits, counts] : cases) {
    Model model = telling(3, route, {logits});
    for (auto &[where, result] : model.everywhere("main"))
      EXPECT_EQ(valuesOf(result, "chosen.gate"), counts) << where << ", " << route;
  }
  // Of three rows that choose expert 0, which takes two, the first is dropped.
  Model model = telling(2, "top = 1, sigmoid, prioritized, capacity = 1.0", {{20, 0}, {40, 0}, {30, 0}});
  for (auto &[where, result] : model.everywhere("as_trained"))
    EXPECT_LT(distance(std::vector<double>{0, 1, 1}, valuesOf(result, "mixed")), 1e-6) << where;
}

// In training, noise is part of the scores: of the choice, the gates and the priority alike.
TEST(Routing, placesOfNoisyRows) {
  for (int top : {1, 2}) {
    auto logits = randomLogits(50, 4, 5);
    Model model =
        telling(4, "capacity = 0.8, noise = 2.0, prioritized, top = " + std::to_string(top), logits);
    const uint32_t stream = moert::philoxStream("route");
    const auto clean = logits;
    for (size_t row = 0; row < 50; ++row)
      for (size_t e = 0; e < 4; ++e)
        logits[row][e] +=
            2.0 / 4 *
            moert::philoxNormal(model.given.setting.seed, stream, model.given.setting.step, row * 4 + e);
    const Routed r = routed(logits, size_t(top), top * 10, true),
                 other = routed(clean, size_t(top), top * 10, true);
    const flow::Evaluation result = model.evaluate("train");
    int differs = 0;
    for (size_t row = 0; row < 50; ++row) {
      EXPECT_NEAR(result.exposed.at("mixed").data[row], told(r, row), 1e-9) << row << ", top " << top;
      differs += std::fabs(told(r, row) - told(other, row)) > 1;
    }
    EXPECT_GT(differs, 5);
    // What is dropped is seen in the gradient of the experts' biases, which compiled code gives.
    const std::vector<double> right = valuesOf(model.evaluate("gradients"), "grad.experts.fc.bias");
    if (top == 1)
      for (const std::string &target : testTargets())
        EXPECT_LE(distance(right, valuesOf(model.compiled("gradients", target), "grad.experts.fc.bias")),
                  1e-5)
            << target;
  }
}

// Every expert, nothing dropped, gates as they are: as if each expert were applied to every token.
TEST(Routing, allExpertsAreTheSameAsEvery) {
  Model some(tokensText({.route = "linear, experts = 3, top = 3, unnormalized", .dropout = "0.3"}));
  Model every(tokensText(
      {.route = "linear, experts = 3", .experts = "count = 3", .body = "every", .dropout = "0.3"}));
  ASSERT_TRUE(some && every);
  every.bind("gradients");
  some.given = every.given;
  const flow::Evaluation right = every.evaluate("gradients");
  EXPECT_GE(right.outputs.size(), 9u);
  for (auto &[where, result] : some.everywhere("gradients"))
    for (auto &[name, value] : right.outputs)
      if (!StringRef(name).starts_with("gate_balance")) {
        ASSERT_TRUE(result.outputs.count(name)) << name;
        EXPECT_LE(distance(value, result.outputs.at(name)), where == "evaluator" ? 1e-12 : 1e-5)
            << where << ", " << name;
      }
  for (auto &[where, result] : every.everywhere("gradients"))
    for (auto &[name, value] : right.outputs)
      EXPECT_LE(distance(value, result.outputs.at(name)), where == "evaluator" ? 0 : 1e-5)
          << where << ", " << name;
}

// The same of experts of two sizes, whose masks follow the number of an expert among those of its layer.
TEST(Routing, expertsOfTwoSizesAreTheSameAsEvery) {
  auto text = [](bool every) {
    return std::string(R"(
moe.layer @Mlp<hidden>(%x) {
  %h = linear @fc1(%x) to hidden
  %a = gelu %h
  %k = dropout %a, 0.3
  %y = linear @fc2(%k) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3)") +
           (every ? "" : ", top = 3, unnormalized\n  %sent = dispatch %route, %t") +
           "\n  %done = experts @experts(" + (every ? "%t" : "%sent") + R"() layers [@Mlp<5>, 2 * @Mlp<3>]
  %mixed  = combine %route, %done
  expose @mixed %mixed
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})";
  };
  Model some(text(false)), every(text(true));
  ASSERT_TRUE(some && every);
  every.bind("gradients");
  some.given = every.given;
  const flow::Evaluation right = every.evaluate("gradients");
  EXPECT_TRUE(right.outputs.count("grad.experts.1.fc1.weight"));
  for (auto &[where, result] : some.everywhere("gradients"))
    for (auto &[name, value] : right.outputs)
      if (!StringRef(name).starts_with("gate_balance")) {
        ASSERT_TRUE(result.outputs.count(name)) << name;
        EXPECT_LE(distance(value, result.outputs.at(name)), where == "evaluator" ? 1e-12 : 1e-5)
            << where << ", " << name;
      }
}

// Equal experts are one layer: with two choices whose gates sum to 1, that layer; with one, that layer times its gate.
TEST(Routing, equalExpertsAreOneLayer) {
  const std::string head = R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %y = linear @fc2(%a) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
)",
                    tail = R"(
  expose @both %mixed
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})";
  Model dense(head + "  %mixed = apply @experts(%t) layer @Mlp" + tail);
  dense.bind("gradients");
  for (int top : {1, 2}) {
    Model some(head + "  %route = route @gate(%t) linear, experts = 3, top = " + std::to_string(top) + R"(
  %sent  = dispatch %route, %t
  %done  = experts @experts(%sent) layer @Mlp
  %mixed = combine %route, %done
  expose @gates %route)" +
               tail);
    ASSERT_TRUE(some && dense);
    some.given = dense.given;
    for (auto &[path, value] : dense.given.states)
      if (StringRef(path).starts_with("experts.")) {
        Array three = value;
        three.shape.insert(three.shape.begin(), 3);
        three.data.insert(three.data.end(), value.data.begin(), value.data.end());
        three.data.insert(three.data.end(), value.data.begin(), value.data.end());
        some.given.states[path] = three;
      }
    const flow::Evaluation plain = dense.evaluate("main"), change = dense.evaluate("gradients");
    for (auto &[where, result] : some.everywhere("main", top == 2)) {
      std::vector<double> right = valuesOf(plain, "both"), gates = valuesOf(result, "gates");
      if (top == 1)
        for (size_t i = 0; i < right.size(); ++i)
          right[i] *= gates[i / 4 * 2 + 1]; // of each row's one choice, the expert and the gate
      EXPECT_LE(distance(right, valuesOf(result, "both")), where == "evaluator" ? 1e-12 : 1e-5)
          << where << ", top " << top;
    }
    if (top == 1)
      continue;
    // Each expert has the gradient of its rows: their sum is the layer's. The router has none.
    for (auto &[where, result] : some.everywhere("gradients"))
      for (auto &[name, value] : change.outputs) {
        if (!StringRef(name).starts_with("grad.experts."))
          continue;
        std::vector<double> found = valuesOf(result, name), sum(found.size() / 3);
        for (size_t i = 0; i < found.size(); ++i)
          sum[i % sum.size()] += found[i];
        EXPECT_LE(distance(ArrayRef(value.data.data(), value.data.size()), sum),
                  where == "evaluator" ? 1e-12 : 1e-5)
            << where << ", " << name;
        for (double slope : valuesOf(result, "grad.gate.weight"))
          EXPECT_NEAR(slope, 0, 1e-6) << where;
      }
  }
}

// A sample whose branch is dropped has been routed all the same: it keeps its places, and counts in the losses.
TEST(Routing, dropPathLeavesTheRouting) {
  auto text = [](const std::string &path) {
    return tokensText({.route = "linear, experts = 3, top = 2, capacity = 0.7, noise = 1.0, prioritized",
                       .aux = "aux @balance importance_load %route, 1.0",
                       .path = path});
  };
  Model with(text("0.9")), without(text("0.0"));
  ASSERT_TRUE(with && without);
  without.bind("train");
  with.given = without.given;
  const flow::Evaluation a = with.evaluate("train"), b = without.evaluate("train");
  for (const char *name : {"loss.balance", "gate_balance.gate", "dropped.gate"})
    EXPECT_EQ(valuesOf(a, name), valuesOf(b, name)) << name;
  EXPECT_NE(valuesOf(a, "loss.erm"), valuesOf(b, "loss.erm"));
  EXPECT_GT(valuesOf(b, "dropped.gate")[0], 0);
}

// The losses as Tutel computes them, written out: which scores are with noise, what is compared with which threshold.
TEST(Routing, lossesByHand) {
  const int64_t experts = 4, rows = 20;
  const double sigma = 2.0 / double(experts);
  for (int64_t top : {1, 2}) {
    const auto clean = randomLogits(size_t(rows), size_t(experts), 3);
    Model model = telling(experts, "capacity = 0.5, noise = 2.0, top = " + std::to_string(top) + R"(
  aux @load importance_load %route, 0.5
  aux @corrected importance_load %route, corrected, 0.5
  aux @gshard gshard %route, 0.5
  aux @z z_loss %route, 0.5)",
                          clean);
    auto noisy = clean;
    const flow::Setting &setting = model.given.setting;
    for (size_t i = 0; i < size_t(rows * experts); ++i)
      noisy[i / size_t(experts)][i % size_t(experts)] +=
          sigma * moert::philoxNormal(setting.seed, moert::philoxStream("route"), setting.step, i);
    auto softmax = [](std::vector<double> row) {
      double sum = 0;
      for (double &x : row)
        sum += x = std::exp(x);
      for (double &x : row)
        x /= sum;
      return row;
    };
    const Routed r = routed(noisy, size_t(top), 1000, false);
    std::vector<double> importance(experts), load(experts), corrected(experts), scores(experts),
        first(experts);
    double squares = 0;
    for (size_t row = 0; row < size_t(rows); ++row) {
      const std::vector<double> gates = softmax(clean[row]), noisyGates = softmax(noisy[row]);
      const double threshold = noisy[row][size_t(r.chosen[row].back())];
      double sum = 0;
      for (size_t e = 0; e < size_t(experts); ++e) {
        importance[e] += gates[e];
        load[e] += std::erfc((threshold - gates[e]) / sigma / std::sqrt(2.0)) / 2;
        corrected[e] += std::erfc((threshold - clean[row][e]) / sigma / std::sqrt(2.0)) / 2;
        scores[e] += noisyGates[e];
        sum += std::exp(clean[row][e]);
      }
      first[size_t(r.chosen[row][0])] += 1;
      squares += std::pow(std::log(sum), 2) / double(rows);
    }
    auto variation = [&](const std::vector<double> &x) {
      double mean = std::accumulate(x.begin(), x.end(), 0.0) / double(experts), all = 0;
      for (double each : x)
        all += (each - mean) * (each - mean) / double(experts - 1);
      return all / (mean * mean + 1e-10);
    };
    const flow::Evaluation result = model.evaluate("train");
    EXPECT_NEAR(valuesOf(result, "loss.load")[0], 0.25 * (variation(importance) + variation(load)), 1e-9)
        << top;
    EXPECT_NEAR(valuesOf(result, "loss.corrected")[0], 0.25 * (variation(importance) + variation(corrected)),
                1e-9)
        << top;
    EXPECT_NEAR(valuesOf(result, "loss.gshard")[0],
                0.5 * double(experts) / double(rows * rows) *
                    std::inner_product(scores.begin(), scores.end(), first.begin(), 0.0),
                1e-9)
        << top;
    EXPECT_NEAR(valuesOf(result, "loss.z")[0], 0.5 * squares, 1e-9) << top;
  }
}

// Every gradient of the evaluator's, that of the losses' thresholds among them.
TEST(Routing, gradientsAgreeWithCentralDifferences) {
  const Words all[] = {
      {.route = "linear, experts = 3, top = 1, noise = 1.0",
       .aux = "aux @balance importance_load %route, 0.7"},
      {.route = "linear, experts = 3, top = 2, noise = 1.0, capacity = 0.7, prioritized",
       .aux = "aux @balance importance_load %route, 0.7"},
      {.route = "cosine, experts = 3, proj = 3, top = 2, noise = 1.0, capacity = 0.7",
       .aux = "aux @balance importance_load %route, corrected, 0.7"},
      {.route = "linear, experts = 3, top = 2, unnormalized, prescore, capacity = 0.7",
       .aux = "aux @balance gshard %route, 0.7"},
      {.route = "linear, experts = 3, top = 2, sigmoid, capacity = 0.7",
       .aux = "aux @z z_loss %route, 0.1",
       .dropout = "0.3"},
      {.route = "cosine, experts = 3, proj = 3",
       .aux = "aux @z z_loss %route, 0.1",
       .experts = "count = 3",
       .body = "every"},
  };
  for (const Words &words : all) {
    Model model(tokensText(words));
    ASSERT_TRUE(bool(model));
    const flow::Evaluation result = model.evaluate("gradients");
    for (auto &[name, gradient] : result.outputs) {
      if (!StringRef(name).starts_with("grad."))
        continue;
      Array &parameter = model.given.states.at(StringRef(name).drop_front(5).str());
      for (size_t i = 0; i < parameter.data.size(); i += 1 + parameter.data.size() / 16) {
        const double kept = parameter.data[i], step = 1e-5;
        double sides[2];
        for (int side : {0, 1}) {
          parameter.data[i] = kept + (side ? step : -step);
          sides[side] = model.evaluate("gradients").outputs.at("loss").data[0];
        }
        parameter.data[i] = kept;
        const double slope = (sides[1] - sides[0]) / (2 * step);
        EXPECT_NEAR(gradient.data[i], slope, 1e-6 + 1e-5 * std::fabs(slope))
            << words.route << ": " << name << " " << i;
      }
    }
  }
}

// Nobody chooses expert 2: its gradient is 0, whatever lay in the memory, and Adam's decay shrinks it all the same.
TEST(Routing, anExpertWithoutRowsDecaysAlone) {
  for (const char *capacity : {"", ", capacity = 0.5"}) {
    Model model(tokensText({.route = std::string("linear, experts = 3, top = 1") + capacity}), 4, "adam");
    ASSERT_TRUE(bool(model));
    model.given.scalars = {{"optimizer.lr", 0.125}, {"optimizer.weight_decay", 0.5}};
    model.input("x", {4, 12}, std::vector<double>(48, 1.0));
    model.bind("train");
    for (size_t i = 0; i < 48; ++i)
      model.given.inputs["x"].data[i] = double(float(0.5 + 0.01 * double(i)));
    model.state("gate.weight", {3, 4}, {1, 1, 1, 1, 1, 1, -1, 2, -2, -2, -2, -2});
    for (auto &[path, value] : model.given.states) // the optimizer begins
      if (StringRef(path).starts_with("adam"))
        std::fill(value.data.begin(), value.data.end(), 0);
    for (auto &[where, result] : model.everywhere("gradients", *capacity))
      for (const char *path :
           {"experts.fc1.weight", "experts.fc1.bias", "experts.fc2.weight", "experts.fc2.bias"}) {
        std::vector<double> slopes = valuesOf(result, std::string("grad.") + path);
        const size_t each = slopes.size() / 3;
        for (size_t i = 2 * each; i < 3 * each; ++i)
          EXPECT_EQ(slopes[i], 0) << where << ", " << path;
        EXPECT_TRUE(llvm::any_of(ArrayRef(slopes).take_front(each), [](double slope) { return slope != 0; }))
            << where;
      }
    for (auto &[where, result] : model.everywhere("train", *capacity)) {
      const Array &before = model.given.states.at("experts.fc1.weight"),
                  &after = result.assigned.at("experts.fc1.weight");
      for (size_t i = 40; i < 60; ++i)
        EXPECT_NEAR(after.data[i], before.data[i] - (before.data[i] > 0 ? 0.125 : -0.125), 1e-4) << where;
    }
  }
}

// With priority, the order of the images says nothing.
TEST(Routing, permutedImagesPermuteResults) {
  for (int top : {1, 2}) {
    Model model(tokensText({.route = "cosine, experts = 3, proj = 3, capacity = 0.6, prioritized, top = " +
                                     std::to_string(top)}),
                6);
    ASSERT_TRUE(bool(model));
    const flow::Evaluation first = model.evaluate("as_trained");
    EXPECT_GT(valuesOf(model.evaluate("train"), "dropped.gate")[0], 0.1);
    const size_t order[] = {4, 2, 5, 0, 3, 1};
    const Array before = model.given.inputs.at("x");
    for (size_t i = 0; i < 6; ++i)
      std::copy_n(before.data.begin() + int64_t(order[i] * 12), 12,
                  model.given.inputs["x"].data.begin() + int64_t(i * 12));
    std::vector<double> right, plain = valuesOf(first, "both");
    for (size_t row : order)
      right.insert(right.end(), plain.begin() + int64_t(row * 12), plain.begin() + int64_t(row * 12 + 12));
    for (auto &[where, result] : model.everywhere("as_trained", top == 2))
      EXPECT_LE(distance(right, valuesOf(result, "both")), where == "evaluator" ? 1e-12 : 1e-5)
          << where << ", top " << top;
  }
}

// What is dropped moves the others to other places; the random numbers go with the row.
TEST(Routing, dropoutOfARowStaysWhateverIsDropped) {
  auto text = [](const std::string &capacity) {
    return tokensText({.route = "linear, experts = 3, top = 2, capacity = " + capacity, .dropout = "0.5"});
  };
  Model all(text("0")), some(text("0.5"));
  ASSERT_TRUE(all && some);
  all.bind("train");
  some.given = all.given;
  const flow::Evaluation a = all.evaluate("train"), b = some.evaluate("train");
  const Array &x = a.exposed.at("both"), &y = b.exposed.at("both"), &before = all.given.inputs.at("x"),
              &weight = all.given.states.at("gate.weight");
  std::vector<std::vector<double>> logits;
  for (size_t row = 0; row < 12; ++row)
    for (logits.emplace_back(); logits.back().size() < 3;)
      logits.back().push_back(std::inner_product(before.data.begin() + int64_t(row * 4),
                                                 before.data.begin() + int64_t(row * 4 + 4),
                                                 weight.data.begin() + int64_t(logits.back().size() * 4), 0.0));
  const Routed r = routed(logits, 2, 4, false); // 2 * floor(0.5 * 4)
  int whole = 0, gone = 0;
  for (size_t row = 0; row < 12; ++row) {
    auto equal = [&](const Array &p, const Array &q) {
      return std::equal(p.data.begin() + int64_t(row * 4), p.data.begin() + int64_t(row * 4 + 4),
                        q.data.begin() + int64_t(row * 4));
    };
    const bool first = r.kept[row][0], second = r.kept[row][1];
    EXPECT_EQ(equal(x, y), first && second) << row;
    EXPECT_EQ(equal(y, before), !first && !second) << row;
    whole += first && second;
    gone += !first && !second;
  }
  EXPECT_GE(whole, 2);
  EXPECT_GE(gone, 1);
  // Compiled: only the first row's label is known, so its loss alone is seen.
  all.given.inputs["label"].data.assign(all.given.inputs["label"].data.size(), -1);
  all.given.inputs["label"].data[0] = 1;
  for (const std::string &target : testTargets()) {
    some.given = all.given;
    std::vector<double> wide = valuesOf(all.compiled("gradients", target), "grad.experts.fc2.weight"),
                        right = valuesOf(all.evaluate("gradients"), "grad.experts.fc2.weight");
    EXPECT_LE(distance(right, wide), 1e-5) << target;
    EXPECT_LE(distance(valuesOf(some.evaluate("gradients"), "grad.experts.fc2.weight"),
                       valuesOf(some.compiled("gradients", target), "grad.experts.fc2.weight")),
              1e-5)
        << target;
  }
}

// Each routing's loss has its own weight.
TEST(Routing, lossesOfTwoRoutings) {
  auto text = [](const std::string &first, const std::string &second) {
    return R"(
moe.layer @Mlp(%x) {
  %y = linear @fc(%x) to 4
  yield %y
}
moe.layer @Block<weight: number>(%x) {
  %route = route @gate(%x) cosine, experts = 3, proj = 3, top = 1, noise = 1.0, capacity = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp
  %mixed = combine %route, %done
  aux @balance importance_load %route, weight
  %y     = add %x, %mixed
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %one    = apply @a(%t) layer @Block<)" +
           first + R"(>
  %two    = apply @b(%one) layer @Block<)" +
           second + R"(>
  %flat   = reshape %two to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})";
  };
  Model plain(text("1.0", "1.0")), weighted(text("0.25", "3.0"));
  ASSERT_TRUE(plain && weighted);
  plain.bind("gradients");
  weighted.given = plain.given;
  const flow::Evaluation a = plain.evaluate("gradients"), b = weighted.evaluate("gradients");
  const double one = valuesOf(a, "loss.a.balance")[0], two = valuesOf(a, "loss.b.balance")[0];
  EXPECT_GT(std::fabs(one - two), 1e-3);
  EXPECT_NEAR(valuesOf(b, "loss.a.balance")[0], 0.25 * one, 1e-12);
  EXPECT_NEAR(valuesOf(b, "loss.b.balance")[0], 3 * two, 1e-12);
  EXPECT_NEAR(valuesOf(b, "loss")[0], valuesOf(b, "loss.erm")[0] + 0.25 * one + 3 * two, 1e-12);
  for (auto &[where, result] : weighted.everywhere("gradients"))
    for (auto &[name, value] : b.outputs)
      EXPECT_LE(distance(value, result.outputs.at(name)), 2e-5) << where << ", " << name;
}

// A row of NaN is sent somewhere, and nobody else sees it.
TEST(Routing, rowsOfNanSpoilThemselvesAlone) {
  for (const char *words : {"linear, experts = 3, top = 2, prioritized, capacity = 5.0",
                            "cosine, experts = 3, proj = 3, top = 1, capacity = 5.0"}) {
    Model model(tokensText({.route = words}));
    ASSERT_TRUE(bool(model));
    for (const char *entry : {"main", "as_trained"}) {
      model.bind(entry);
      const Array before = model.given.inputs.at("x");
      const std::vector<double> plain = valuesOf(model.evaluate(entry), "both");
      for (size_t i = 12; i < 24; ++i)
        model.given.inputs["x"].data[i] = NAN;
      for (auto &[where, result] : model.everywhere(entry, StringRef(words).starts_with("linear"))) {
        std::vector<double> found = valuesOf(result, "both");
        for (size_t i = 0; i < found.size(); ++i)
          if (i >= 12 && i < 24)
            EXPECT_TRUE(std::isnan(found[i])) << where << ", " << entry << " " << i;
          else
            EXPECT_NEAR(found[i], plain[i], 1e-4) << where << ", " << entry << " " << i;
      }
      model.given.inputs["x"] = before;
    }
  }
}

// The entry that drops rows as training does has no noise.
TEST(Routing, inferenceHasNoNoise) {
  Model model(tokensText({.route = "linear, experts = 3, top = 2, noise = 3.0, capacity = 0.7",
                          .dropout = "0.5",
                          .path = "0.5"}));
  ASSERT_TRUE(bool(model));
  for (const char *entry : {"main", "as_trained"}) {
    const std::vector<double> first = valuesOf(model.evaluate(entry), "both");
    model.given.setting.seed += 1;
    EXPECT_EQ(valuesOf(model.evaluate(entry), "both"), first) << entry;
  }
  const auto first = model.evaluate("train").exposed.at("both").data;
  model.given.setting.seed += 1;
  EXPECT_NE(model.evaluate("train").exposed.at("both").data, first);
}
