// Numbers at the edges of f32, compiled: zeros of both signs, subnormal numbers, numbers whose squares
// overflow, infinities and NaN, through every elementwise op, reduction, norm and loss, and through
// gradients; and sums of many numbers of one sign. The oracles are formulas written here in long double, so
// that what the compiled code and the evaluator share is tested too. Sums of millions are DISABLED_: run them
// with
// --gtest_also_run_disabled_tests --gtest_filter='*Edge*'.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/Emit.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/Pipeline.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

using namespace mlir;
using namespace moe::test;
using flow::Array;

namespace {

using Real = long double;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double largest = std::numeric_limits<float>::max(), subnormal = 0x1p-149, smallest = 0x1p-126;

/// Both are NaN, or the same infinity or zero, or within `relative` and a few of the smallest numbers. What
/// 32 bits round to infinity may also be their largest number.
::testing::AssertionResult near(double found, Real exact, double relative, double absolute = 0) {
  auto wrong = [&] {
    return ::testing::AssertionFailure() << "expected " << double(exact) << ", found " << found;
  };
  if (std::isnan(exact) || std::isnan(found))
    return std::isnan(exact) == std::isnan(found) ? ::testing::AssertionSuccess() : wrong();
  Real bound = relative * std::fabs(exact) + absolute + 2 * subnormal;
  bool overflows = std::fabs(exact) * (1 + relative) >= Real(largest) * (1 + 0x1p-25L);
  if (std::isinf(found))
    return overflows && std::signbit(found) == std::signbit(exact) ? ::testing::AssertionSuccess() : wrong();
  if (std::isinf(exact))
    return wrong();
  return std::fabs(Real(found) - exact) <= bound ? ::testing::AssertionSuccess() : wrong();
}

/// f32 numbers at edges, and some between them.
std::vector<double> edges() {
  std::vector<double> all = {0.0,    subnormal, 1e-45, 1e-42, 1e-40,   smallest,      1e-38,         1e-30,
                             1e-20,  1e-10,     1e-3,  0.5,   1.0,     1.0 + 0x1p-23, 1.0 - 0x1p-24, 1.5,
                             2.0,    3.0,       7.5,   10.0,  20.0,    64.5,          87.0,          88.0,
                             88.7,   88.75,     89.5,  100.0, 103.9,   104.5,         1e3,           1e10,
                             1.8e19, 2e19,      1e30,  1e38,  largest, infinity};
  for (size_t i = 0, n = all.size(); i < n; ++i)
    all.push_back(-all[i]);
  for (double &x : all)
    x = double(float(x));
  all.push_back(notANumber);
  return all;
}

Array vectorOf(const std::vector<double> &values) {
  Array array{ArrayRef<int64_t>({int64_t(values.size())})};
  array.data.assign(values.begin(), values.end());
  return array;
}

/// A program under construction, whose inputs are given with it.
struct Program : FlowCase {
  OpBuilder b = atEnd();
  Location l = b.getUnknownLoc();
  Value add(StringRef name, Type element, Array array) {
    SmallVector<flow::Extent> extents;
    for (int64_t size : array.shape)
      extents.push_back(flow::Extent::constant(&context(), size));
    bindings.inputs[name.str()] = std::move(array);
    return flow::InputOp::create(b, l, flow::tensorType(extents, element), name);
  }
  Value add(StringRef name, const std::vector<double> &values, ArrayRef<int64_t> shape = {}) {
    Array array = vectorOf(values);
    if (!shape.empty())
      array.shape.assign(shape.begin(), shape.end());
    return add(name, b.getF32Type(), array);
  }
  void out(StringRef name, Value value) { flow::OutputOp::create(b, l, name, value); }
  /// sum(value * slope) differentiated by each input, as "d.<input>".
  void gradients(Value value, Value slope, ArrayRef<std::pair<StringRef, Value>> inputs) {
    Value loss = flow::sumAll(b, l, flow::mul(b, l, value, slope));
    SmallVector<Value> wrt;
    for (auto [name, input] : inputs)
      wrt.push_back(input);
    auto grad = flow::GradOp::create(b, l, TypeRange(ValueRange(wrt)), loss, wrt);
    for (auto [input, gradient] : llvm::zip(inputs, grad.getGradients()))
      out(("d." + input.first).str(), gradient);
  }
  /// Compiled and run at a level, and by the evaluator.
  std::vector<std::pair<std::string, flow::Evaluation>> runEverywhere() {
    std::vector<std::pair<std::string, flow::Evaluation>> all;
    for (const std::string &target : testTargets()) {
      OwningOpRef<ModuleOp> copy(module->clone());
      if (auto result = runCompiled(*copy, "main", bindings, {target}))
        all.emplace_back(target, std::move(*result));
    }
    if (differentiate())
      all.emplace_back("evaluator", evaluate());
    EXPECT_EQ(all.size(), testTargets().size() + 1);
    return all;
  }
};

/// What an elementwise op gives for its operands, and how far compiled code may be from it.
struct Oracle {
  std::function<Real(const std::vector<Real> &)> value;
  double relative = 4e-7, absolute = 0;
};

Real larger(Real a, Real b) { return std::isnan(a) || std::isnan(b) ? Real(notANumber) : a > b ? a : b; }

using Operands = const std::vector<Real> &;

const std::map<std::string, Oracle> &oracles() {
  static const std::map<std::string, Oracle> all = {
      {"flow.neg", {[](Operands v) { return -v[0]; }, 0}},
      {"flow.abs", {[](Operands v) { return std::fabs(v[0]); }, 0}},
      {"flow.exp", {[](Operands v) { return std::exp(v[0]); }}},
      {"flow.log", {[](Operands v) { return v[0] == 0 ? -Real(infinity) : std::log(v[0]); }}},
      {"flow.sqrt", {[](Operands v) { return std::sqrt(v[0]); }}},
      {"flow.rsqrt", {[](Operands v) { return 1 / std::sqrt(v[0]); }}},
      {"flow.tanh", {[](Operands v) { return std::tanh(v[0]); }, 1e-6}},
      {"flow.sigmoid", {[](Operands v) { return 1 / (1 + std::exp(-v[0])); }}},
      {"flow.relu", {[](Operands v) { return larger(v[0], 0); }, 0}},
      {"flow.silu",
       // Where exp is subnormal, so are its digits few.
       {[](Operands v) { return std::isinf(v[0]) && v[0] < 0 ? Real(0) : v[0] / (1 + std::exp(-v[0])); },
        4e-7, 128 * subnormal}},
      // Phi loses digits to the left, as in PyTorch.
      {"flow.gelu",
       {[](Operands v) {
          return std::isinf(v[0]) && v[0] < 0 ? Real(0) : v[0] * std::erfc(-v[0] / std::sqrt(Real(2))) / 2;
        },
        1e-6, 2e-6}},
      {"flow.gelu_slope",
       {[](Operands v) {
          const Real density = std::exp(-v[0] * v[0] / 2) / std::sqrt(2 * Real(M_PI));
          return std::erfc(-v[0] / std::sqrt(Real(2))) / 2 + (std::isinf(v[0]) ? 0 : v[0] * density);
        },
        0, 3e-7}},
      {"flow.erf", {[](Operands v) { return std::erf(v[0]); }, 1e-6}},
      {"flow.not", {[](Operands v) { return Real(v[0] == 0); }, 0}},
      {"flow.is_finite", {[](Operands v) { return Real(std::isfinite(v[0])); }, 0}},
      {"flow.stop_gradient", {[](Operands v) { return v[0]; }, 0}},
      {"flow.reverse_gradient", {[](Operands v) { return v[0]; }, 0}},
      {"flow.barrier", {[](Operands v) { return v[0]; }, 0}},
      {"flow.convert", {[](Operands v) { return v[0]; }, 0}},
      {"flow.add", {[](Operands v) { return v[0] + v[1]; }}},
      {"flow.sub", {[](Operands v) { return v[0] - v[1]; }}},
      {"flow.mul", {[](Operands v) { return v[0] * v[1]; }}},
      {"flow.div", {[](Operands v) { return v[0] / v[1]; }}},
      {"flow.maximum", {[](Operands v) { return larger(v[0], v[1]); }, 0}},
      {"flow.minimum", {[](Operands v) { return -larger(-v[0], -v[1]); }, 0}},
      // The power of e by f32: the exponent's rounding counts as often as it is large.
      {"flow.pow", {[](Operands v) { return std::pow(v[0], v[1]); }, 3e-5}},
      {"flow.and", {[](Operands v) { return Real(v[0] != 0 && v[1] != 0); }, 0}},
      {"flow.or", {[](Operands v) { return Real(v[0] != 0 || v[1] != 0); }, 0}},
      {"flow.select", {[](Operands v) { return v[0] != 0 ? v[1] : v[2]; }, 0}},
  };
  return all;
}

/// The op on edge values, all pairs of them for two operands.
void checkElementwise(const std::string &name, const Oracle &oracle, unsigned operands, bool masks,
                      std::function<Value(Program &, ArrayRef<Value>)> build) {
  std::vector<double> values = masks ? std::vector<double>{0, 1} : edges();
  std::vector<std::vector<double>> columns(operands);
  size_t n = values.size(), count = 1;
  for (unsigned i = 0; i < operands; ++i)
    count *= n;
  for (size_t k = 0; k < count; ++k)
    for (size_t i = 0, rest = k; i < operands; ++i, rest /= n)
      columns[i].push_back(values[rest % n]);
  Program p;
  SmallVector<Value> inputs;
  for (unsigned i = 0; i < operands; ++i)
    inputs.push_back(p.add("x" + std::to_string(i), masks ? Type(p.b.getI1Type()) : p.b.getF32Type(),
                           vectorOf(columns[i])));
  Value y = build(p, inputs);
  bool reals = flow::elementOf(y).isF32();
  p.out("y", y);
  for (auto &[where, result] : p.runEverywhere()) {
    const Array &y = result.outputs.at("y");
    for (size_t k = 0; k < count; ++k) {
      std::vector<Real> v;
      for (auto &column : columns)
        v.push_back(column[k]);
      double found = where == "evaluator" && reals ? double(float(y.data[k])) : y.data[k];
      ASSERT_TRUE(near(found, oracle.value(v), oracle.relative, oracle.absolute))
          << name << " on " << where << " of " << columns[0][k] << ", " << columns.back()[k];
    }
  }
}

Value buildNamed(Program &p, StringRef name, ArrayRef<Value> operands, Type result) {
  OperationState state(p.l, name);
  state.addOperands(operands);
  state.addTypes(result);
  if (name == "flow.barrier")
    state.addAttribute("segment", p.b.getI64IntegerAttr(0));
  return p.b.create(state)->getResult(0);
}

} // namespace

