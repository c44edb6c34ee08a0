// Programs whose groups once could not be compiled, through the whole pipeline and run, against the
// evaluator: what fusion forms must be what the emitters take.
#include "dialects/flow/Evaluator.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/fusion/Fusion.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

/// Outputs and assigned values of an entry, whose body is given, as compiled and as evaluated.
void check(const std::string &body, flow::Bindings bindings = {}, const std::string &kind = "infer") {
  std::string text = "flow.program @p { flow.entry @main " + kind + " {\n" + body + "} }\n";
  SCOPED_TRACE(text);
  for (const std::string &target : testTargets()) {
    auto module = parseSourceString<ModuleOp>(text, &context());
    ASSERT_TRUE(module);
    flow::EntryOp entry;
    module->walk([&](flow::EntryOp op) { entry = op; });
    bindings.setting = {{2, 3}, 5, 7};
    std::mt19937_64 random(3);
    flow::bindRandom(entry, bindings, random, 10);
    auto expected = flow::evaluate(entry, bindings);
    ASSERT_TRUE(succeeded(expected));
    auto found = runCompiled(*module, "main", bindings, {target});
    ASSERT_TRUE(found) << target;
    auto same = [&](const std::string &name, const flow::Array &want, const flow::Array &have) {
      ASSERT_EQ(want.data.size(), have.data.size()) << name;
      for (size_t i = 0; i < want.data.size(); ++i)
        ASSERT_LE(std::fabs(want.data[i] - have.data[i]), 1e-4 * (1 + std::fabs(want.data[i])))
            << target << ", " << name << ", element " << i;
    };
    for (auto &[name, value] : expected->outputs)
      same(name, value, found->outputs.at(name));
    for (auto &[path, value] : expected->assigned)
      same(path, value, found->assigned.at(path));
  }
}

const std::string product = R"(
  %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B, 32]>>
  %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x32xf32>
  %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<?x32xf32, #flow.dims<[B, 32]>>, tensor<64x32xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
)";

} // namespace

TEST(FusionCompiled, WholeNumbersBesideAProduct) {
  check(product + R"(
  %i = flow.input "i" : tensor<?x64xi32, #flow.dims<[B, 64]>>
  %f = flow.convert %i : tensor<?x64xi32, #flow.dims<[B, 64]>> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
  %z = flow.add %y, %f : tensor<?x64xf32, #flow.dims<[B, 64]>>
  flow.output "z" %z : tensor<?x64xf32, #flow.dims<[B, 64]>>
)");
}

TEST(FusionCompiled, WholeNumbersFromAProduct) {
  // Of whole numbers, so that rounding decides nothing.
  flow::Bindings bindings;
  flow::Array x{{6, 32}}, w{{64, 32}};
  for (size_t i = 0; i < x.data.size(); ++i)
    x.data[i] = double(i % 7) - 3;
  for (size_t i = 0; i < w.data.size(); ++i)
    w.data[i] = double(i % 5) - 2;
  bindings.inputs["x"] = x;
  bindings.states["w"] = w;
  check(product + R"(
  %i = flow.convert %y : tensor<?x64xf32, #flow.dims<[B, 64]>> -> tensor<?x64xi32, #flow.dims<[B, 64]>>
  flow.output "i" %i : tensor<?x64xi32, #flow.dims<[B, 64]>>
)",
        bindings);
}

// An epilogue is as long as other kernels at most.
TEST(FusionCompiled, LongEpilogue) {
  std::string body = product, type = "tensor<?x64xf32, #flow.dims<[B, 64]>>", last = "%y";
  for (int i = 0; i < 200; ++i) {
    std::string next = "%v" + std::to_string(i);
    body += "  " + next + " = flow." + (i % 2 ? "abs " : "neg ") + last + " : " + type + "\n";
    last = next;
  }
  body += "  flow.output \"z\" " + last + " : " + type + "\n";
  auto module = parseSourceString<ModuleOp>("flow.program @p { flow.entry @main infer {\n" + body + "} }\n",
                                            &context());
  ASSERT_TRUE(module);
  PassManager passes(&context());
  passes.addPass(moe::createFormGroupsPass());
  ASSERT_TRUE(succeeded(passes.run(*module)));
  int64_t groups = 0;
  module->walk([&](flow::GroupOp group) {
    ++groups;
    EXPECT_LE(llvm::range_size(group.getBody().front().without_terminator()), 128);
  });
  EXPECT_GT(groups, 1);
}

// What is assigned is declared, though its old value is read by nothing.
TEST(FusionCompiled, AssignedAndNeverRead) {
  check(R"(
  %x = flow.input "x" : tensor<4xf32>
  %p = flow.parameter "p" constant(1.0) : tensor<4xf32>
  %s = flow.state "s" buffer constant(0.0) : tensor<4xf32>
  %y = flow.exp %x : tensor<4xf32>
  %z = flow.neg %x : tensor<4xf32>
  %l = flow.reduce sum %y over [0] : tensor<4xf32> -> tensor<f32>
  %ok = flow.constant 1.0 : tensor<f32>
  flow.output "loss" %l : tensor<f32>
  flow.output "finite" %ok : tensor<f32>
  flow.assign "p" %y : tensor<4xf32>
  flow.assign "s" %z : tensor<4xf32>
)",
        {}, "train");
}

// NaN, infinities and what 32 bits do not hold have a value, the same everywhere.
TEST(FusionCompiled, NumbersOutOfRange) {
  flow::Bindings bindings;
  flow::Array x{{16}};
  x.data = {NAN,  INFINITY, -INFINITY, 2147483648.0, -2147483648.0, 2147483520.0, -2147483904.0, 3e9,
            -3e9, 0.5,      -0.5,      1.9,          -1.9,          -0.0,         16777217.0,    1e38};
  bindings.inputs["x"] = x;
  std::string body = R"(
  %x = flow.input "x" : tensor<16xf32>
  %i = flow.convert %x : tensor<16xf32> -> tensor<16xi32>
  flow.output "i" %i : tensor<16xi32>
)";
  check(body, bindings);
}
