// The ops that routing is made of, compiled, where they could be wrong without being seen in random cases: capacities whose
// products are just above or below a whole number, and orders of zeros of both signs, subnormal numbers, infinities, NaN and
// equal numbers. The oracles are tables and sorts written here.
#include "dialects/flow/Build.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>

using namespace mlir;
using namespace moe::test;
using flow::Array;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double largest = std::numeric_limits<float>::max(), subnormal = 0x1p-149, smallest = 0x1p-126;

struct Program : FlowCase {
  OpBuilder b = atEnd();
  Location l = b.getUnknownLoc();
  Value add(StringRef name, const std::vector<double> &values, ArrayRef<int64_t> shape, Type element = {}) {
    Array array{shape};
    array.data.assign(values.begin(), values.end());
    SmallVector<flow::Extent> extents;
    for (int64_t size : shape)
      extents.push_back(flow::Extent::constant(&context(), size));
    bindings.inputs[name.str()] = std::move(array);
    return flow::InputOp::create(b, l, flow::tensorType(extents, element ? element : b.getF32Type()), name);
  }
  void out(StringRef name, Value value) { flow::OutputOp::create(b, l, name, value); }
  /// What compiled code gives on every target, and the evaluator.
  std::vector<std::pair<std::string, flow::Evaluation>>
  runEverywhere(const std::vector<std::string> &targets = testTargets()) {
    std::vector<std::pair<std::string, flow::Evaluation>> all;
    for (const std::string &target : targets) {
      OwningOpRef<ModuleOp> copy(module->clone());
      if (auto result = runCompiled(*copy, "main", bindings, {target}))
        all.emplace_back(target, std::move(*result));
    }
    all.emplace_back("evaluator", evaluate());
    EXPECT_EQ(all.size(), targets.size() + 1);
    return all;
  }
  /// Compiled code on every target against the evaluator, where sums are short and of numbers of about 1.
  void compareEverywhere() {
    auto all = runEverywhere();
    for (auto &[name, want] : all.back().second.outputs)
      for (auto &[target, got] : all) {
        const Array &found = got.outputs.at(name);
        ASSERT_GT(want.size(), 0);
        ASSERT_EQ(found.size(), want.size()) << name << " on " << target;
        for (int64_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(found.data[i], want.data[i], 1e-5) << name << " on " << target << ", element " << i;
      }
  }
};

/// Numbers of about 1, in no order.
std::vector<double> someNumbers(ArrayRef<int64_t> shape, int64_t step = 7) {
  std::vector<double> values(
      std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<int64_t>()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = double(int64_t(i) * step % 11) / 4 - 1;
  return values;
}

std::vector<double> asVector(const Array &array) { return {array.data.begin(), array.data.end()}; }

/// Numbers at edges, most of them several times.
std::vector<double> edges() {
  std::vector<double> all = {
      0.0,      -0.0,      notANumber, 1.0,           -1.0, infinity,      -infinity, subnormal,  -subnormal,
      smallest, -smallest, largest,    -largest,      0.0,  -0.0,          1.0,       notANumber, -infinity,
      1e-42,    -1e-42,    infinity,   1.0 + 0x1p-23, -1.0, 1.0 - 0x1p-24, subnormal, 0.5};
  for (double &x : all)
    x = double(float(x));
  all.push_back(double(std::copysign(std::numeric_limits<float>::quiet_NaN(), -1.0f)));
  return all;
}

/// In descending order; equal numbers, zeros of both signs among them, keep their order, and NaN comes last.
std::vector<double> sorted(const std::vector<double> &x) {
  std::vector<double> order(x.size());
  std::iota(order.begin(), order.end(), 0.0);
  std::sort(order.begin(), order.end(), [&](double i, double j) {
    const double a = x[size_t(i)], b = x[size_t(j)];
    if (std::isnan(a) || std::isnan(b))
      return std::pair(std::isnan(a), i) < std::pair(std::isnan(b), j);
    return a != b ? a > b : i < j;
  });
  return order;
}
std::vector<double> inverse(const std::vector<double> &order) {
  std::vector<double> ranks(order.size());
  for (size_t rank = 0; rank < order.size(); ++rank)
    ranks[size_t(order[rank])] = double(rank);
  return ranks;
}

} // namespace

// Computed in double: 0.29 * 100 is below 29 there, and 0.7 * 10 is 7; in f32 it would be otherwise.
TEST(RoutingOps, capacities) {
  struct Limit {
    int64_t rows, experts, top;
    double factor;
    int64_t alignment, capacity;
  };
  const std::vector<Limit> limits = {
      {18912, 6, 1, 1.5, 1, 4728}, // 96 images of 197 tokens
      {31520, 6, 1, 1.5, 1, 7881}, // 160 images
      {12608, 6, 1, 1.5, 1, 3153}, // 64 images: a share of 2102 rows
      {40, 4, 1, 0.7, 1, 7},       // 0.7 * 10 is 7
      {80, 4, 1, 1.15, 1, 23},     // 1.15 * 20 is 23
      {100, 1, 1, 0.29, 1, 28},    // 0.29 * 100 is 28.999999999999996
      {100, 1, 1, 0.57, 1, 56},    // 0.57 * 100 is 56.99999999999999
      {30, 3, 1, 1.1, 1, 11},      // 1.1 * 10 is 11.000000000000002
      {9, 4, 2, 1.25, 1, 6},       // the share is rounded up, the product down, and then it is doubled
      {9, 4, 3, 1.0, 1, 9},
      {40, 4, 1, -0.7, 1, 7}, // a negative factor is the same
      {9, 4, 2, -1.25, 4, 8},
      {1, 64, 1, 0.5, 1, 0}, // nothing fits
      {1, 64, 1, 1.0, 1, 1}, // more experts than rows
      {5, 4, 1, 1.25, 1, 2}, // a short last batch
      {1, 1, 1, 1.0, 1, 1},
      {12608, 6, 1, 1.5, 8, 3160},
      {12608, 6, 1, 1.5, 128, 3200},
      {1, 64, 1, 0.5, 128, 0},        // a multiple of the alignment already
      {100, 2, 2, 1e9, 1, INT32_MAX}, // no more than what i32 holds
      {100, 2, 2, 1e9, 128, INT32_MAX - 127},
      {INT32_MAX, 1, 1, 1.0, 1, INT32_MAX},
      {INT32_MAX, 2, 1, 1.0, 1, 1 << 30},
      {16777217, 1, 1, 1.0, 1, 16777217}, // no f32 number
  };
  Program p;
  for (auto [i, limit] : llvm::enumerate(limits)) {
    Value rows =
        p.add("rows" + std::to_string(i), {double(limit.rows), 1, double(limit.rows)}, {3}, p.b.getI32Type());
    p.out("y" + std::to_string(i), flow::CapacityOp::create(p.b, p.l, rows, limit.experts, limit.top,
                                                            APFloat(limit.factor), limit.alignment));
  }
  for (auto &[where, result] : p.runEverywhere())
    for (auto [i, limit] : llvm::enumerate(limits)) {
      const Array &y = result.outputs.at("y" + std::to_string(i));
      EXPECT_EQ(y.data[0], double(limit.capacity))
          << where << ": " << limit.rows << " rows, " << limit.experts << " experts, " << limit.top
          << " choices, " << limit.factor << ", alignment " << limit.alignment;
      EXPECT_EQ(y.data[2], double(limit.capacity)) << where;
    }
}

// The number that is cut into digits falls as x rises.
TEST(RoutingOps, digitsSortNumbersInDescendingOrder) {
  const std::vector<double> x = edges();
  Program p;
  Value in = p.add("x", x, {int64_t(x.size())});
  const std::pair<int64_t, int64_t> digits[] = {{0, 11}, {11, 11}, {22, 10}, {1, 31}, {31, 1}};
  for (auto [shift, bits] : digits)
    p.out("d" + std::to_string(shift), flow::radixDigit(p.b, p.l, in, shift, bits));
  for (auto &[where, result] : p.runEverywhere()) {
    auto digit = [&](int64_t shift, size_t i) {
      return uint64_t(result.outputs.at("d" + std::to_string(shift)).data[i]);
    };
    std::vector<uint64_t> number(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      number[i] = digit(0, i) | digit(11, i) << 11 | digit(22, i) << 22;
      EXPECT_LT(number[i], uint64_t(1) << 32) << where;
      EXPECT_EQ(digit(1, i), number[i] >> 1) << where << " of " << x[i];
      EXPECT_EQ(digit(31, i), number[i] >> 31) << where << " of " << x[i];
    }
    for (size_t i = 0; i < x.size(); ++i)
      for (size_t j = 0; j < x.size(); ++j) {
        const bool before = std::isnan(x[j]) ? !std::isnan(x[i]) : x[i] > x[j];
        EXPECT_EQ(number[i] < number[j], before) << where << " of " << x[i] << " and " << x[j];
      }
  }
}

TEST(RoutingOps, ranksAndLargestOfEdgesAndTies) {
  const std::vector<double> values = edges();
  std::mt19937_64 random(1);
  // Rows of any of these numbers; of NaN alone, of -inf and NaN, of one number alone.
  for (int64_t m : {1, 2, 3, 6, 8}) {
    const int64_t n = 40;
    std::vector<double> x(n * m);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < m; ++j)
        x[i * m + j] = i == 0   ? notANumber
                       : i == 1 ? (j % 2 ? -infinity : notANumber)
                       : i == 2 ? 0.25
                       : i == 3 ? (j % 2 ? 0.0 : -0.0)
                       : i < 20 ? values[random() % values.size()]
                                : values[random() % 5]; // few numbers, so that there are ties
    std::vector<double> turned(n * m);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < m; ++j)
        turned[j * n + i] = x[i * m + j];
    Program p;
    Value in = p.add("x", x, {n, m}), columns = p.add("columns", turned, {m, n});
    p.out("rank", flow::rank(p.b, p.l, in, 1));
    p.out("along columns", flow::rank(p.b, p.l, columns, 0));
    for (int64_t k = 1; k <= m; ++k)
      p.out("top" + std::to_string(k), flow::topK(p.b, p.l, in, k));
    for (auto &[where, result] : p.runEverywhere())
      for (int64_t i = 0; i < n; ++i) {
        const std::vector<double> order = sorted({x.begin() + i * m, x.begin() + (i + 1) * m}),
                                  ranks = inverse(order);
        for (int64_t j = 0; j < m; ++j) {
          EXPECT_EQ(result.outputs.at("rank").data[i * m + j], ranks[j])
              << where << ", row " << i << " of " << m;
          EXPECT_EQ(result.outputs.at("along columns").data[j * n + i], ranks[j])
              << where << ", column " << i;
        }
        for (int64_t k = 1; k <= m; ++k)
          for (int64_t j = 0; j < k; ++j)
            EXPECT_EQ(result.outputs.at("top" + std::to_string(k)).data[i * k + j], order[j])
                << where << ", place " << j << " of the " << k << " largest of row " << i << " of " << m;
      }
  }
}

