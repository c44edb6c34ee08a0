// Batches at which a program that is sound at others has a size of 0 or less, or one that a kernel's lanes
// cannot index: refused when bound, by rule and with a batch that fits, whether the size is a buffer's or
// only passes through a kernel; and nothing is allocated before. The nearest batch that is taken gives the
// evaluator's numbers.
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "runtime/session/Session.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

struct Batch {
  int64_t rows;
  std::string expected; // parts of the refusal, separated by |; empty: taken
};

OwningOpRef<ModuleOp> parse(const std::string &body) {
  auto module = parseSourceString<ModuleOp>(
      "flow.program @p {\n  flow.entry @main infer {\n" + body + "\n  }\n}\n", &context());
  EXPECT_TRUE(module && succeeded(mlir::verify(*module))) << body;
  return module;
}

/// Binds the entry at each batch, and runs it at `run` rows.
void check(const std::string &body, std::initializer_list<Batch> batches, int64_t run = 0) {
  auto module = parse(body);
  ASSERT_TRUE(module);
  auto program = compileProgram(*module, {});
  ASSERT_TRUE(program);
  for (const Batch &batch : batches) {
    auto bound = moert::memoryUse(*program, 0, "main", {1, batch.rows}, 1);
    EXPECT_EQ(bound.ok(), batch.expected.empty())
        << batch.rows << (bound.ok() ? "" : bound.status().message());
    if (bound.ok())
      continue;
    StringRef rest = batch.expected;
    while (!rest.empty()) {
      auto [part, more] = rest.split('|');
      EXPECT_NE(bound.status().message().find(part.str()), std::string::npos) << bound.status().message();
      rest = more;
    }
  }
  if (!run)
    return;
  module = parse(body);
  flow::Bindings bindings;
  bindings.setting.symbols = {1, run};
  flow::EntryOp entry;
  module->walk([&](flow::EntryOp op) { entry = op; });
  module->walk([&](flow::InputOp input) {
    flow::Array array(*flow::shapeOf(input.getType(), bindings.setting.symbols));
    for (auto [i, value] : llvm::enumerate(array.data))
      value = double(i % 17) - 5;
    bindings.inputs[input.getName().str()] = array;
  });
  auto expected = flow::evaluate(entry, bindings);
  ASSERT_TRUE(succeeded(expected));
  auto found = runCompiled(*module, "main", bindings);
  ASSERT_TRUE(found);
  for (auto &[name, value] : expected->outputs)
    for (size_t i = 0; i < value.data.size(); ++i)
      EXPECT_NEAR(value.data[i], found->outputs.at(name).data[i], 1e-4 * (1 + std::fabs(value.data[i])));
}

TEST(BindSizes, AnOutputThatIsEmpty) {
  check(
      R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.slice %x from [4] by [1] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?xf32, #flow.dims<[N - 4]>>
    %y = flow.neg %s : tensor<?xf32, #flow.dims<[N - 4]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[N - 4]>>)",
      {{5, ""},
       {4,
        "entry 'main', 'y': expected sizes of at least 1, found 0 at 1 x 4 images; use at least 1 x 5 [B07]"},
       {3, "found -1 at 1 x 3 images; use at least 1 x 5 [B01]"}},
      5);
}

TEST(BindSizes, ASliceThatIsNoBuffer) {
  check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.slice %x from [4] by [1] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?xf32, #flow.dims<[N - 4]>>
    %e = flow.exp %s : tensor<?xf32, #flow.dims<[N - 4]>>
    %p = flow.pad %e low [4] interior [0] with 0.0 : tensor<?xf32, #flow.dims<[N - 4]>> -> tensor<?xf32, #flow.dims<[N]>>
    %y = flow.add %x, %p : tensor<?xf32, #flow.dims<[N]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[N]>>)",
        {{5, ""}, {4, "found 0|use at least 1 x 5 [B07]"}, {1, "found -3|[B01]"}}, 6);
}

TEST(BindSizes, AQuotient) {
  check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.slice %x from [0] by [4] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?xf32, #flow.dims<[floor(N, 4)]>>
    %y = flow.reduce max %s over [0] : tensor<?xf32, #flow.dims<[floor(N, 4)]>> -> tensor<f32>
    flow.output "y" %y : tensor<f32>)",
        {{4, ""}, {3, "found 0|use at least 1 x 4 [B07]"}}, 9);
}

