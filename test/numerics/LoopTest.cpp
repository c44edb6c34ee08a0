// Loop groups, compiled and run, against the f64 evaluator: every op that a loop kernel runs, alone and in
// the forms that networks are made of (norms, softmax, losses, updates, pooling), at sizes around the vector
// width, in row-major and in NHWC order, at the host's level, the one below, and on the emulated GPU. Outputs, temporaries and
// scratch hold NaNs before; any cut of the units gives the same bytes; a result that the kernel allows in an
// operand's place gives the same there.
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/Evaluator.h"
#include "frontends/driver/Context.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "test/numerics/GroupEntry.h"
#include "llvm/Support/raw_ostream.h"
#include <array>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::test;

namespace {
struct Options {
  int64_t domains = 1, rows = 1;
  bool nhwc = false; // rank-4 operands and results of the group
  int64_t classes = 3;
  double tolerance = 3e-5;
  double step = 7;
  bool mayRefuse = false; // a set of ops that need not be one kernel
  std::optional<std::vector<std::pair<unsigned, unsigned>>> inPlace = {}; // if given, what must be allowed
  size_t launches = 0;                                                    // if given, how many there must be
};

unsigned refused = 0;

/// Runs an entry's text as one loop group at every level and compares all outputs.
void check(const std::string &body, Options options = {}) {
  std::string text = "flow.program @t {\n flow.entry @e infer {\n" + body + "\n }\n}\n";
  SCOPED_TRACE(text);
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
  ASSERT_TRUE(module);
  flow::EntryOp entry;
  module->walk([&](flow::EntryOp op) { entry = op; });
  flow::Bindings bindings;
  bindings.setting.symbols = {options.domains, options.rows};
  bindings.setting.seed = 0x123456789abcull;
  bindings.setting.step = uint32_t(options.step);
  std::mt19937_64 random(11);
  flow::bindRandom(entry, bindings, random, options.classes);
  auto expected = flow::evaluate(entry, bindings);
  ASSERT_TRUE(mlir::succeeded(expected));
  std::map<std::string, double> numbers{{"seed", double(0x123456789abcull)}, {"step", options.step}};
  entry.walk([&](flow::ScalarOp op) { numbers[op.getKey().str()] = op.getFallback().convertToDouble(); });
  groupAll(entry);
  ASSERT_TRUE(mlir::succeeded(mlir::verify(*module)));
  flow::GroupOp group;
  module->walk([&](flow::GroupOp op) { group = op; });
  std::string grouped;
  llvm::raw_string_ostream(grouped) << *module;
  auto shape = [&](mlir::Type type) {
    auto extents = *flow::shapeOf(type, bindings.setting.symbols);
    return std::vector<int64_t>(extents.begin(), extents.end());
  };
  cpu::GroupLayouts layouts;
  auto layoutOf = [&](mlir::Value value) {
    bool image = options.nhwc && llvm::cast<mlir::RankedTensorType>(value.getType()).getRank() == 4;
    return image ? cpu::Layout{0, 2, 3, 1} : cpu::Layout();
  };
  for (mlir::Value value : group.getInputs())
    layouts.operands.push_back(layoutOf(value));
  for (mlir::Value value : group.getOutputs())
    layouts.results.push_back(layoutOf(value));
  for (const Machine &target : machines()) {
    const bool isCpu = std::holds_alternative<host::CpuTarget>(target);
    if (options.mayRefuse && !isOneKernel(group, layouts, target)) {
      refused += isCpu;
      if (isCpu)
        return;
      continue;
    }
    SCOPED_TRACE(levelOf(target));
    GroupRunner runner(grouped, target, options.domains, options.rows, layouts, numbers);
    ASSERT_TRUE(runner.ok());
    if (options.inPlace && isCpu)
      ASSERT_EQ(*options.inPlace, runner.inPlace());
    if (options.launches && isCpu)
      ASSERT_EQ(options.launches, runner.launches().size());
    auto bind = [&](unsigned i) {
      mlir::Value value = group.getInputs()[i];
      std::string name;
      const flow::Array *array;
      if (auto input = value.getDefiningOp<flow::InputOp>())
        array = &bindings.inputs.at(input.getName().str());
      else
        array = &bindings.states.at(value.getDefiningOp<flow::ParameterOp>().getPath().str());
      fill(runner.operand(i), llvm::cast<mlir::RankedTensorType>(value.getType()).getElementType(), *array,
           physicalOrder(shape(value.getType()), layouts.operand(i)));
    };
    for (unsigned i = 0; i < group.getInputs().size(); ++i)
      bind(i);
    runner.run();
    ASSERT_EQ("", runner.finding());
    std::vector<std::vector<char>> once;
    for (flow::OutputOp output : entry.getBody().getOps<flow::OutputOp>()) {
      unsigned i = llvm::cast<mlir::OpResult>(output.getX()).getResultNumber();
      mlir::Type element = llvm::cast<mlir::RankedTensorType>(output.getX().getType()).getElementType();
      const flow::Array &want = expected->outputs.at(output.getName().str());
      double size = 0;
      for (double v : want.data)
        if (std::isfinite(v))
          size = std::max(size, std::fabs(v));
      std::vector<int64_t> order = physicalOrder(shape(output.getX().getType()), layouts.result(i));
      for (size_t e = 0; e < order.size(); ++e) {
        double got = read(runner.result(i), element, e), wanted = want.data[order[e]];
        if (std::isnan(wanted) || std::isinf(wanted)) {
          ASSERT_EQ(std::isnan(wanted), std::isnan(got)) << output.getName().str() << " element " << order[e];
          continue;
        }
        double allowed = element.isF32() ? options.tolerance * (std::fabs(wanted) + 0.1 * size) + 1e-30 : 0;
        ASSERT_LE(std::fabs(got - wanted), allowed)
            << output.getName().str() << " element " << order[e] << " of " << order.size() << ": expected "
            << wanted << ", found " << got;
      }
    }
    for (unsigned i = 0; i < group.getNumResults(); ++i) {
      const char *data = static_cast<const char *>(runner.result(i).data);
      once.emplace_back(data, data + runner.result(i).bytes);
    }
    for (unsigned seed : {1, 2}) {
      for (unsigned i = 0; i < group.getNumResults(); ++i)
        std::memset(runner.result(i).data, 0xff, runner.result(i).bytes);
      for (size_t i = 0; i < runner.temporaryCount(); ++i)
        std::memset(runner.temporary(i).data, 0xff, runner.temporary(i).bytes);
      runner.run(seed);
      ASSERT_EQ("", runner.finding());
      for (unsigned i = 0; i < group.getNumResults(); ++i)
        ASSERT_EQ(0, std::memcmp(once[i].data(), runner.result(i).data, once[i].size()))
            << "another cut of the units gave other bytes";
    }
    ASSERT_TRUE(runner.intact()) << "something beside the buffers was written";
    for (auto [result, operand] : runner.inPlace()) {
      char *data = static_cast<char *>(runner.operand(operand).data);
      std::vector<char> before(data, data + runner.operand(operand).bytes);
      runner.place(result, operand);
      for (unsigned seed : {0, 1}) {
        runner.run(seed);
        ASSERT_EQ("", runner.finding());
        ASSERT_EQ(0, std::memcmp(once[result].data(), data, once[result].size()))
            << "result " << result << " over operand " << operand;
        std::copy(before.begin(), before.end(), data);
      }
    }
  }
}

/// Replaces $1, $2, ... in a text.
std::string with(std::string text, std::vector<std::string> values) {
  for (size_t i = values.size(); i--;) {
    std::string key = "$" + std::to_string(i + 1);
    for (size_t at; (at = text.find(key)) != std::string::npos;)
      text.replace(at, key.size(), values[i]);
  }
  return text;
}
std::string tensor(std::vector<std::string> extents, std::string element = "f32") {
  std::string shape, dims;
  bool dynamic = false;
  for (const std::string &extent : extents) {
    bool number = extent.find_first_not_of("0123456789") == std::string::npos;
    dynamic |= !number;
    shape += (number ? extent : "?") + "x";
    dims += (dims.empty() ? "" : ", ") + extent;
  }
  return "tensor<" + shape + element + (dynamic ? ", #flow.dims<[" + dims + "]>" : "") + ">";
}

const std::vector<int64_t> sizes = {1, 3, 15, 16, 17, 33, 130};

TEST(Loop, Chain) {
  for (int64_t n : sizes) {
    std::string m = std::to_string(n);
    check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.input "y" : $1
      %a = flow.add %x, %y : $1
      %b = flow.mul %a, %x : $1
      %c = flow.relu %b : $1
      %d = flow.sub %c, %y : $1
      flow.output "c" %c : $1
      flow.output "d" %d : $1)",
               {tensor({"B", m})}),
          {.domains = 1, .rows = 5});
    check(with(R"(
      %x = flow.parameter "x" uniform(-1.0, 1.0) : $1
      %a = flow.neg %x : $1
      flow.output "a" %a : $1)",
               {tensor({m, "7"})}));
  }
}

