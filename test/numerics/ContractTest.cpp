// Contractions of all forms, compiled and run, against sums in double: shapes beside every block size,
// transposed and batched operands, several summed axes, results of one element, epilogues, at the host's
// level and the one below. Outputs, temporaries and scratch hold NaNs before, and any cut of the units gives
// the same bytes.
#include "frontends/driver/Context.h"
#include "mlir/Parser/Parser.h"
#include "passes/kernels/ContractForm.h"
#include "test/numerics/GroupRunner.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <random>

using namespace moe;
using namespace moe::test;

namespace {
/// An extent of a test: a number, or `n` times the batch (written B * n).
struct Size {
  int64_t times;
  bool batch = false;
  int64_t value(int64_t b) const { return batch ? times * b : times; }
  std::string text() const { return batch ? "B * " + std::to_string(times) : std::to_string(times); }
};

std::string typeText(const std::vector<Size> &sizes) {
  std::string shape, dims;
  bool dynamic = false;
  for (const Size &size : sizes) {
    shape += (size.batch ? "?" : std::to_string(size.times)) + "x";
    dims += (dims.empty() ? "" : ", ") + size.text();
    dynamic |= size.batch;
  }
  return "tensor<" + shape + "f32" + (dynamic ? ", #flow.dims<[" + dims + "]>" : "") + ">";
}

std::string list(const std::string &labels) {
  std::string text;
  for (char c : labels)
    text += (text.empty() ? "" : ", ") + std::to_string(c - 'a');
  return "[" + text + "]";
}

struct Case {
  std::string a, b, out; // one letter an axis
  std::map<char, Size> sizes;
  std::string epilogue; // "", "bias_relu", "residual", "row_scale", "two", "long", "mask"
  int64_t domains = 1, rows = 1;
  bool fixed = false; ///< b is a parameter
};

std::ostream &operator<<(std::ostream &stream, const Case &c) {
  stream << c.a << "," << c.b << "->" << c.out << " " << c.epilogue << " D" << c.domains << " N" << c.rows;
  for (auto [label, size] : c.sizes)
    stream << " " << label << "=" << size.text();
  return stream;
}

std::vector<Size> sizesOf(const Case &c, const std::string &labels) {
  std::vector<Size> all;
  for (char label : labels)
    all.push_back(c.sizes.at(label));
  return all;
}

std::string program(const Case &c) {
  std::string a = typeText(sizesOf(c, c.a)), b = typeText(sizesOf(c, c.b)), y = typeText(sizesOf(c, c.out));
  std::vector<std::string> types{a, b};
  std::string body = "      %y = flow.contract %p0 " + list(c.a) + ", %p1 " + list(c.b) + " -> " +
                     list(c.out) + " : " + a + ", " + b + " -> " + y + "\n",
              last = "%y", results = y;
  int64_t rank = c.out.size();
  if (c.epilogue == "bias_relu") {
    types.push_back(typeText({c.sizes.at(c.out.back())}));
    body += "      %q = flow.broadcast %p2 to [" + std::to_string(rank - 1) + "] : " + types[2] + " -> " + y +
            "\n      %s = flow.add %y, %q : " + y + "\n      %t = flow.relu %s : " + y + "\n";
    last = "%t";
  } else if (c.epilogue == "residual") {
    types.push_back(y);
    body += "      %t = flow.add %y, %p2 : " + y + "\n";
    last = "%t";
  } else if (c.epilogue == "row_scale") {
    types.push_back(typeText({c.sizes.at(c.out.front())}));
    body += "      %q = flow.broadcast %p2 to [0] : " + types[2] + " -> " + y +
            "\n      %t = flow.mul %y, %q : " + y + "\n";
    last = "%t";
  } else if (c.epilogue == "long") {
    // y * sigmoid(y), then a polynomial of it: too much to unroll over a tile.
    body += "      %s = flow.silu %y : " + y + "\n      %u = flow.mul %s, %s : " + y +
            "\n      %v = flow.mul %u, %s : " + y + "\n      %w = flow.add %u, %v : " + y +
            "\n      %z = flow.sub %w, %s : " + y + "\n      %t = flow.neg %z : " + y + "\n";
    last = "%t";
  } else if (c.epilogue == "mask") {
    body += "      %o = flow.constant 0.0 : " + y + "\n      %t = flow.compare gt %y, %o : " + y + "\n";
    last = "%t";
    results = y;
    results.replace(results.find("f32"), 3, "i1");
  } else if (c.epilogue == "two") {
    body += "      %t = flow.relu %y : " + y + "\n";
    last = "%y, %t";
    results = y + ", " + y;
  }
  std::string inputs, values, args, argTypes;
  for (size_t i = 0; i < types.size(); ++i) {
    std::string n = std::to_string(i);
    inputs += "    %x" + n + " = flow." + (i == 1 && c.fixed ? "parameter" : "input") + " \"x" + n + "\"" +
              (i == 1 && c.fixed ? " uniform(-1.0, 1.0)" : "") + " : " + types[i] + "\n";
    values += (i ? ", %x" : "%x") + n;
    argTypes += (i ? ", " : "") + types[i];
    args += (i ? ", %p" : "%p") + n + ": " + types[i];
  }
  bool two = c.epilogue == "two";
  return "flow.program @t {\n  flow.entry @e infer {\n" + inputs + "    %g" + (two ? ":2" : "") +
         " = flow.group(" + values + ") : (" + argTypes + ") -> " + (two ? "(" + results + ")" : results) +
         " {\n    ^bb0(" + args + "):\n" + body + "      flow.yield " + last + " : " + results +
         "\n    }\n    flow.output \"y\" %g" + (two ? "#0 : " + y : " : " + results) + "\n  }\n}\n";
}

/// Runs a case and compares every element.
void check(const Case &c, const Machine &target) {
  SCOPED_TRACE(::testing::Message() << c << " " << levelOf(target));
  GroupRunner runner(program(c), target, c.domains, c.rows);
  ASSERT_TRUE(runner.ok()) << program(c);
  const int64_t batch = c.domains * c.rows;
  auto extent = [&](char label) { return c.sizes.at(label).value(batch); };
  auto count = [&](const std::string &labels) {
    int64_t n = 1;
    for (char label : labels)
      n *= extent(label);
    return n;
  };
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  auto fill = [&](unsigned operand, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      runner.operand(operand).floats()[i] = uniform(random);
  };
  fill(0, count(c.a));
  fill(1, count(c.b));
  if (c.epilogue == "bias_relu")
    fill(2, extent(c.out.back()));
  if (c.epilogue == "residual")
    fill(2, count(c.out));
  if (c.epilogue == "row_scale")
    fill(2, extent(c.out.front()));
  runner.run();
  ASSERT_EQ("", runner.finding());

  std::string summed;
  for (char label : c.a)
    if (c.out.find(label) == std::string::npos)
      summed += label;
  auto offset = [&](const std::string &labels, std::map<char, int64_t> &at) {
    int64_t sum = 0;
    for (char label : labels)
      sum = sum * extent(label) + at[label];
    return sum;
  };
  auto locate = [&](const std::string &labels, int64_t flat, std::map<char, int64_t> &at) {
    for (size_t i = labels.size(); i-- > 0; flat /= extent(labels[i]))
      at[labels[i]] = flat % extent(labels[i]);
  };
  const float *a = runner.operand(0).floats(), *b = runner.operand(1).floats(),
              *y = runner.result(0).floats();
  const int64_t outputs = count(c.out), terms = count(summed);
  // Large results are sampled, their ends included.
  int64_t step = std::max<int64_t>(1, outputs * terms / 4000000);
  for (int64_t i = 0; i < outputs;
       i += (outputs - 1 - i) < step && i < outputs - 1 ? outputs - 1 - i : step) {
    std::map<char, int64_t> at;
    locate(c.out, i, at);
    double sum = 0, magnitude = 0;
    for (int64_t k = 0; k < terms; ++k) {
      locate(summed, k, at);
      double term = double(a[offset(c.a, at)]) * b[offset(c.b, at)];
      sum += term;
      magnitude += std::fabs(term);
    }
    if (c.epilogue == "bias_relu") {
      double bias = runner.operand(2).floats()[at[c.out.back()]];
      sum = std::max(0.0, sum + bias);
      magnitude += std::fabs(bias);
    } else if (c.epilogue == "residual") {
      sum += runner.operand(2).floats()[i];
      magnitude += std::fabs(runner.operand(2).floats()[i]);
    } else if (c.epilogue == "row_scale") {
      sum *= runner.operand(2).floats()[at[c.out.front()]];
    }
    if (c.epilogue == "mask") {
      if (std::fabs(sum) > 0x1p-20 * magnitude)
        ASSERT_EQ(int(static_cast<unsigned char *>(runner.result(0).data)[i]), int(sum > 0))
            << "element " << i;
      continue;
    }
    if (c.epilogue == "long") {
      // The derivative is below 4 + 9 y^2.
      double s = sum / (1 + std::exp(-sum)), want = s - s * s - s * s * s;
      double bound = 0x1p-23 * (16 + std::sqrt(double(terms))) * (magnitude + 1) * (4 + 9 * sum * sum);
      ASSERT_LE(std::fabs(y[i] - want), bound) << "element " << i;
      continue;
    }
    ASSERT_LE(std::fabs(y[i] - sum), 0x1p-23 * (2 + std::sqrt(double(terms))) * magnitude + 1e-30)
        << "element " << i;
    if (c.epilogue == "two")
      ASSERT_EQ(runner.result(1).floats()[i], std::max(0.0f, y[i]));
  }
  std::vector<char> once(runner.result(0).bytes);
  std::memcpy(once.data(), y, once.size());
  for (unsigned seed : {1, 2}) {
    std::memset(runner.result(0).data, 0xff, once.size());
    for (size_t i = 0; i < runner.temporaryCount(); ++i)
      std::memset(runner.temporary(i).data, 0xff, runner.temporary(i).bytes);
    runner.run(seed);
    ASSERT_EQ("", runner.finding());
    ASSERT_EQ(0, std::memcmp(once.data(), y, once.size())) << "another cut of the units gave other bytes";
  }
  ASSERT_TRUE(runner.intact()) << "something beside the buffers was written";
}

void checkAll(const Case &c) {
  for (const Machine &target : machines())
    check(c, target);
}

Size number(int64_t n) { return {n}; }
Size batch(int64_t n = 1) { return {n, true}; }
} // namespace

