// A target of another back end: its numbers stand in the place of sizes' symbols, its code is finished by itself, and what is
// compiled for it agrees with the evaluator, before and after its entries are made.
#include "passes/kernels/Backend.h"
#include "dialects/flow/Evaluator.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/fusion/Fusion.h"
#include "passes/pipeline/VerifyByEvaluation.h"
#include "test/unit/FlowCase.h"
#include "test/unit/RunCompiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::kernels;
using namespace moe::test;

namespace {

int finished = 0;

/// The CPU's level x86-64-v3, for which rows of experts come in fours.
class PaddedTarget : public Target {
public:
  explicit PaddedTarget(std::unique_ptr<Target> cpu) : cpu(std::move(cpu)) {}
  StringRef backend() const override { return cpu->backend(); }
  plan::TargetKind kind() const override { return cpu->kind(); }
  StringRef level() const override { return cpu->level(); }
  ArrayRef<std::string> features() const override { return cpu->features(); }
  llvm::StringMap<int64_t> symbols() const override { return {{"row_align", 4}}; }
  int64_t mostElements() const override { return INT32_MAX; }
  FusionCosts fusionCosts() const override { return cpu->fusionCosts(); }
  // Items as they are when nothing is said of them.
  EpilogueItems epilogueOf(Operation *root) const override {
    EpilogueItems items;
    items.elementwise = cpu->epilogueOf(root).elementwise;
    return items;
  }
  llvm::DenseMap<Value, Layout> preferredLayouts(flow::EntryOp entry) const override {
    return cpu->preferredLayouts(entry);
  }
  std::optional<LoopFacts> loop(const LoopSource &source) const override { return cpu->loop(source); }
  std::unique_ptr<KernelSet> begin(MLIRContext *context) const override { return cpu->begin(context); }
  FailureOr<Sections> finish(ModuleOp functions, bool timing) const override {
    ++finished;
    return cpu->finish(functions, timing);
  }

private:
  std::unique_ptr<Target> cpu;
};

class PaddedBackend : public Backend {
public:
  StringRef name() const override { return "padded"; }
  std::vector<std::string> targets() const override { return {"padded"}; }
  std::vector<std::string> hostTargets() const override { return {}; }
  std::unique_ptr<Target> parse(StringRef name, std::string &error) const override {
    return std::make_unique<PaddedTarget>(parseTarget("cpu:x86-64-v3", error));
  }
  std::unique_ptr<Target> ofLevel(StringRef, std::string &) const override { return nullptr; }
};

// The backend is the process's, so that it is added once.
const bool added = [] {
  static const PaddedBackend backend;
  return addBackend(backend);
}();

constexpr const char *text = R"(flow.program @p {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<8x4xf32>
    %rows = flow.pad %x low [0, 0] interior [0, 0] with 0.0 : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
    %y = flow.contract %rows [0, 1], %w [2, 1] -> [0, 2] : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>, tensor<8x4xf32> -> tensor<?x8xf32, #flow.dims<[B + row_align * 2 - 2, 8]>>
    %z = flow.mul %y, %y : tensor<?x8xf32, #flow.dims<[B + row_align * 2 - 2, 8]>>
    %s = flow.reduce sum %z over [0] : tensor<?x8xf32, #flow.dims<[B + row_align * 2 - 2, 8]>> -> tensor<8xf32>
    flow.output "s" %s : tensor<8xf32>
  }
})";

} // namespace

TEST(Backend, NamesAreTheirOwn) {
  EXPECT_TRUE(added);
  EXPECT_FALSE(addBackend(*backends().front()));
  EXPECT_EQ(targetNames(),
            "'cpu', 'cpu:x86-64-v3', 'cpu:x86-64-v4', 'cuda:sm_80', 'cuda:sm_90a', 'cuda:sm_100a', "
            "'emulator:sm_80', 'emulator:sm_90a', 'emulator:sm_100a' or 'padded'");
}

TEST(Backend, SymbolsAreTheTargets) {
  auto module = parseSourceString<ModuleOp>(text, &context());
  ASSERT_TRUE(module);
  moe::EntryValues values;
  ASSERT_TRUE(succeeded(values.check(*module, "before")));
  PassManager passes(&context());
  passes.addPass(moe::createFormGroupsPass({"padded", "cpu:x86-64-v3"}));
  ASSERT_TRUE(succeeded(passes.run(*module)));
  std::map<std::string, std::vector<std::string>> rows;
  module->walk([&](flow::PadOp pad) {
    rows[pad->getParentOfType<flow::TargetOp>().getName().str()].push_back(
        flow::Extent::of(pad.getY(), 0).str());
  });
  EXPECT_EQ(rows, (std::map<std::string, std::vector<std::string>>{{"cpu:x86-64-v3", {"B"}},
                                                                   {"padded", {"B + 6"}}}));
  EXPECT_TRUE(succeeded(values.check(*module, "moe-form-groups")));
}

TEST(Backend, CodeIsItsOwn) {
  auto module = parseSourceString<ModuleOp>(text, &context());
  ASSERT_TRUE(module);
  flow::EntryOp entry;
  module->walk([&](flow::EntryOp op) { entry = op; });
  flow::Bindings bindings;
  bindings.setting = {{2, 3}, 5, 7};
  std::mt19937_64 random(3);
  flow::bindRandom(entry, bindings, random, 10);
  auto expected = flow::evaluate(entry, bindings);
  ASSERT_TRUE(succeeded(expected));
  finished = 0;
  auto found = runCompiled(*module, "main", bindings, {"padded"});
  ASSERT_TRUE(found);
  EXPECT_EQ(finished, 1);
  const flow::Array &want = expected->outputs.at("s"), &have = found->outputs.at("s");
  for (size_t i = 0; i < want.data.size(); ++i)
    EXPECT_LE(std::fabs(want.data[i] - have.data[i]), 1e-5 * (1 + std::fabs(want.data[i])));
}