TEST(EdgeValues, everyElementwiseOp) {
  for (RegisteredOperationName name : computingOps()) {
    if (!name.hasTrait<flow::Elementwise>())
      continue;
    std::string op = name.getStringRef().str();
    if (op == "flow.compare" || op == "flow.convert" || op == "flow.select" ||
        op == "flow.reverse_gradient" || op == "flow.skippable" || op == "flow.radix_digit" ||
        op == "flow.capacity")
      continue; // below, or in RoutingOpsTest.cpp
    auto oracle = oracles().find(op);
    ASSERT_NE(oracle, oracles().end()) << op << " has no oracle here";
    bool masks = op == "flow.not" || op == "flow.and" || op == "flow.or";
    unsigned operands = oracle->first == "flow.add" || op == "flow.sub" || op == "flow.mul" ||
                                op == "flow.div" || op == "flow.maximum" || op == "flow.minimum" ||
                                op == "flow.pow" || op == "flow.and" || op == "flow.or"
                            ? 2
                            : 1;
    checkElementwise(op, oracle->second, operands, masks, [&](Program &p, ArrayRef<Value> x) {
      Type type = x[0].getType();
      return buildNamed(p, op, x, op == "flow.is_finite" ? flow::withElement(type, p.b.getI1Type()) : type);
    });
    if (HasFatalFailure())
      return;
  }
}