TEST(Contract, LinearForward) {
  // x [B, K], w [N, K]
  for (auto [rows, n, k] :
       {std::tuple{320, 10, 128}, {5, 10, 784}, {1, 1, 1}, {97, 65, 33}, {13, 300, 400}, {64, 128, 385}})
    for (std::string epilogue : {"", "bias_relu"})
      checkAll({"mk", "nk", "mn", {{'m', batch()}, {'n', number(n)}, {'k', number(k)}}, epilogue, 1, rows});
}

TEST(Contract, InputGradient) {
  for (auto [rows, n, k] : {std::tuple{320, 128, 10}, {7, 17, 31}, {100, 384, 96}})
    checkAll({"mn", "nk", "mk", {{'m', batch()}, {'n', number(n)}, {'k', number(k)}}, "residual", 1, rows});
}

TEST(Contract, WeightGradientSumsOverTheBatch) {
  for (auto [rows, n, k] : {std::tuple{320, 10, 128},
                            {1, 5, 3},
                            {95, 64, 96},
                            {97, 64, 64},
                            {193, 200, 70},
                            {1051, 33, 130},
                            {100, 1540, 70}})
    for (std::string epilogue : {"", "residual"})
      checkAll({"mn",
                "mk",
                "nk",
                {{'m', batch()}, {'n', number(n)}, {'k', number(k)}},
                epilogue,
                5,
                (rows + 4) / 5});
}