TEST(BindSizes, WindowsOfAnImageThatIsTooSmall) {
  check(R"(
    %x = flow.input "x" : tensor<1x3x?x8xf32, #flow.dims<[1, 3, N, 8]>>
    %w = flow.window %x size [3, 3] by [1, 1] pads [0, 0, 0, 0] with 0.0 : tensor<1x3x?x8xf32, #flow.dims<[1, 3, N, 8]>> -> tensor<1x3x?x6x3x3xf32, #flow.dims<[1, 3, N - 2, 6, 3, 3]>>
    %y = flow.reduce max %w over [4, 5] : tensor<1x3x?x6x3x3xf32, #flow.dims<[1, 3, N - 2, 6, 3, 3]>> -> tensor<1x3x?x6xf32, #flow.dims<[1, 3, N - 2, 6]>>
    %z = flow.reduce sum %y over [0, 1, 2, 3] : tensor<1x3x?x6xf32, #flow.dims<[1, 3, N - 2, 6]>> -> tensor<f32>
    flow.output "z" %z : tensor<f32>)",
        {{3, ""}, {2, "use at least 1 x 3 [B07]"}, {1, "use at least 1 x 3 [B01]"}}, 5);
}

// 65,536 elements a row, summed as they are made: 2^31 at 32,768 rows.
TEST(BindSizes, AReshapeThatIsNoBuffer) {
  check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %w = flow.input "w" : tensor<65536xf32>
    %a = flow.broadcast %x to [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %b = flow.broadcast %w to [1] : tensor<65536xf32> -> tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %m = flow.mul %a, %b : tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %r = flow.reshape %m : tensor<?x65536xf32, #flow.dims<[N, 65536]>> -> tensor<?x256xf32, #flow.dims<[N * 256, 256]>>
    %e = flow.abs %r : tensor<?x256xf32, #flow.dims<[N * 256, 256]>>
    %y = flow.reduce sum %e over [0, 1] : tensor<?x256xf32, #flow.dims<[N * 256, 256]>> -> tensor<f32>
    flow.output "y" %y : tensor<f32>)",
        {{32767, ""},
         {32768,
          "expected at most 2147483647 elements, found 2147483648 at 1 x 32768 images; use at most 1 x 32767 "
          "[B06]"},
         {int64_t(1) << 28, "use at most 1 x 32767 [B06]"}},
        3);
}

TEST(BindSizes, RandomNumbersThatAreNoBuffer) {
  check(R"(
    %r = flow.random uniform 7 -> tensor<?x64xf32, #flow.dims<[N, 64]>>
    %y = flow.reduce sum %r over [1] : tensor<?x64xf32, #flow.dims<[N, 64]>> -> tensor<?xf32, #flow.dims<[N]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[N]>>)",
        {{33554431, ""}, {33554432, "use at most 1 x 33554431 [B06]"}}, 2);
}

// As many elements as above, but no index runs through them all: one axis of a segment on each side, or a
// segment that is small.
void checkInner(const std::string &from, const std::string &to, const std::string &fromAxes,
                const std::string &toAxes) {
  auto type = [](const std::string &shape, const std::string &axes) {
    return "tensor<?x" + shape + "xf32, #flow.dims<[N, " + axes + "]>>";
  };
  std::string rest = "1", every = "0, 1";
  for (size_t i = 2; i <= size_t(llvm::count(fromAxes, ',')) + 1; ++i)
    rest += ", " + std::to_string(i);
  for (size_t i = 2; i <= size_t(llvm::count(toAxes, ',')) + 1; ++i)
    every += ", " + std::to_string(i);
  std::string a = type(from, fromAxes), b = type(to, toAxes), x = "tensor<?xf32, #flow.dims<[N]>>";
  check("%x = flow.input \"x\" : " + x + "\n%w = flow.input \"w\" : tensor<" + from +
            "xf32>\n%a = flow.broadcast %x to [0] : " + x + " -> " + a + "\n%b = flow.broadcast %w to [" +
            rest + "] : tensor<" + from + "xf32> -> " + a + "\n%m = flow.mul %a, %b : " + a +
            "\n%r = flow.reshape %m : " + a + " -> " + b + "\n%e = flow.abs %r : " + b +
            "\n%y = flow.reduce sum %e over [" + every + "] : " + b +
            " -> tensor<f32>\nflow.output \"y\" %y : tensor<f32>",
        {{32767, ""}, {32768, ""}, {70000, ""}}, 3);
}

TEST(BindSizes, ReshapesWhoseSegmentsAreSmall) {
  checkInner("65536", "1x65536", "65536", "1, 65536");
  checkInner("4096x16", "4096x4x4", "4096, 16", "4096, 4, 4");
  checkInner("4096x4x4", "4096x2x8", "4096, 4, 4", "4096, 2, 8");
}