TEST(EdgeValues, comparisonsSelectAndConversions) {
  using P = flow::Predicate;
  std::pair<P, std::function<bool(Real, Real)>> predicates[] = {
      {P::eq, std::equal_to<Real>()}, {P::ne, std::not_equal_to<Real>()},
      {P::lt, std::less<Real>()},     {P::le, std::less_equal<Real>()},
      {P::gt, std::greater<Real>()},  {P::ge, std::greater_equal<Real>()}};
  for (auto &[predicate, holds] : predicates)
    checkElementwise(
        "compare", {[&](Operands v) { return Real(holds(v[0], v[1])); }, 0}, 2, false,
        [&](Program &p, ArrayRef<Value> x) { return flow::compare(p.b, p.l, predicate, x[0], x[1]); });
  checkElementwise("select", {[](Operands v) { return v[0] > 0 ? v[0] : v[1]; }, 0}, 2, false,
                   [&](Program &p, ArrayRef<Value> x) {
                     return flow::select(p.b, p.l, flow::compare(p.b, p.l, P::gt, x[0], 0.0), x[0], x[1]);
                   });
  checkElementwise("skippable", {[](Operands v) { return v[0]; }, 0}, 1, false,
                   [](Program &p, ArrayRef<Value> x) {
                     return flow::skippable(p.b, p.l, x[0], flow::compare(p.b, p.l, P::gt, x[0], 0.0));
                   });
  auto toInteger = [](Operands v) {
    return std::isnan(v[0]) ? Real(0)
                            : std::min(std::max(std::trunc(v[0]), Real(INT32_MIN)), Real(INT32_MAX));
  };
  checkElementwise("convert to i32", {toInteger, 0}, 1, false, [](Program &p, ArrayRef<Value> x) {
    return flow::convert(p.b, p.l, x[0], p.b.getI32Type());
  });
  checkElementwise(
      "convert to i1", {[](Operands v) { return Real(v[0] != 0); }, 0}, 1, false,
      [](Program &p, ArrayRef<Value> x) { return flow::convert(p.b, p.l, x[0], p.b.getI1Type()); });
}

TEST(EdgeValues, reductionsOfRowsAndColumns) {
  std::vector<std::vector<double>> rows = {
      std::vector<double>(19, -infinity),  std::vector<double>(19, infinity),
      std::vector<double>(19, notANumber), std::vector<double>(19, -0.0),
      std::vector<double>(19, largest),    std::vector<double>(19, subnormal)};
  for (double special : {notANumber, infinity, -infinity, -largest, subnormal}) {
    rows.emplace_back(19, 1.0);
    rows.back()[17] = special;
  }
  rows.emplace_back(19, infinity);
  rows.back()[3] = -infinity;
  int64_t n = rows.size(), m = 19;
  for (bool columns : {false, true}) {
    std::vector<double> flat(n * m);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < m; ++j)
        flat[columns ? j * n + i : i * m + j] = rows[i][j];
    Program p;
    Value x = p.add("x", flat, columns ? ArrayRef<int64_t>{m, n} : ArrayRef<int64_t>{n, m});
    int64_t axis = columns ? 0 : 1;
    p.out("sum", flow::sum(p.b, p.l, x, axis));
    p.out("max", flow::reduce(p.b, p.l, flow::ReduceKind::max, x, axis));
    p.out("min", flow::reduce(p.b, p.l, flow::ReduceKind::min, x, axis));
    p.out("argmax", flow::argmax(p.b, p.l, x, axis));
    for (auto &[where, result] : p.runEverywhere())
      for (int64_t i = 0; i < n; ++i) {
        Real sum = 0, most = -infinity, least = infinity;
        int64_t first = 0;
        for (int64_t j = 0; j < m; ++j) {
          sum += rows[i][j];
          most = larger(most, rows[i][j]);
          least = -larger(-least, -rows[i][j]);
          bool better = std::isnan(rows[i][j]) ? !std::isnan(rows[i][first]) : rows[i][j] > rows[i][first];
          if (better)
            first = j;
        }
        std::string what = where + (columns ? ", column " : ", row ") + std::to_string(i);
        auto at = [&](const char *name) { return double(float(result.outputs.at(name).data[i])); };
        EXPECT_TRUE(near(at("sum"), sum, 1e-6)) << what;
        EXPECT_TRUE(near(at("max"), most, 0)) << what;
        EXPECT_TRUE(near(at("min"), least, 0)) << what;
        EXPECT_EQ(at("argmax"), first) << what;
      }
  }
}