TEST(Contract, PanelsOfUnitsAndPanelsAhead) {
  // Several blocks of rows and groups of panels, one chunk of the sum and several, a part of each at the end;
  // weights of an inference entry are packed by a launch of their own.
  for (bool fixed : {false, true})
    for (auto [rows, n, k] : {std::tuple{1100, 130, 70}, {1100, 300, 400}}) {
      Case c{"mk", "nk", "mn", {{'m', batch()}, {'n', number(n)}, {'k', number(k)}}, "", 1, rows, fixed};
      checkAll(c);
      c.b = "kn";
      c.epilogue = "residual";
      checkAll(c);
    }
  // Rows of A too far apart for a copy of the last ones.
  checkAll({"mk", "nk", "mn", {{'m', batch()}, {'n', number(70)}, {'k', number(8200)}}, "", 1, 40});
  for (bool fixed : {false, true})
    for (std::string b : {"enk", "ekn", "nk"})
      checkAll({"emk",
                b,
                "emn",
                {{'e', number(3)}, {'m', batch()}, {'n', number(140)}, {'k', number(390)}},
                "",
                1,
                45,
                fixed});
}

TEST(Contract, FewStaticRows) {
  for (int64_t m : {1, 2, 5, 6, 7, 23})
    checkAll({"mk", "nk", "mn", {{'m', number(m)}, {'n', number(500)}, {'k', number(32)}}, "bias_relu"});
}