TEST(Loop, Unary) {
  for (const char *op : {"neg", "exp", "tanh", "sigmoid", "relu", "silu", "gelu", "gelu_slope", "erf", "abs"})
    check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.$2 %x : $1
      flow.output "y" %y : $1)",
               {tensor({"B", "37"}), op}),
          {.rows = 9});
  for (const char *op : {"log", "sqrt", "rsqrt"})
    check(with(R"(
      %x = flow.input "x" : $1
      %z = flow.mul %x, %x : $1
      %c = flow.constant 1.000000e-03 : $1
      %w = flow.add %z, %c : $1
      %y = flow.$2 %w : $1
      flow.output "y" %y : $1)",
               {tensor({"B", "37"}), op}),
          {.rows = 9});
}

TEST(Loop, MasksAndNumbers) {
  check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.input "y" : $1
      %l = flow.input "label" : $2
      %m = flow.compare lt %x, %y : $1
      %n = flow.not %m : $3
      %s = flow.select %n, %x, %y : $1
      %i = flow.iota 1 : $4
      %j = flow.broadcast %l to [0] : $2 -> $4
      %e = flow.compare eq %i, %j : $4
      %f = flow.convert %e : $3 -> $1
      %o = flow.and %e, %m : $3
      %k = flow.is_finite %x : $1
      %p = flow.pow %f, %f : $1
      flow.output "m" %m : $3
      flow.output "s" %s : $1
      flow.output "f" %f : $1
      flow.output "o" %o : $3
      flow.output "k" %k : $3
      flow.output "j" %j : $4)",
             {tensor({"B", "19"}), tensor({"B"}, "i32"), tensor({"B", "19"}, "i1"),
              tensor({"B", "19"}, "i32")}),
        {.rows = 21, .classes = 19});
}

