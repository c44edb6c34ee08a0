// Small programs of flow that once compiled to wrong code or none, compiled and run against the evaluator:
// what one op reads is another's result under another name, in another layout, or of another type.
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe;
using namespace moe::test;

namespace {

/// Compiles the entry's body at every level and compares all outputs with the evaluator's, inputs random.
void check(const std::string &body) {
  std::string text = "flow.program @p {\n  flow.entry @main infer {\n" + body + "\n  }\n}\n";
  for (const std::string &target : testTargets()) {
    auto module = parseSourceString<ModuleOp>(text, &context());
    ASSERT_TRUE(module && succeeded(mlir::verify(*module))) << text;
    flow::Bindings bindings;
    bindings.setting.symbols = {1, 3};
    std::mt19937_64 random(7);
    flow::EntryOp entry;
    module->walk([&](flow::EntryOp op) { entry = op; });
    module->walk([&](flow::InputOp input) {
      flow::Array array(*flow::shapeOf(input.getType(), bindings.setting.symbols));
      for (double &value : array.data)
        value = double(float(double(random() >> 11) * 0x1p-52 - 1));
      bindings.inputs[input.getName().str()] = array;
    });
    auto expected = flow::evaluate(entry, bindings);
    ASSERT_TRUE(succeeded(expected)) << text;
    auto found = runCompiled(*module, "main", bindings, {target});
    ASSERT_TRUE(found) << target << "\n" << text;
    for (auto &[name, value] : expected->outputs) {
      const flow::Array &other = found->outputs.at(name);
      ASSERT_EQ(value.data.size(), other.data.size());
      for (size_t i = 0; i < value.data.size(); ++i)
        ASSERT_NEAR(value.data[i], other.data[i], 2e-5 * (1 + std::fabs(value.data[i])))
            << target << ", " << name << " " << i << "\n"
            << text;
    }
  }
}

const std::string convolved = R"(
    %x = flow.input "x" : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
    %w = flow.input "w" : tensor<32x32x3x3xf32>
    %m = flow.input "m" : tensor<10x2048xf32>
    %v = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>, tensor<32x32x3x3xf32> -> tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
)";
const std::string multiplied = R"(
    %y = flow.contract %r [0, 1], %m [2, 1] -> [0, 2] : tensor<?x2048xf32, #flow.dims<[N, 2048]>>, tensor<10x2048xf32> -> tensor<?x10xf32, #flow.dims<[N, 10]>>
    flow.output "y" %y : tensor<?x10xf32, #flow.dims<[N, 10]>>
)";

TEST(CompiledProgram, BarrierBeforeAReshapedConvolution) {
  check(convolved + R"(
    %k = flow.barrier %v 1 : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
    %r = flow.reshape %k : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>> -> tensor<?x2048xf32, #flow.dims<[N, 2048]>>
)" + multiplied);
}

TEST(CompiledProgram, BarrierBehindAReshapedConvolution) {
  check(convolved + R"(
    %k = flow.reshape %v : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>> -> tensor<?x2048xf32, #flow.dims<[N, 2048]>>
    %r = flow.barrier %k 1 : tensor<?x2048xf32, #flow.dims<[N, 2048]>>
)" + multiplied);
}

TEST(CompiledProgram, FilterFromAConvolution) {
  check(R"(
    %x = flow.input "x" : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
    %w = flow.input "w" : tensor<32x32x3x3xf32>
    %v = flow.conv %w, %w by [1, 1] pads [1, 1, 1, 1] : tensor<32x32x3x3xf32>, tensor<32x32x3x3xf32> -> tensor<32x32x3x3xf32>
    %y = flow.conv %x, %v by [1, 1] pads [1, 1, 1, 1] : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>, tensor<32x32x3x3xf32> -> tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
    flow.output "y" %y : tensor<?x32x8x8xf32, #flow.dims<[N, 32, 8, 8]>>
)");
}

} // namespace