TEST(RoutingOps, sortsOfAnyLength) {
  const std::vector<double> few = edges();
  std::mt19937_64 random(2);
  for (int64_t n : {1, 2, 257, 3000, 100000})
    for (const char *kind : {"edges", "random", "rising", "equal", "NaN"}) {
      if (n >= 3000 && kind != StringRef("edges") && kind != StringRef("random"))
        continue;
      std::vector<double> x(n);
      for (int64_t i = 0; i < n; ++i)
        x[i] = kind == StringRef("edges")    ? few[random() % few.size()]
               : kind == StringRef("random") ? double(float(double(int64_t(random())) * 0x1p-63))
               : kind == StringRef("rising") ? double(i - n / 2)
               : kind == StringRef("equal")  ? 0.125
                                             : notANumber;
      Program p;
      auto [order, ranks] = flow::argsort(p.b, p.l, p.add("x", x, {n}));
      p.out("order", order);
      p.out("ranks", ranks);
      std::vector<std::string> targets = testTargets();
      if (n > 3000 || (n > 1000 && kind == StringRef("random"))) // an emulated GPU would take minutes
        llvm::erase_if(targets,
                       [](const std::string &target) { return StringRef(target).starts_with("emulator"); });
      const std::vector<double> right = sorted(x);
      for (auto &[where, result] : p.runEverywhere(targets)) {
        EXPECT_EQ(asVector(result.outputs.at("order")), right) << where << ", " << n << " of " << kind;
        EXPECT_EQ(asVector(result.outputs.at("ranks")), inverse(right))
            << where << ", " << n << " of " << kind;
      }
    }
}