TEST(Loop, Reductions) {
  for (int64_t n : sizes)
    for (const char *kind : {"sum", "max", "min"}) {
      std::string m = std::to_string(n);
      for (int64_t rows : {1, 17}) {
        check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.reduce $3 %x over [1] : $1 -> $2
      flow.output "y" %y : $2)",
                   {tensor({"B", m}), tensor({"B"}), kind}),
              {.rows = rows});
        check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.reduce $3 %x over [0] : $1 -> $2
      flow.output "y" %y : $2)",
                   {tensor({"B", m}), tensor({m}), kind}),
              {.rows = rows});
      }
    }
}

// Lanes along the results, two axes summed: runs of the inner one are combined over the outer one, and long
// ones cut.
TEST(Loop, SumsOfSums) {
  for (auto [height, width] : {std::pair("5", "7"), {"3", "28"}, {"2", "70"}})
    for (const char *kind : {"sum", "max"})
      check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.reduce $3 %x over [1, 2] : $1 -> $2
      flow.output "y" %y : $2)",
                 {tensor({"B", height, width, "20"}), tensor({"B", "20"}), kind}),
            {.rows = 3});
  // A weight along one of the two keeps them apart: a run is then the inner axis, whole or cut.
  for (auto [height, width] : {std::pair("5", "7"), {"3", "28"}, {"2", "64"}, {"2", "65"}, {"3", "200"}})
    for (const char *kind : {"sum", "max"})
      check(with(R"(
      %x = flow.input "x" : $1
      %w = flow.parameter "w" uniform(-1.0, 1.0) : $2
      %v = flow.broadcast %w to [2] : $2 -> $1
      %p = flow.mul %x, %v : $1
      %y = flow.reduce $4 %p over [1, 2] : $1 -> $3
      flow.output "y" %y : $3)",
                 {tensor({"B", height, width, "20"}), tensor({width}), tensor({"B", "20"}), kind}),
            {.rows = 3});
}

TEST(Loop, LargeReductionsAreSplit) {
  check(with(R"(
      %x = flow.input "x" : $1
      %q = flow.mul %x, %x : $1
      %y = flow.reduce sum %q over [0] : $1 -> $2
      %z = flow.reduce max %x over [0] : $1 -> $2
      %h = flow.constant 2.500000e-01 : $2
      %w = flow.mul %y, %h : $2
      flow.output "w" %w : $2
      flow.output "z" %z : $2)",
             {tensor({"B", "1000"}), tensor({"1000"})}),
        {.domains = 5, .rows = 61});
  check(with(R"(
      %x = flow.parameter "x" uniform(-1.0, 1.0) : $1
      %q = flow.mul %x, %x : $1
      %y = flow.reduce sum %q over [0, 1] : $1 -> tensor<f32>
      flow.output "y" %y : tensor<f32>)",
             {tensor({"700", "333"})}));
  check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.reduce sum %x over [0, 2, 3] : $1 -> $2
      flow.output "y" %y : $2)",
             {tensor({"B", "24", "14", "14"}), tensor({"24"})}),
        {.domains = 2, .rows = 19, .nhwc = true});
}

TEST(Loop, Softmax) {
  for (int64_t n : sizes) {
    std::string m = std::to_string(n);
    check(with(R"(
      %x = flow.input "x" : $1
      %m = flow.reduce max %x over [1] : $1 -> $2
      %n = flow.broadcast %m to [0] : $2 -> $1
      %d = flow.sub %x, %n : $1
      %e = flow.exp %d : $1
      %s = flow.reduce sum %e over [1] : $1 -> $2
      %t = flow.broadcast %s to [0] : $2 -> $1
      %y = flow.div %e, %t : $1
      %l = flow.log %s : $2
      flow.output "y" %y : $1
      flow.output "l" %l : $2)",
               {tensor({"B", m}), tensor({"B"})}),
          {.domains = 2, .rows = 9});
  }
}