namespace {

/// Sums and means of n numbers of one sign: along a row, down columns, by index.
void checkLongSums(int64_t n) {
  for (bool equal : {true, false}) {
    std::mt19937_64 random(n);
    std::vector<double> one(n), three(3 * n);
    for (double &x : one)
      x = double(equal ? 0.1f : float(double(random() >> 11) * 0x1p-53));
    for (int64_t i = 0; i < 3 * n; ++i)
      three[i] = one[i / 3];
    Real exact = 0;
    for (double x : one)
      exact += x;
    Program p;
    Value row = p.add("row", one), columns = p.add("columns", three, {n, 3});
    Value index = p.add("index", p.b.getI32Type(), vectorOf(std::vector<double>(n, 1)));
    p.out("sum", flow::sum(p.b, p.l, row, 0));
    p.out("columns.sum", flow::sum(p.b, p.l, columns, 0));
    p.out("all", flow::sumAll(p.b, p.l, columns));
    p.out("rows",
          flow::sumAll(p.b, p.l, flow::sum(p.b, p.l, flow::exp(p.b, p.l, flow::log(p.b, p.l, columns)), 1)));
    p.out("mean", flow::mean(p.b, p.l, row, 0));
    p.out("scattered", flow::scatterAdd(p.b, p.l, index, columns, flow::Extent::constant(&context(), 2)));
    for (auto &[where, result] : p.runEverywhere()) {
      auto check = [&](const char *name, size_t i, Real right, double tolerance = 5e-7) {
        EXPECT_TRUE(near(result.outputs.at(name).data[i], right, tolerance)) << name << " on " << where;
      };
      check("sum", 0, exact);
      check("mean", 0, exact / n);
      check("all", 0, 3 * exact);
      check("rows", 0, 3 * exact, 1e-6);
      for (size_t i = 0; i < 3; ++i) {
        check("columns.sum", i, exact);
        check("scattered", i, 0);
        check("scattered", 3 + i, exact);
      }
    }
  }
}

} // namespace

TEST(EdgeValues, sumsOfManyNumbers) {
  for (int64_t n : {1000, 62500, 200003})
    checkLongSums(n);
}

TEST(EdgeValues, DISABLED_sumsOfMillionsOfNumbers) {
  for (int64_t n : {1000000, 4000037})
    checkLongSums(n);
}

namespace {

struct Normed {
  std::vector<Real> y, dx;
  Real variance = 0;
};

/// (x - mean) / sqrt(variance + eps) of a row, and the gradient of sum(slope * y) in x.
Normed normOf(const std::vector<double> &x, const std::vector<double> &slope, double eps) {
  size_t n = x.size();
  Real mean = 0, variance = 0, slopes = 0, along = 0;
  for (double v : x)
    mean += Real(v) / n;
  for (double v : x)
    variance += (v - mean) * (v - mean) / n;
  bool equal = llvm::all_of(x, [&](double v) { return v == x[0]; });
  if (equal)
    mean = x[0], variance = 0;
  Normed result;
  result.variance = variance;
  Real deviation = std::sqrt(variance + Real(float(eps)));
  for (size_t i = 0; i < n; ++i) {
    result.y.push_back((x[i] - mean) / deviation);
    slopes += Real(slope[i]) / n;
    along += slope[i] * result.y[i] / n;
  }
  for (size_t i = 0; i < n; ++i)
    result.dx.push_back((slope[i] - slopes - result.y[i] * along) / deviation);
  return result;
}

/// Rows of `n`: scales from tiny to huge, all equal, far from 0.
std::vector<std::vector<double>> rowsOf(size_t n) {
  std::vector<std::vector<double>> rows;
  std::mt19937_64 random(n);
  auto draw = [&] { return double(random() >> 11) * 0x1p-52 - 1; };
  auto row = [&](double scale, double offset) {
    rows.emplace_back();
    for (size_t i = 0; i < n; ++i)
      rows.back().push_back(double(float(offset + scale * draw())));
  };
  for (double scale :
       {1e-44, 1e-38, 1e-30, 1e-20, 1e-10, 1e-3, 1.0, 1e3, 1e10, 1e14, 1e15, 1e18, 1e19, 1e20, 1e30, 1e37})
    row(scale, 0);
  for (double equal : {0.0, 1.0, 0.1, -3e4, 1e8, 1e19, 1e30, 3e38, 1e-40})
    row(0, equal);
  row(1e-2, 1e4), row(1e-2, -1e3), row(4, 1e8), row(1e26, 1e30), row(1e20, -1e24);
  rows.emplace_back(n, 1.0);
  rows.back()[n / 2] = 3e38;
  return rows;
}

void checkNorms(size_t n, double eps, bool group) {
  auto rows = rowsOf(n);
  std::vector<double> flat, slopes;
  std::mt19937_64 random(5);
  for (auto &row : rows)
    for (double v : row) {
      flat.push_back(v);
      slopes.push_back(double(float(double(random() >> 11) * 0x1p-52 - 1)));
    }
  int64_t count = rows.size(), size = n;
  Program p;
  // Two channels a group; all rows are groups of one sample.
  std::vector<int64_t> shape =
      group ? std::vector<int64_t>{1, 2 * count, 1, size / 2} : std::vector<int64_t>{count, size};
  Value x = p.add("x", flat, shape), slope = p.add("slope", slopes, shape);
  Value y =
      group ? flow::groupNorm(p.b, p.l, x, {}, {}, count, eps) : flow::layerNorm(p.b, p.l, x, {}, {}, eps);
  p.out("y", y);
  p.gradients(y, slope, {{"x", x}});
  for (auto &[where, result] : p.runEverywhere())
    for (int64_t i = 0; i < count; ++i) {
      std::vector<double> own(slopes.begin() + i * size, slopes.begin() + (i + 1) * size);
      Normed right = normOf(rows[i], own, eps);
      double deviation = std::sqrt(double(right.variance)), far = std::fabs(rows[i][0]);
      // The sum of a group may overflow.
      if (group && far > 1e37)
        continue;
      double tolerance = 2e-5, scale = 0;
      for (Real d : right.dx)
        scale = std::max(scale, std::fabs(double(d)));
      for (int64_t j = 0; j < size; ++j) {
        std::string what = where + ", row " + std::to_string(i) + " from " + std::to_string(rows[i][0]) +
                           ", element " + std::to_string(j);
        ASSERT_TRUE(near(result.outputs.at("y").data[i * size + j], right.y[j], tolerance, tolerance))
            << what;
        // Their gradient is limited on its way, so that it stays finite.
        if (right.variance == 0 && far > 0x1p48 && eps < 1e-28)
          continue;
        // The part of a group's gradient that goes through the deviation is less than 32 bits hold.
        if (group && where != "evaluator" && deviation > 1e19)
          scale *= 1e4;
        ASSERT_TRUE(near(result.outputs.at("d.x").data[i * size + j], right.dx[j], 1e-4, 1e-4 * scale))
            << what;
      }
    }
}

} // namespace