// Sums of lengths that no unrolling divides, some in several chains or chunks, of rows and of columns of A.
TEST(Contract, SumsOfAnyLength) {
  for (int64_t k : {289, 290, 293, 298, 311, 431, 590, 1051})
    for (const char *a : {"mk", "km"}) {
      checkAll({a, "nk", "mn", {{'m', batch()}, {'n', number(70)}, {'k', number(k)}}, "", 1, 13});
      checkAll({a, "kn", "mn", {{'m', number(5)}, {'n', number(9)}, {'k', number(k)}}, "bias_relu"});
    }
}

TEST(Contract, ExpertsShareTheInput) {
  // x [B, K], w [E, N, K]: experts beside the batch and before it
  for (std::string out : {"men", "emn", "mne"})
    checkAll({"mk",
              "enk",
              out,
              {{'m', batch()}, {'e', number(3)}, {'n', number(10)}, {'k', number(128)}},
              "",
              3,
              16});
}

TEST(Contract, BatchedOperands) {
  checkAll({"emk",
            "enk",
            "emn",
            {{'m', batch()}, {'e', number(3)}, {'n', number(40)}, {'k', number(20)}},
            "two",
            2,
            9});
  checkAll({"bhqd",
            "bhkd",
            "bhqk",
            {{'b', batch()}, {'h', number(2)}, {'q', number(19)}, {'k', number(23)}, {'d', number(16)}},
            "",
            1,
            3});
  checkAll({"bqhd",
            "bkhd",
            "bhqk",
            {{'b', batch()}, {'h', number(2)}, {'q', number(19)}, {'k', number(23)}, {'d', number(16)}},
            "",
            1,
            3});
  checkAll({"bhqk",
            "bkhd",
            "bqhd",
            {{'b', batch()}, {'h', number(2)}, {'q', number(19)}, {'k', number(23)}, {'d', number(16)}},
            "",
            1,
            3});
}

TEST(Contract, SeveralSummedAxes) {
  checkAll({"bek",
            "ben",
            "nk",
            {{'b', batch()}, {'e', number(3)}, {'k', number(20)}, {'n', number(7)}},
            "",
            2,
            11});
  checkAll({"ebk",
            "ben",
            "kn",
            {{'b', batch()}, {'e', number(3)}, {'k', number(20)}, {'n', number(7)}},
            "",
            2,
            11});
  checkAll({"ekm",
            "kne",
            "mn",
            {{'e', number(3)}, {'k', number(20)}, {'n', number(7)}, {'m', number(50)}},
            "bias_relu"});
}

TEST(Contract, RowsOfSeveralAxes) {
  checkAll({"apk",
            "nk",
            "pan",
            {{'a', number(5)}, {'p', batch()}, {'k', number(20)}, {'n', number(7)}},
            "row_scale",
            1,
            9});
  checkAll({"kap",
            "kn",
            "pan",
            {{'a', number(5)}, {'p', batch()}, {'k', number(20)}, {'n', number(7)}},
            "",
            1,
            9});
}