// A result goes over an operand that earlier nests of the unit read, as long as no other unit reads it as
// well.
TEST(Loop, InPlace) {
  using Pairs = std::vector<std::pair<unsigned, unsigned>>;
  check(with(R"(
      %x = flow.input "x" : $1
      %s = flow.reduce sum %x over [1] : $1 -> $2
      %b = flow.broadcast %s to [0] : $2 -> $1
      %y = flow.add %x, %b : $1
      flow.output "y" %y : $1)",
             {tensor({"B", "40"}), tensor({"B"})}),
        {.rows = 12, .inPlace = Pairs{{0, 0}}});
  // Sums of columns, and a unit has a row: other units read it.
  check(with(R"(
      %x = flow.input "x" : $1
      %t = flow.transpose %x [1, 0, 2] : $1 -> $1
      %s = flow.reduce sum %t over [1] : $1 -> $2
      %b = flow.broadcast %s to [0, 2] : $2 -> $1
      %y = flow.add %x, %b : $1
      flow.output "y" %y : $1)",
             {tensor({"48", "48", "32"}), tensor({"48", "32"})}),
        {.inPlace = Pairs{}});
  // The operand is read again, behind the result that might lie over it.
  check(with(R"(
      %x = flow.input "x" : $1
      %s = flow.reduce sum %x over [1] : $1 -> $2
      %b = flow.broadcast %s to [0] : $2 -> $1
      %y = flow.mul %x, %b : $1
      %d = flow.sub %y, %x : $1
      %m = flow.reduce max %d over [1] : $1 -> $2
      flow.output "y" %y : $1
      flow.output "m" %m : $2)",
             {tensor({"B", "40"}), tensor({"B"})}),
        {.rows = 12, .inPlace = Pairs{}});
}

// On a GPU all threads of a team read the row's operand, which the first of them overwrites.
TEST(Loop, ValueOfARowInPlace) {
  check(with("%x = flow.input \"x\" : $1\n %g = flow.input \"g\" : $2\n"
             "%m = flow.reduce max %x over [1] : $1 -> $2\n %y = flow.mul %g, %m : $2\n"
             "%wide = flow.broadcast %m to [0] : $2 -> $1\n %z = flow.sub %x, %wide : $1\n"
             "flow.output \"y\" %y : $2\n flow.output \"z\" %z : $1\n",
             {tensor({"B", "70"}), tensor({"B"})}),
        {.rows = 13});
}

TEST(Loop, Argmax) {
  for (int64_t n : sizes) {
    std::string m = std::to_string(n);
    check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.argmax %x along 1 : $1 -> $2
      flow.output "y" %y : $2)",
               {tensor({"B", m}), tensor({"B"}, "i32")}),
          {.rows = 6});
    check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.argmax %x along 0 : $1 -> $2
      flow.output "y" %y : $2)",
               {tensor({"B", m}), tensor({m}, "i32")}),
          {.rows = 6});
  }
}

// A long reduction with several accumulators is cut into chunks like one with a single accumulator; two such
// reductions share the chunks.
TEST(Loop, PairsInChunks) {
  check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.argmax %x along 0 : $1 -> $2
      flow.output "y" %y : $2)",
             {tensor({"262144"}), tensor({}, "i32")}),
        {.launches = 2});
  check(with(R"(
      %x = flow.input "x" : $1
      %z = flow.neg %x : $1
      %y = flow.argmax %z along 0 : $1 -> $2
      %s = flow.reduce sum %z over [0] : $1 -> $3
      flow.output "y" %y : $2
      flow.output "s" %s : $3)",
             {tensor({"100003", "3"}), tensor({"3"}, "i32"), tensor({"3"})}),
        {.launches = 2});
}