TEST(EdgeValues, layerNorm) {
  for (double eps : {1e-5, 1e-12, 1e-26, 1e-30})
    for (size_t n : {4, 37, 384})
      checkNorms(n, eps, false);
}

TEST(EdgeValues, groupNorm) {
  for (size_t n : {4, 98})
    checkNorms(n, 1e-5, true);
}

// The scores of a router by distance are the negative of these.
TEST(EdgeValues, logSquares) {
  std::vector<std::vector<double>> rows = {{0, 0, 0},        {1e-3, 2e-3, 0},    {1, -2, 3},   {1e15, 1, 0},
                                           {1e19, -2e19, 0}, {1e30, 1e30, 1e30}, {0, 0, 3e37}, {1e-30, 0, 0}};
  std::vector<double> flat;
  for (auto &row : rows)
    for (double &v : row)
      flat.push_back(v = double(float(v)));
  int64_t count = rows.size();
  const double eps = 1e-6;
  Program p;
  Value x = p.add("x", flat, {count, 3});
  Value y = flow::logSquares(p.b, p.l, x, {1}, eps);
  p.out("y", y);
  p.gradients(y, flow::onesLike(p.b, p.l, y), {{"x", x}});
  for (auto &[where, result] : p.runEverywhere())
    for (int64_t i = 0; i < count; ++i) {
      Real sum = Real(float(eps));
      for (double v : rows[i])
        sum += Real(v) * Real(v);
      EXPECT_TRUE(near(result.outputs.at("y").data[i], std::log(sum), 1e-6, 1e-6)) << where << ", row " << i;
      for (int64_t j = 0; j < 3; ++j) {
        // Where the squares overflow, the factor 2 / sum is less than f32 holds, and the slope may be 0.
        Real right = 2 * Real(rows[i][j]) / sum;
        double allowed = sum > Real(largest) ? double(std::fabs(right)) : 1e-37;
        EXPECT_TRUE(near(result.outputs.at("d.x").data[3 * i + j], right, 1e-5, allowed))
            << where << ", row " << i << ", element " << j;
      }
    }
}

TEST(EdgeValues, variance) {
  for (bool unbiased : {false, true})
    for (size_t n : {3, 8, 1000}) {
      auto rows = rowsOf(n);
      std::vector<double> flat;
      for (auto &row : rows)
        flat.insert(flat.end(), row.begin(), row.end());
      int64_t count = rows.size(), size = n;
      Program p;
      Value x = p.add("x", flat, {count, size});
      Value y = flow::variance(p.b, p.l, x, 1, unbiased);
      p.out("y", y);
      p.gradients(y, flow::onesLike(p.b, p.l, y), {{"x", x}});
      for (auto &[where, result] : p.runEverywhere())
        for (int64_t i = 0; i < count; ++i) {
          Normed right = normOf(rows[i], rows[i], 0);
          Real factor = unbiased ? Real(size) / (size - 1) : 1, mean = 0;
          EXPECT_TRUE(near(double(float(result.outputs.at("y").data[i])), right.variance * factor, 1e-5))
              << where << ", row " << i << " from " << rows[i][0];
          if (right.variance * factor > largest / 2)
            continue; // a gradient of infinity
          for (double v : rows[i])
            mean += Real(v) / size;
          if (right.variance == 0)
            mean = rows[i][0];
          for (int64_t j = 0; j < size; ++j)
            ASSERT_TRUE(near(result.outputs.at("d.x").data[i * size + j],
                             2 * (rows[i][j] - mean) / size * factor, 1e-4,
                             1e-4 * double(std::sqrt(right.variance)) / size + 1e-38))
                << where << ", row " << i << " from " << rows[i][0] << ", element " << j;
        }
    }
}

