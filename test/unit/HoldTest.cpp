// A step that leaves out its update holds back those of steps that were submitted behind it, as compiled for each target.
#include "frontends/check/RunCompiled.h"
#include "mlir/Parser/Parser.h"
#include "runtime/session/Session.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;

namespace {

// The update itself asks for nothing: what is held back must be held back by the plan. With two updates, either holds.
const char *const text = R"(
flow.program @p { flow.entry @train train {
  %x = flow.input "x" : tensor<4xf32>
  %made = flow.input "made" : tensor<f32>
  %also = flow.input "also" : tensor<f32>
  %w = flow.parameter "w" constant(1.0) : tensor<4xf32>
  %v = flow.parameter "v" constant(2.0) : tensor<4xf32>
  %a = flow.add %w, %x : tensor<4xf32>
  %b = flow.mul %v, %x : tensor<4xf32>
  %s = flow.reduce sum %a over [0] : tensor<4xf32> -> tensor<f32>
  flow.output "loss" %s : tensor<f32>
  flow.output "made" %made : tensor<f32>
  flow.output "also" %also : tensor<f32>
  flow.assign "w" %a when "made" : tensor<4xf32>
  flow.assign "v" %b when "also" : tensor<4xf32>
} }
)";

struct HeldRun {
  std::unique_ptr<moert::Session> session;
  std::shared_ptr<moert::States> states;

  moert::Status submit(float x, float made, float also) {
    for (auto [name, value] : {std::pair("x", x), std::pair("made", made), std::pair("also", also)}) {
      MOERT_ASSIGN(moert::Tensor tensor, session->input(name));
      for (float &each : tensor.as<float>())
        each = value;
    }
    return session->submit({});
  }
  float state(size_t i) { return states->host()->tensor(i).as<float>()[3]; }
};

} // namespace

TEST(Hold, CompiledStepsHoldBackThoseBehind) {
  for (const std::string &target : testTargets()) {
    SCOPED_TRACE(target);
    auto module = parseSourceString<ModuleOp>(text, &context());
    ASSERT_TRUE(module);
    auto program = moe::compileModule(*module, {target});
    ASSERT_TRUE(program.ok()) << program.status().message();
    auto device = moe::openDeviceOf({target});
    ASSERT_TRUE(device.ok()) << device.status().message();
    for (bool second : {false, true}) {
      HeldRun run;
      run.states = *moert::States::create(*program, *device, 1);
      run.session =
          *moert::Session::open(*program, run.states, *device, "train", {1, 1}, {.stepsInFlight = 2});
      ASSERT_TRUE(run.submit(1, 1, 1).ok());
      ASSERT_TRUE(run.session->collect().ok());
      EXPECT_EQ(run.state(0), 2);
      EXPECT_EQ(run.state(1), 2);
      // The step whose predicate is 0 does what its program says; the one behind it changes nothing.
      ASSERT_TRUE(run.submit(3, second ? 1 : 0, second ? 0 : 1).ok());
      if (run.session->mostInFlight() > 1) {
        ASSERT_TRUE(run.submit(100, 1, 1).ok());
      }
      ASSERT_TRUE(run.session->collect().ok());
      EXPECT_EQ(run.session->inFlight(), 0);
      EXPECT_EQ(run.state(0), 5);
      EXPECT_EQ(run.state(1), 6);
      // Collected, it holds back no more.
      ASSERT_TRUE(run.submit(10, 1, 1).ok());
      ASSERT_TRUE(run.session->collect().ok());
      EXPECT_EQ(run.state(0), 15);
      EXPECT_EQ(run.state(1), 60);
    }
  }
}