TEST(Loop, Views) {
  Options o{.domains = 2, .rows = 5};
  check(with(R"(
      %x = flow.input "x" : $1
      %s = flow.slice %x from [0, 1, 2] by [1, 1, 2] : $1 -> $2
      %t = flow.transpose %s [0, 2, 1] : $2 -> $3
      %r = flow.reshape %t : $3 -> $4
      flow.output "t" %t : $3
      flow.output "r" %r : $4)",
             {tensor({"B", "9", "21"}), tensor({"B", "7", "10"}), tensor({"B", "10", "7"}),
              tensor({"B", "70"})}),
        o);
  check(with(R"(
      %x = flow.input "x" : $1
      %p = flow.pad %x low [0, 2] interior [0, 1] with 3.000000e+00 : $1 -> $2
      %q = flow.pad %x low [0, 1] interior [0, 0] with 0.000000e+00 : $1 -> $3
      flow.output "p" %p : $2
      flow.output "q" %q : $3)",
             {tensor({"B", "20"}), tensor({"B", "44"}), tensor({"B", "23"})}),
        o);
  check(with(R"(
      %x = flow.input "x" : $1
      %y = flow.input "y" : $2
      %c = flow.concat %x, %y, %x along 1 : $1, $2, $1 -> $3
      %w = flow.parameter "w" uniform(-1.0, 1.0) : $5
      %d = flow.concat %w, %x along 0 : $5, $1 -> $4
      flow.output "c" %c : $3
      flow.output "d" %d : $4)",
             {tensor({"B", "20"}), tensor({"B", "5"}), tensor({"B", "45"}), tensor({"B + 3", "20"}),
              tensor({"3", "20"})}),
        o);
  check(with(R"(
      %x = flow.input "x" : $1
      %r = flow.reshape %x : $1 -> $2
      %s = flow.reduce sum %r over [1] : $2 -> $3
      flow.output "s" %s : $3)",
             {tensor({"B", "20"}), tensor({"D", "N", "20"}), tensor({"D", "20"})}),
        o);
}

TEST(Loop, Gather) {
  check(with(R"(
      %t = flow.parameter "t" uniform(-1.0, 1.0) : $1
      %i = flow.input "i" : $2
      %g = flow.gather %t, %i : $1, $2 -> $3
      flow.output "g" %g : $3)",
             {tensor({"7", "18"}), tensor({"B"}, "i32"), tensor({"B", "18"})}),
        {.rows = 23, .classes = 7});
  check(with(R"(
      %t = flow.parameter "t" uniform(-1.0, 1.0) : $1
      %i = flow.input "i" : $2
      %g = flow.gather %t, %i : $1, $2 -> $3
      flow.output "g" %g : $3)",
             {tensor({"7"}), tensor({"B"}, "i32"), tensor({"B"})}),
        {.rows = 23, .classes = 7});
}

// Segments that begin and end anywhere, of rows of one element and of many, longer than a run of sums, gathered or
// computed at the place, beside other sums of the same rows, and with sums that share the loop.
TEST(Loop, Segments) {
  for (const char *columns : {"", "1", "3", "18", "70"})
    for (int64_t rows : {1, 23, 400}) {
      auto shaped = [&](const char *first) {
        std::vector<std::string> extents{first};
        if (*columns)
          extents.push_back(columns);
        return tensor(extents);
      };
      check(with(R"(
      %r = flow.input "r" : $1
      %o = flow.input "o" : $2
      %s = flow.segment_sum %r, %o : $1, $2 -> $3
      flow.output "s" %s : $3)",
                 {shaped("B"), tensor({"10"}, "i32"), shaped("9")}),
            {.rows = rows, .classes = rows + 1});
      check(with(R"(
      %r = flow.input "r" : $1
      %i = flow.input "i" : $4
      %o = flow.input "o" : $2
      %e = flow.exp %r : $1
      %g = flow.gather %e, %i : $1, $4 -> $1
      %s = flow.segment_sum %g, %o : $1, $2 -> $3
      %t = flow.segment_sum %e, %o : $1, $2 -> $3
      %u = flow.mul %s, %t : $3
      %a = flow.reduce sum %g over [0] : $1 -> $5
      flow.output "a" %a : $5
      flow.output "s" %s : $3
      flow.output "u" %u : $3)",
                 {shaped("B"), tensor({"10"}, "i32"), shaped("9"), tensor({"B"}, "i32"),
                  *columns ? tensor({columns}) : tensor({})}),
            {.rows = rows, .classes = rows, .mayRefuse = true});
    }
}

// One row: no dimension is left for lanes where segments tell all others apart.
TEST(Loop, SegmentsOfOneRow) {
  for (const char *columns : {"", "1", "5"}) {
    auto shaped = [&](const char *first) {
      std::vector<std::string> extents{first};
      if (*columns)
        extents.push_back(columns);
      return tensor(extents);
    };
    const std::string from = *columns ? "[1, 0]" : "[1]", by = *columns ? "[1, 1]" : "[1]";
    check(with(R"(
      %r = flow.input "r" : $1
      %o = flow.input "o" : $2
      %s = flow.segment_sum %r, %o : $1, $2 -> $3
      %l = flow.slice %s from $5 by $6 : $3 -> $4
      flow.output "s" %s : $3
      flow.output "l" %l : $4)",
               {shaped("1"), tensor({"10"}, "i32"), shaped("9"), shaped("8"), from, by}),
          {.classes = 2});
    check(with(R"(
      %r = flow.input "r" : $1
      %o = flow.input "o" : $2
      %s = flow.segment_sum %r, %o : $1, $2 -> $3
      %t = flow.reduce sum %s over [0] : $3 -> $4
      flow.output "s" %s : $3
      flow.output "t" %t : $4)",
               {shaped("1"), tensor({"10"}, "i32"), shaped("9"), *columns ? tensor({columns}) : tensor({})}),
          {.classes = 2});
  }
}