TEST(EdgeValues, softmaxAndCrossEntropy) {
  std::vector<std::vector<double>> rows = {
      {0, 0, 0},         {1e30, 1e30, 1e30},  {1e30, -1e30, 0},        {88, 0, -88},          {104, 0, 0},
      {-infinity, 0, 1}, {-1e38, 1e38, 1e38}, {subnormal, -0.0, 1e-3}, {-3e38, -3e38, -3e38}, {750, 0, 0},
      {20, 19, 18},      {largest, 0, 0}};
  std::vector<double> flat;
  for (auto &row : rows)
    flat.insert(flat.end(), row.begin(), row.end());
  int64_t n = rows.size();
  for (int64_t label : {0, 1, 2, -1, 3}) {
    Program p;
    Value x = p.add("x", flat, {n, 3});
    Value labels = p.add("label", p.b.getI32Type(), vectorOf(std::vector<double>(n, double(label))));
    Value losses = flow::crossEntropyRows(p.b, p.l, x, labels);
    p.out("softmax", flow::softmax(p.b, p.l, x, 1));
    p.out("log", flow::logSoftmax(p.b, p.l, x, 1));
    p.out("sum", flow::logSumExp(p.b, p.l, x, 1));
    p.out("loss", losses);
    p.gradients(losses, flow::onesLike(p.b, p.l, losses), {{"x", x}});
    for (auto &[where, result] : p.runEverywhere())
      for (int64_t i = 0; i < n; ++i) {
        Real most = std::max({rows[i][0], rows[i][1], rows[i][2]}), sum = 0;
        for (double v : rows[i])
          sum += std::exp(v - most);
        std::string what = where + ", row " + std::to_string(i) + ", label " + std::to_string(label);
        auto at = [&](const char *name, size_t k) { return double(float(result.outputs.at(name).data[k])); };
        EXPECT_TRUE(near(at("sum", i), most + std::log(sum), 1e-6)) << what;
        const bool known = label >= 0 && label < 3;
        Real loss = !known ? Real(0) : std::log(sum) - (rows[i][label] - most);
        EXPECT_TRUE(near(at("loss", i), loss, 1e-6)) << what;
        for (int64_t j = 0; j < 3; ++j) {
          Real share = std::exp(rows[i][j] - most) / sum;
          EXPECT_TRUE(near(at("softmax", 3 * i + j), share, 1e-6)) << what;
          EXPECT_TRUE(near(at("log", 3 * i + j), (rows[i][j] - most) - std::log(sum), 1e-6, 1e-6)) << what;
          Real slope = !known ? Real(0) : share - (j == label);
          EXPECT_TRUE(near(at("d.x", 3 * i + j), slope, 1e-6, 1e-6)) << what;
        }
      }
  }
}

TEST(EdgeValues, gradientOfWhatASelectDoesNotChoose) {
  using Build = std::function<Value(OpBuilder &, Location, Value)>;
  struct Branch {
    const char *name;
    Build build;
    std::function<double(double)> slope; // where it is chosen
  };
  auto number = [](OpBuilder &b, Location l, Value x, double c) {
    return flow::constant(b, l, c, x.getType());
  };
  std::vector<Branch> branches = {
      {"sqrt", [](OpBuilder &b, Location l, Value x) { return flow::sqrt(b, l, x); },
       [](double x) { return 0.5 / std::sqrt(x); }},
      {"log", [](OpBuilder &b, Location l, Value x) { return flow::log(b, l, x); },
       [](double x) { return 1 / x; }},
      {"rsqrt", [](OpBuilder &b, Location l, Value x) { return flow::rsqrt(b, l, x); },
       [](double x) { return -0.5 / (x * std::sqrt(x)); }},
      {"1 / x", [&](OpBuilder &b, Location l, Value x) { return flow::div(b, l, number(b, l, x, 1), x); },
       [](double x) { return -1 / (x * x); }},
      {"x log x", [](OpBuilder &b, Location l, Value x) { return flow::mul(b, l, x, flow::log(b, l, x)); },
       [](double x) { return std::log(x) + 1; }},
      {"exp(1 / x)",
       [&](OpBuilder &b, Location l, Value x) {
         return flow::exp(b, l, flow::div(b, l, number(b, l, x, 1), x));
       },
       [](double x) { return -std::exp(1 / x) / (x * x); }},
      {"x ^ 0.5", [](OpBuilder &b, Location l, Value x) { return flow::pow(b, l, x, 0.5); },
       [](double x) { return 0.5 / std::sqrt(x); }},
      {"tanh(log x)", [](OpBuilder &b, Location l, Value x) { return flow::tanh(b, l, flow::log(b, l, x)); },
       [](double x) { return (1 - std::pow(std::tanh(std::log(x)), 2)) / x; }},
      {"sqrt of a transpose",
       [](OpBuilder &b, Location l, Value x) {
         Value t = flow::transpose(b, l, x, {1, 0});
         return flow::transpose(b, l, flow::sqrt(b, l, t), {1, 0});
       },
       [](double x) { return 0.5 / std::sqrt(x); }},
      {"sqrt of a reshape",
       [](OpBuilder &b, Location l, Value x) {
         Value flat = flow::reshape(b, l, x, flow::productOf(flow::extentsOf(x), b.getContext()));
         return flow::reshape(b, l, flow::sqrt(b, l, flat), flow::extentsOf(x));
       },
       [](double x) { return 0.5 / std::sqrt(x); }},
      {"sqrt of slices",
       [](OpBuilder &b, Location l, Value x) {
         auto two = flow::Extent::constant(b.getContext(), 1);
         Value left = flow::slice(b, l, x, 1, 0, two), right = flow::slice(b, l, x, 1, 1, two);
         Value roots[] = {flow::sqrt(b, l, left), flow::sqrt(b, l, right)};
         return flow::concat(b, l, roots, 1);
       },
       [](double x) { return 0.5 / std::sqrt(x); }},
  };
  std::vector<double> xs = {-1, 0, 4, -4, -infinity, 0.25, -0.0, 9};
  for (Branch &branch : branches)
    for (bool chosenFirst : {true, false}) {
      Program p;
      Value x = p.add("x", xs, {4, 2});
      Value positive = flow::compare(p.b, p.l, flow::Predicate::gt, x, 0.0),
            taken = branch.build(p.b, p.l, x);
      Value y = chosenFirst ? flow::select(p.b, p.l, positive, taken, x)
                            : flow::select(p.b, p.l, flow::logicalNot(p.b, p.l, positive), x, taken);
      p.gradients(y, flow::onesLike(p.b, p.l, y), {{"x", x}});
      // The second derivative of the other branch is 0, and so finite.
      Value first = p.output("d.x");
      auto second = flow::GradOp::create(p.b, p.l, TypeRange(x.getType()), flow::sumAll(p.b, p.l, first), x);
      p.out("d2.x", second.getGradients()[0]);
      for (auto &[where, result] : p.runEverywhere())
        for (size_t i = 0; i < xs.size(); ++i) {
          double right = xs[i] > 0 ? branch.slope(xs[i]) : 1;
          EXPECT_TRUE(near(result.outputs.at("d.x").data[i], right, 1e-5))
              << branch.name << " at " << xs[i] << " on " << where;
          if (!(xs[i] > 0))
            EXPECT_EQ(result.outputs.at("d2.x").data[i], 0)
                << branch.name << " at " << xs[i] << " on " << where;
          else
            EXPECT_TRUE(std::isfinite(result.outputs.at("d2.x").data[i])) << branch.name;
        }
    }
}