// More rows than a test holds in memory are only bound; this many are run.
TEST(BindSizes, ManyRowsThroughASmallSegment) {
  auto module = parse(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %w = flow.input "w" : tensor<65536xf32>
    %a = flow.broadcast %x to [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %b = flow.broadcast %w to [1] : tensor<65536xf32> -> tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %m = flow.mul %a, %b : tensor<?x65536xf32, #flow.dims<[N, 65536]>>
    %r = flow.reshape %m : tensor<?x65536xf32, #flow.dims<[N, 65536]>> -> tensor<?x1x65536xf32, #flow.dims<[N, 1, 65536]>>
    %e = flow.abs %r : tensor<?x1x65536xf32, #flow.dims<[N, 1, 65536]>>
    %y = flow.reduce sum %e over [0, 1, 2] : tensor<?x1x65536xf32, #flow.dims<[N, 1, 65536]>> -> tensor<f32>
    flow.output "y" %y : tensor<f32>)");
  constexpr int64_t rows = 33000;
  flow::Bindings bindings;
  bindings.setting.symbols = {1, rows};
  flow::Array x({rows}), w({65536});
  llvm::fill(x.data, 1);
  llvm::fill(w.data, 1);
  x.data.back() = 1000;
  bindings.inputs["x"] = x, bindings.inputs["w"] = w;
  auto found = runCompiled(*module, "main", bindings);
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->outputs.at("y").data[0], double(rows + 999) * 65536, 1e4);
}

TEST(BindSizes, ACountThatIsNoSize) {
  check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.reduce sum %x over [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<f32>
    %n = flow.extent N * 65536 : tensor<f32>
    %y = flow.div %s, %n : tensor<f32>
    flow.output "y" %y : tensor<f32>)",
        {{32767, ""}, {32768, ""}}, 3);
  for (int64_t rows : {7, 14})
    check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.reduce sum %x over [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<f32>
    %n = flow.extent (N - 1) * 3 - floor(N + 5, 4) + ceil(N * N, 3) : tensor<f32>
    %y = flow.mul %s, %n : tensor<f32>
    flow.output "y" %y : tensor<f32>)",
          {{1, ""}, {100000, ""}}, rows);
  check(R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.reduce sum %x over [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<f32>
    %n = flow.extent N - 1 : tensor<f32>
    %y = flow.mul %s, %n : tensor<f32>
    flow.output "y" %y : tensor<f32>)",
        {{2, ""}, {1, ""}}, 1);
}

// At one domain there is no smaller one, and no batch fits where one size is too small and another too large.
TEST(BindSizes, NoAdviceThatDoesNotFit) {
  auto refusal = [](const char *body, int64_t domains, int64_t rows) -> std::string {
    auto module = parse(body);
    auto program = compileProgram(*module, {});
    if (!program)
      return "not compiled";
    auto bound = moert::memoryUse(*program, 0, "main", {domains, rows}, 1);
    return bound.ok() ? "taken" : bound.status().message();
  };
  const char *large = R"(
    %r = flow.random uniform 7 -> tensor<?x65536x65536xf32, #flow.dims<[N, 65536, 65536]>>
    %y = flow.reduce sum %r over [1, 2] : tensor<?x65536x65536xf32, #flow.dims<[N, 65536, 65536]>> -> tensor<?xf32, #flow.dims<[N]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[N]>>)";
  for (int64_t rows : {1, 7})
    EXPECT_TRUE(StringRef(refusal(large, 1, rows)).ends_with("x " + std::to_string(rows) + " images [B06]"))
        << refusal(large, 1, rows);
  const char *neither = R"(
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[N]>>
    %s = flow.slice %x from [4] by [1] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?xf32, #flow.dims<[N - 4]>>
    %w = flow.input "w" : tensor<1073741824xf32>
    %y = flow.neg %s : tensor<?xf32, #flow.dims<[N - 4]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[N - 4]>>
    %a = flow.broadcast %x to [0] : tensor<?xf32, #flow.dims<[N]>> -> tensor<?x1073741824xf32, #flow.dims<[N, 1073741824]>>
    %b = flow.broadcast %w to [1] : tensor<1073741824xf32> -> tensor<?x1073741824xf32, #flow.dims<[N, 1073741824]>>
    %m = flow.maximum %a, %b : tensor<?x1073741824xf32, #flow.dims<[N, 1073741824]>>
    flow.output "m" %m : tensor<?x1073741824xf32, #flow.dims<[N, 1073741824]>>)";
  for (int64_t rows : {3, 6}) {
    std::string found = refusal(neither, 1, rows);
    EXPECT_NE(found.find(" images ["), std::string::npos) << found;
  }
  const char *domains = R"(
    %r = flow.random uniform 7 -> tensor<?x16777216xf32, #flow.dims<[B, 16777216]>>
    %y = flow.reduce sum %r over [1] : tensor<?x16777216xf32, #flow.dims<[B, 16777216]>> -> tensor<?xf32, #flow.dims<[B]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[B]>>)";
  EXPECT_NE(refusal(domains, 300, 2).find("; use at most 127 x 1 [B06]"), std::string::npos)
      << refusal(domains, 300, 2);
  EXPECT_NE(refusal(domains, 3, 64).find("; use at most 3 x 42 [B06]"), std::string::npos)
      << refusal(domains, 3, 64);
}

} // namespace