TEST(Loop, Pooling) {
  for (bool nhwc : {false, true})
    for (const char *kind : {"max", "sum"}) {
      check(with(R"(
      %x = flow.input "x" : $1
      %w = flow.window %x size [3, 2] by [2, 1] pads [1, 0, 1, 1] with 0.000000e+00 : $1 -> $2
      %y = flow.reduce $4 %w over [4, 5] : $2 -> $3
      flow.output "y" %y : $3)",
                 {tensor({"B", "17", "9", "7"}), tensor({"B", "17", "5", "7", "3", "2"}),
                  tensor({"B", "17", "5", "7"}), kind}),
            {.rows = 3, .nhwc = nhwc});
      check(with(R"(
      %x = flow.input "x" : $1
      %w = flow.broadcast %x to [0, 1, 2, 3] : $1 -> $2
      %y = flow.window_sum %w by [2, 1] pads [1, 0, 1, 1] : $2 -> $3
      flow.output "y" %y : $3)",
                 {tensor({"B", "17", "5", "7"}), tensor({"B", "17", "5", "7", "3", "2"}),
                  tensor({"B", "17", "9", "7"})}),
            {.rows = 3, .nhwc = nhwc});
    }
}

// Rows that begin inside a block of four numbers, and such as never do, with a rest of vectors and without.
TEST(Loop, Random) {
  for (const char *columns : {"33", "64", "36", "4", "2"})
    check(with(R"(
      %u = flow.random uniform 12345 -> $1
      %n = flow.random normal 777 -> $1
      flow.output "u" %u : $1
      flow.output "n" %n : $1)",
               {tensor({"B", columns})}),
          {.rows = 7, .tolerance = 1e-5});
}

// Numbers behind other columns: lanes of a vector lie in front of the first one.
TEST(Loop, RandomBehindOtherColumns) {
  for (auto [before, columns] : {std::pair("4", "12"), {"3", "13"}, {"8", "8"}, {"8", "24"}, {"20", "44"}}) {
    const std::string sum = std::to_string(atoi(before) + atoi(columns));
    for (const char *kind : {"uniform", "normal"})
      check(
          with(
              "%x = flow.input \"x\" : $1\n %r = flow.random " + std::string(kind) +
                  " 12345 -> $2\n %y = flow.concat %x, %r along 1 : $1, $2 -> $3\n flow.output \"y\" %y : $3",
              {tensor({"B", before}), tensor({"B", columns}), tensor({"B", sum})}),
          {.rows = 5, .tolerance = 1e-5});
  }
}

TEST(Loop, GroupNorm) {
  for (int64_t channels : {8, 32, 64})
    for (int64_t pixels : {1, 5, 14})
      for (bool nhwc : {false, true}) {
        // Through the builder, since this is the form that models have; both directions are one kernel each.
        std::unique_ptr<mlir::MLIRContext> context = makeContext();
        std::string text =
            with("flow.program @t {\n flow.entry @e infer {\n %x = flow.input \"x\" : $1\n %w = "
                 "flow.parameter \"w\" "
                 "uniform(-1.0, 1.0) : $2\n flow.output \"x\" %x : $1\n flow.output \"w\" %w : $2\n }\n}",
                 {tensor({"B", std::to_string(channels), std::to_string(pixels), std::to_string(pixels)}),
                  tensor({std::to_string(channels)})});
        auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
        ASSERT_TRUE(module);
        std::vector<flow::OutputOp> outputs;
        module->walk([&](flow::OutputOp op) { outputs.push_back(op); });
        mlir::OpBuilder builder(outputs[0]);
        mlir::Value y = flow::groupNorm(builder, outputs[0].getLoc(), outputs[0].getX(), outputs[1].getX(),
                                        outputs[1].getX(), 4, 1e-5);
        outputs[0]->setOperand(0, y);
        outputs[1].erase();
        std::string body;
        llvm::raw_string_ostream stream(body);
        module->walk([&](flow::EntryOp entry) {
          mlir::AsmState state(entry);
          for (mlir::Operation &op : entry.getBody().front()) {
            op.print(stream, state);
            stream << "\n";
          }
        });
        check(body, {.rows = 3, .nhwc = nhwc});
      }
}