// A value that several selects leave out has the gradient 0 where all of them do, however the selects are
// nested and in whatever order.
TEST(EdgeValues, gradientOfWhatNoneOfSeveralSelectsChooses) {
  std::vector<double> xs = {-1, 0, 1, 4, -infinity, 2.25, -0.0, 9};
  for (bool copies : {false, true})
    for (int nesting = 0; nesting < 3; ++nesting) {
      Program p;
      flow::Emit e{p.b, p.l};
      Value x = p.add("x", xs), root = e.sqrt(x);
      flow::Extent extents[] = {flow::Extent::constant(&context(), 8), flow::Extent::constant(&context(), 2)};
      auto spread = [&](Value v) {
        return copies ? e.broadcast(v, flow::tensorType(extents, flow::Emit::elementOf(v)), {0}) : v;
      };
      Value wide = spread(root), twice = e.mul(wide, 2);
      Value low = spread(e.compare(flow::Predicate::gt, x, 0.5)),
            high = spread(e.compare(flow::Predicate::gt, x, 3.0));
      // Different masks; one behind another in two orders; and one of two masks beside the other alone.
      Value first = nesting == 0 ? e.keep(low, wide) : e.keep(low, e.keep(high, wide));
      Value second = nesting == 1 ? e.keep(high, e.keep(low, twice)) : e.keep(high, twice);
      Value y = e.add(first, second);
      p.gradients(y, flow::onesLike(p.b, p.l, y), {{"x", x}});
      for (auto &[where, result] : p.runEverywhere())
        for (size_t i = 0; i < xs.size(); ++i) {
          double shares = xs[i] > 3 ? 3 : xs[i] > 0.5 && nesting == 0 ? 1 : 0;
          double right = shares ? shares * (copies ? 2 : 1) * 0.5 / std::sqrt(xs[i]) : 0;
          EXPECT_TRUE(near(result.outputs.at("d.x").data[i], right, 1e-5))
              << "nesting " << nesting << ", copies " << copies << ", at " << xs[i] << " on " << where;
        }
    }
}

// p log p is 0 at p = 0, and so is its slope in the scores: of gates that underflow in f32, in f64, and of
// scores whose difference overflows.
TEST(EdgeValues, lossesOfExpertsThatNothingUses) {
  for (double score : {88.0, 750.0, 3e38}) {
    OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(R"(
      moe.layer @Classifier<classes>(%z) {
        %y = linear @fc(%z) to classes
        yield %y
      }
      moe.model @net<classes = 3>(%image: image[1, 1, 1]) {
        %x      = flatten %image
        %route  = route @gate(%x) linear, experts = 2
        %each   = experts @experts(%x) layer @Classifier<classes> count = 2
        %logits = combine %route, %each
        aux @entropy entropy %route, 1.0
        aux @kl balance_kl %route, 1.0
        return logits = %logits
      }
    )",
                                                               &context());
    ASSERT_TRUE(module);
    moe::PipelineOptions options;
    options.gradients = true;
    PassManager elaboration(&context()), differentiation(&context());
    addPhase(elaboration, moe::Phase::elaborate, options);
    ASSERT_TRUE(succeeded(elaboration.run(*module)));
    flow::Bindings bindings;
    auto array = [](ArrayRef<int64_t> shape, const std::vector<double> &values) {
      Array made{shape};
      made.data.assign(values.begin(), values.end());
      return made;
    };
    bindings.setting.symbols = {1, 1};
    bindings.inputs["image"] = array({1, 1, 1, 1}, {1});
    bindings.inputs["label"] = array({1}, {0});
    bindings.states["gate.weight"] =
        array({2, 1}, {double(float(score)), -double(float(score)) * (score > 1e38)});
    bindings.states["experts.fc.weight"] = array({2, 3, 1}, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6});
    bindings.states["experts.fc.bias"] = array({2, 3}, std::vector<double>(6, 0));
    std::vector<std::pair<std::string, flow::Evaluation>> all;
    OwningOpRef<ModuleOp> copy(module->clone());
    if (auto result = runCompiled(*copy, "gradients", bindings))
      all.emplace_back("cpu", std::move(*result));
    addPhase(differentiation, moe::Phase::differentiate, options);
    ASSERT_TRUE(succeeded(differentiation.run(*module)));
    module->walk([&](flow::EntryOp entry) {
      if (entry.getSymName() != "gradients")
        return;
      auto result = flow::evaluate(entry, bindings);
      ASSERT_TRUE(succeeded(result));
      all.emplace_back("evaluator", std::move(*result));
    });
    ASSERT_EQ(all.size(), 2u);
    for (auto &[where, result] : all) {
      std::string what = where + ", scores from " + std::to_string(score);
      EXPECT_NEAR(result.outputs.at("loss.kl").data[0], std::log(2.0), 1e-6) << what;
      EXPECT_NEAR(result.outputs.at("loss.entropy").data[0], 0, 1e-6) << what;
      for (double slope : result.outputs.at("grad.gate.weight").data)
        EXPECT_NEAR(slope, 0, 1e-6) << what;
    }
  }
}