// A factor of each image has another stride along the images than along their rows. It is addressed by two axes, and the
// product still has one axis of rows.
TEST(Contract, AFactorOfEachImage) {
  for (int64_t images : {1, 9})
    for (auto [rows, n, k] : {std::tuple{17, 48, 33}, {197, 130, 20}})
      checkAll({"ipk",
                "nk",
                "ipn",
                {{'i', batch()}, {'p', number(rows)}, {'k', number(k)}, {'n', number(n)}},
                "row_scale",
                1,
                images});
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  const Case one{"ipk",
                 "nk",
                 "ipn",
                 {{'i', batch()}, {'p', number(197)}, {'k', number(20)}, {'n', number(64)}},
                 "row_scale"};
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(program(one), context.get());
  ASSERT_TRUE(module);
  flow::GroupOp group;
  module->walk([&](flow::GroupOp found) { group = found; });
  mlir::FailureOr<kernels::Epilogue> epilogue = kernels::Epilogue::of(group, group.getRoot(), {});
  ASSERT_TRUE(succeeded(epilogue));
  mlir::FailureOr<kernels::ContractForm> form = kernels::ContractForm::of(group, {}, *epilogue);
  ASSERT_TRUE(succeeded(form));
  EXPECT_EQ(form->rows.size(), 1u);
  EXPECT_EQ(form->rowsOf(form->firstInput).size(), 2u);
  EXPECT_EQ(form->rowsOf(form->firstOutput).size(), 1u);
}

TEST(Contract, ExtentsOfTheBatchEverywhere) {
  checkAll({"mk", "nk", "mn", {{'m', batch()}, {'n', batch()}, {'k', number(12)}}, "", 1, 37});
  checkAll({"mk", "kn", "mn", {{'m', batch()}, {'n', batch(2)}, {'k', batch()}}, "residual", 1, 29});
}

TEST(Contract, VectorsAndDots) {
  checkAll({"mk", "k", "m", {{'m', batch()}, {'k', number(77)}}, "", 1, 41});
  checkAll({"k", "nk", "n", {{'n', number(41)}, {'k', number(77)}}, ""});
  checkAll({"k", "k", "", {{'k', number(100)}}, ""});
  checkAll({"m", "n", "mn", {{'m', batch()}, {'n', number(20)}}, "residual", 1, 13});
}

TEST(Contract, LongEpiloguesAndMasks) {
  // In one go, in several visits to the accumulators, in parts, and for few rows.
  for (std::string epilogue : {"long", "mask"})
    for (auto [rows, n, k] : {std::tuple{50, 70, 30}, {50, 70, 500}}) {
      checkAll({"mk", "nk", "mn", {{'m', batch()}, {'n', number(n)}, {'k', number(k)}}, epilogue, 1, rows});
      checkAll({"km", "kn", "mn", {{'m', number(n)}, {'n', number(n)}, {'k', batch()}}, epilogue, 1, k});
      checkAll({"mk", "nk", "mn", {{'m', number(5)}, {'n', number(n)}, {'k', number(k)}}, epilogue});
    }
}

TEST(Contract, RandomForms) {
  std::mt19937 random(3);
  auto pick = [&](int low, int high) { return low + int(random() % (high - low + 1)); };
  for (int i = 0; i < 12; ++i) {
    Case c;
    c.rows = pick(1, 5);
    std::string roles[4] = {"", "", "", ""}; // batch, rows, columns, sums
    char next = 'a';
    for (int role = 0; role < 4; ++role)
      for (int n = role == 0 ? pick(0, 1) : pick(role == 3 ? 0 : 1, 2); n > 0; --n) {
        roles[role] += next;
        c.sizes[next++] = pick(0, 3) == 0 ? batch(pick(1, 2)) : number(pick(1, 20));
      }
    c.a = roles[0] + roles[1] + roles[3];
    c.b = roles[0] + roles[2] + roles[3];
    c.out = roles[0] + roles[1] + roles[2];
    for (std::string *labels : {&c.a, &c.b, &c.out})
      std::shuffle(labels->begin(), labels->end(), random);
    checkAll(c);
  }
}