TEST(Loop, Adam) {
  for (const char *shape : {"1", "33", "4096"})
    check(with(R"(
      %p = flow.parameter "p" uniform(-1.0, 1.0) : $1
      %m = flow.parameter "m" uniform(-1.0, 1.0) : $1
      %g = flow.input "g" : $1
      %k = flow.input "keep" : tensor<i1>
      %lr = flow.scalar "optimizer.lr" recipe, 1.000000e-03 : tensor<f32>
      %b = flow.scalar "optimizer.beta1" recipe, 0.900000e+00 : tensor<f32>
      %one = flow.constant 1.000000e+00 : tensor<f32>
      %c = flow.sub %one, %b : tensor<f32>
      %bb = flow.broadcast %b to [] : tensor<f32> -> $1
      %cc = flow.broadcast %c to [] : tensor<f32> -> $1
      %ll = flow.broadcast %lr to [] : tensor<f32> -> $1
      %kk = flow.broadcast %k to [] : tensor<i1> -> $2
      %m1 = flow.mul %m, %bb : $1
      %m2 = flow.mul %g, %cc : $1
      %m3 = flow.add %m1, %m2 : $1
      %u = flow.mul %m3, %ll : $1
      %p1 = flow.sub %p, %u : $1
      %p2 = flow.select %kk, %p1, %p : $1
      %m4 = flow.select %kk, %m3, %m : $1
      flow.output "p" %p2 : $1
      flow.output "m" %m4 : $1)",
               {tensor({shape, "9"}), tensor({shape, "9"}, "i1")}));
}

// A sum over the batch is cut into chunks: the chunk of rows that units would take is gone then.
TEST(Loop, SplitWithoutUnits) {
  check(with(R"(
      %x = flow.input "x" : $1
      %s = flow.reduce sum %x over [0, 1] : $1 -> $2
      %y = flow.mul %s, %s : $2
      flow.output "y" %y : $2)",
             {tensor({"B", "1024", "16"}), tensor({"16"})}),
        {.domains = 5, .rows = 4, .tolerance = 1e-4});
}

// Two dimensions are units': the small reduction finds no dimension for its lanes among them.
TEST(Loop, LanesAreNoUnits) {
  check(with(R"(
      %x = flow.input "x" : $1
      %z = flow.input "z" : $2
      %c = flow.input "c" : $4
      %s = flow.reduce sum %z over [0] : $2 -> $3
      %t = flow.broadcast %s to [0, 1] : $3 -> $1
      %u = flow.broadcast %c to [1] : $4 -> $1
      %v = flow.mul %x, %u : $1
      %y = flow.add %v, %t : $1
      flow.output "y" %y : $1)",
             {tensor({"B", "64", "1024"}), tensor({"4", "B", "64"}), tensor({"B", "64"}), tensor({"64"})}),
        {.rows = 3});
}

// Each square has two ways to the next: to follow all ways never ends.
TEST(Loop, ManyWays) {
  std::string body = "      %x = flow.input \"x\" : $1\n      %v0 = flow.tanh %x : $1\n";
  const int squares = 60;
  for (int i = 0; i < squares; ++i) {
    std::string from = "%v" + std::to_string(i);
    body += "      %v" + std::to_string(i + 1) + " = flow.mul " + from + ", " + from + " : $1\n";
  }
  body += "      flow.output \"y\" %v" + std::to_string(squares) + " : $1";
  check(with(body, {tensor({"B", "16"})}), {.rows = 3});
}