namespace {

// What window and window_sum mean, along both axes of a square image of two channels: kernel, stride, padding, size.
struct Windows {
  int64_t k, stride, before, n;
  int64_t count() const { return (n + 2 * before - k) / stride + 1; }
  /// Calls the function with the places of an image's element and of the window's that has it.
  void forEach(llvm::function_ref<void(size_t, size_t)> function) const {
    int64_t o = count();
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t y = 0; y < o; ++y)
        for (int64_t x = 0; x < o; ++x)
          for (int64_t i = 0; i < k; ++i)
            for (int64_t j = 0; j < k; ++j) {
              int64_t row = y * stride + i - before, column = x * stride + j - before;
              if (row >= 0 && row < n && column >= 0 && column < n)
                function((c * n + row) * n + column, (((c * o + y) * o + x) * k + i) * k + j);
            }
  }
  std::string name() const {
    return std::to_string(k) + " by " + std::to_string(stride) + " pad " + std::to_string(before) + " of " +
           std::to_string(n);
  }
};

std::vector<double> numbers(int64_t count) {
  std::vector<double> all(count);
  for (int64_t i = 0; i < count; ++i)
    all[i] = 1 + i * 7 % 11;
  return all;
}

} // namespace

// Axes of 1, images that one window covers, paddings of whole strides: where an index has nothing to run along, or begins
// below 0.
TEST(EdgeValues, windowsOfAnySizeAndPadding) {
  std::vector<Windows> cases;
  for (int64_t k : {1, 2, 3})
    for (int64_t stride : {1, 2, 3})
      for (int64_t before : {0, 1, 2, 3})
        for (int64_t n : {1, 3, 4})
          if (Windows one = {k, stride, before, n}; n + 2 * before >= k)
            cases.push_back(one);
  Program p;
  Type f32 = p.b.getF32Type();
  auto sizes = [&](ArrayRef<int64_t> shape) { return RankedTensorType::get(shape, f32); };
  for (const Windows &one : cases) {
    int64_t o = one.count(), k = one.k, n = one.n;
    SmallVector<int64_t> strides = {one.stride, one.stride}, pads(4, one.before);
    Value windows = p.add("windows " + one.name(), numbers(2 * o * o * k * k), {1, 2, o, o, k, k});
    Value image = p.add("image " + one.name(), numbers(2 * n * n), {1, 2, n, n});
    p.out("sum " + one.name(), flow::windowSum(p.b, p.l, windows, strides, pads, sizes({1, 2, n, n})));
    p.out("windows " + one.name(), flow::window(p.b, p.l, image, {k, k}, strides, pads, -5));
  }
  for (auto &[where, result] : p.runEverywhere())
    for (const Windows &one : cases) {
      int64_t o = one.count(), k = one.k, n = one.n;
      std::vector<double> image = numbers(2 * n * n), windows = numbers(2 * o * o * k * k), sum(image.size()),
                          seen(windows.size(), -5);
      one.forEach([&](size_t of, size_t in) { sum[of] += windows[in], seen[in] = image[of]; });
      EXPECT_EQ(result.outputs.at("sum " + one.name()).data, sum) << where << ": " << one.name();
      EXPECT_EQ(result.outputs.at("windows " + one.name()).data, seen) << where << ": " << one.name();
    }
}

// The first axis of the operand has one element, or the last, or both.
TEST(EdgeValues, paddingOfAxesOfOne) {
  Program p;
  std::vector<std::pair<int64_t, int64_t>> shapes = {{1, 1}, {1, 3}, {3, 1}, {2, 2}};
  for (auto [h, w] : shapes)
    for (int64_t interior : {0, 1})
      p.out(std::to_string(h) + std::to_string(w) + std::to_string(interior),
            flow::pad(p.b, p.l,
                      p.add("x" + std::to_string(h) + std::to_string(w) + std::to_string(interior),
                            numbers(h * w), {h, w}),
                      {1, 2}, {interior, interior},
                      {flow::Extent::constant(&context(), 8), flow::Extent::constant(&context(), 9)}, -5));
  for (auto &[where, result] : p.runEverywhere())
    for (auto [h, w] : shapes)
      for (int64_t interior : {0, 1}) {
        std::vector<double> from = numbers(h * w), right(8 * 9, -5);
        for (int64_t i = 0; i < h; ++i)
          for (int64_t j = 0; j < w; ++j)
            right[(1 + i * (interior + 1)) * 9 + 2 + j * (interior + 1)] = from[i * w + j];
        std::string name = std::to_string(h) + std::to_string(w) + std::to_string(interior);
        EXPECT_EQ(result.outputs.at(name).data, right) << where << ": " << name;
      }
}

// One index along an axis that the result keeps and along one that is summed: such ops are no one kernel.
TEST(EdgeValues, scatterOfWhatItIsAddedTo) {
  Program p;
  std::vector<double> x = {1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000};
  Value rows = p.add("x", x, {4, 3});
  Value index = p.add("index", p.b.getI32Type(), vectorOf({1, 1, 0, 3}));
  Value twice = flow::add(p.b, p.l, rows, rows);
  Value sums = flow::scatterAdd(p.b, p.l, index, twice, flow::Extent::constant(&context(), 4));
  p.out("y", flow::add(p.b, p.l, sums, twice));
  for (auto &[where, result] : p.runEverywhere())
    EXPECT_EQ(result.outputs.at("y").data,
              (std::vector<double>{202, 404, 606, 42, 84, 126, 200, 400, 600, 4000, 8000, 12000}))
        << where;
}