// Both operands of a grouped product may be gathered: a kernel that reads rows by an index does so for one of them.
TEST(RoutingOps, productsOfGatheredRows) {
  constexpr int64_t rows = 11, table = 7, inner = 6, columns = 9, groups = 3;
  Program p;
  Value x = p.add("x", someNumbers({table, inner}, 5), {table, inner});
  Value y = p.add("y", someNumbers({table, columns}), {table, columns});
  Value first = p.add("first", {3, 0, 6, -1, 2, 2, 5, 1, 7, 4, 0}, {rows}, p.b.getI32Type());
  Value second = p.add("second", {1, 6, 0, 3, -1, 4, 4, 2, 5, 9, 6}, {rows}, p.b.getI32Type());
  Value offsets = p.add("offsets", {0, 4, 4, 10}, {groups + 1}, p.b.getI32Type());
  auto product = [&](StringRef name, Value a, Value b) {
    p.out(name, flow::groupedContract(p.b, p.l, a, {0, 1}, b, {0, 3}, offsets, {2, 1, 3}, 0, 2));
  };
  Value left = flow::gather(p.b, p.l, x, first), right = flow::gather(p.b, p.l, y, second);
  product("both", left, right);
  product("same", left, left);
  p.compareEverywhere();
}

// Random numbers that the epilogue of a grouped product draws are those that the evaluator draws, wherever a row's vectors begin: at
// multiples of 4, elsewhere, and where the rows have no columns. Those whose index no tensor in memory holds are drawn by a loop.
TEST(RoutingOps, drawsBehindGroupedProducts) {
  struct Case {
    int64_t others, columns; // 0: no such axis
    bool sameIndex = false;  // one for all rows, a constant
  };
  for (auto [others, columns, sameIndex] : {Case{0, 8}, Case{2, 8}, Case{2, 6}, Case{3, 1}, Case{5, 0},
                                            Case{1, 7}, Case{0, 8, true}, Case{2, 6, true}}) {
    SCOPED_TRACE(::testing::Message() << others << " x " << columns << (sameIndex ? ", one index" : ""));
    constexpr int64_t rows = 9, sums = 5, groups = 2;
    Program p;
    // Labels: rows 0, sums 1, groups 2, other axes 3, columns 4.
    SmallVector<int64_t> xShape{rows, sums}, xAxes{0, 1}, wShape{groups, sums}, wAxes{2, 1}, out{0};
    if (others)
      xShape.push_back(others), xAxes.push_back(3), out.push_back(3);
    if (columns)
      wShape.push_back(columns), wAxes.push_back(4), out.push_back(4);
    Value x = p.add("x", someNumbers(xShape), xShape), w = p.add("w", someNumbers(wShape), wShape);
    Value offsets = p.add("offsets", {0, 4, rows}, {groups + 1}, p.b.getI32Type());
    Value index = sameIndex ? flow::constant(p.b, p.l, 3, RankedTensorType::get({rows}, p.b.getI32Type()))
                            : p.add("index", {8, 0, 7, 1, 6, 2, 5, 3, 4}, {rows}, p.b.getI32Type());
    Value y = flow::groupedContract(p.b, p.l, x, xAxes, w, wAxes, offsets, out, 0, 2);
    Value drawn = flow::RandomOp::create(p.b, p.l, y.getType(), flow::RandomKind::uniform, 3, index);
    p.out("y", flow::mul(p.b, p.l, y, drawn));
    p.compareEverywhere();
  }
}