/// A random graph over tensors of [B, C, n] and what is left of them when axes are dropped.
std::string randomBody(std::mt19937 &random, int64_t c, int64_t n) {
  std::string C = std::to_string(c), N = std::to_string(n), less = std::to_string(n - 1),
              flat = std::to_string(c * n);
  std::map<std::string, std::string> types = {{"bcn", tensor({"B", C, N})}, {"bc", tensor({"B", C})},
                                              {"bn", tensor({"B", N})},     {"cn", tensor({C, N})},
                                              {"b", tensor({"B"})},         {"c", tensor({C})},
                                              {"i", tensor({"B"}, "i32")},  {"bnc", tensor({"B", N, C})},
                                              {"bf", tensor({"B", flat})},  {"bcl", tensor({"B", C, less})}};
  std::map<std::string, std::vector<std::string>> pool;
  std::string body;
  unsigned next = 0;
  auto line = [&](const std::string &kind, const std::string &text) {
    std::string name = "%v" + std::to_string(next++);
    body += "      " + name + " = " + text + "\n";
    pool[kind].push_back(name);
    return name;
  };
  auto pick = [&](const std::string &kind) -> std::string {
    auto &all = pool[kind];
    // Recent ones are likelier, so that graphs become deep.
    return all[all.size() - 1 - std::min<size_t>(random() % all.size(), random() % all.size())];
  };
  for (const char *kind : {"bcn", "bc", "bn", "cn", "b", "c", "i"})
    line(kind, "flow.input \"" + std::string(kind) + "\" : " + types[kind]);
  auto op = [&](const std::string &to, const std::string &name, const std::string &from,
                const std::string &rest) {
    line(to, "flow." + name + " " + pick(from) + " " + rest + " : " + types[from] + " -> " + types[to]);
  };
  const std::vector<std::string> kinds = {"bcn", "bcn", "bcn", "bc", "bn", "cn", "b", "c"};
  const std::vector<std::array<std::string, 3>> reductions = {
      {"bcn", "bc", "[2]"}, {"bcn", "bn", "[1]"}, {"bcn", "cn", "[0]"}, {"bc", "b", "[1]"},
      {"bc", "c", "[0]"},   {"bn", "b", "[1]"},   {"cn", "c", "[1]"}};
  const std::vector<std::array<std::string, 3>> spreads = {
      {"bc", "bcn", "[0, 1]"}, {"bn", "bcn", "[0, 2]"}, {"cn", "bcn", "[1, 2]"}, {"b", "bc", "[0]"},
      {"c", "bc", "[1]"},      {"b", "bn", "[0]"},      {"c", "cn", "[0]"}};
  const unsigned count = 4 + random() % 12;
  for (unsigned i = 0; i < count; ++i) {
    std::string kind = kinds[random() % kinds.size()];
    switch (random() % 12) {
    case 0:
    case 1:
      line(kind,
           "flow." + std::string(random() % 2 ? "tanh" : "relu") + " " + pick(kind) + " : " + types[kind]);
      break;
    case 2:
    case 3:
      line(kind, "flow." + std::string(random() % 2 ? "sub" : "maximum") + " " + pick(kind) + ", " +
                     pick(kind) + " : " + types[kind]);
      break;
    case 4:
    case 5: {
      auto [from, to, axes] = reductions[random() % reductions.size()];
      op(to, "reduce", from, "");
      // The kind stands in front of the operand.
      size_t at = body.rfind("flow.reduce ") + 12;
      body.insert(at, random() % 2 ? "sum " : "max ");
      body.insert(body.find("  :", at), " over " + axes);
      break;
    }
    case 6:
    case 7: {
      auto [from, to, dims] = spreads[random() % spreads.size()];
      op(to, "broadcast", from, "to " + dims);
      break;
    }
    case 8:
      op("bcl", "slice", "bcn", "from [0, 0, 1] by [1, 1, 1]");
      line("bcn", "flow.pad " + pool["bcl"].back() + " low [0, 0, " + std::to_string(random() % 2) +
                      "] interior [0, 0, 0] with 0.000000e+00 : " + types["bcl"] + " -> " + types["bcn"]);
      break;
    case 9: {
      std::string y = line("bnc", "flow.transpose " + pick("bcn") + " [0, 2, 1] : " + types["bcn"] + " -> " +
                                      types["bnc"]);
      y = line("bf", "flow.reshape " + y + " : " + types["bnc"] + " -> " + types["bf"]);
      line("bcn", "flow.reshape " + y + " : " + types["bf"] + " -> " + types["bcn"]);
      break;
    }
    case 10:
      line("bn", "flow.gather " + pick("cn") + ", " + pick("i") + " : " + types["cn"] + ", " + types["i"] +
                     " -> " + types["bn"]);
      break;
    default:
      if (random() % 2)
        line("i", "flow.argmax " + pick("bc") + " along 1 : " + types["bc"] + " -> " + types["i"]);
      else
        line("cn", "flow.scatter_add " + pick("i") + ", " + pick("bn") + " : " + types["i"] + ", " +
                       types["bn"] + " -> " + types["cn"]);
    }
  }
  unsigned outputs = 0;
  for (const char *kind : {"bcn", "bc", "bn", "cn", "b", "c", "i"})
    if (pool[kind].size() > 1) {
      std::string name = pool[kind].back();
      body += "      flow.output \"o" + std::to_string(outputs++) + "\" " + name + " : " + types[kind] + "\n";
    }
  return outputs ? body : "";
}

TEST(Loop, RandomGraphs) {
  std::mt19937 random(3);
  refused = 0;
  unsigned run = 0;
  for (int i = 0; i < 60; ++i) {
    const int64_t channels[] = {3, 16, 17}, lengths[] = {2, 8, 20, 33};
    int64_t c = channels[random() % 3], n = lengths[random() % 4];
    std::string body = randomBody(random, c, n);
    if (body.empty())
      continue;
    ++run;
    check(body, {.domains = 1 + int64_t(random() % 2),
                 .rows = 1 + int64_t(random() % 9),
                 .classes = c,
                 .tolerance = 1e-4,
                 .mayRefuse = true});
    if (HasFatalFailure())
      return;
  }
  // Fusion never asks for what is refused; what is accepted has to be enough to say something.
  EXPECT_GT(run - refused, run / 4) << refused << " of " << run << " graphs were no single kernel";
}
} // namespace
