#include "passes/cpu/CpuBackend.h"
#include "passes/cpu/attention/AttentionCode.h"
#include "passes/cpu/code/KernelBuilder.h"
#include "passes/cpu/loops/LoopAnalysis.h"
#include "passes/host/ObjectCode.h"
#include "passes/kernels/ConvolutionLayouts.h"

using namespace mlir;

namespace moe::cpu {
namespace {

class CpuMachine : public Target {
public:
  explicit CpuMachine(CpuTarget target) : target(std::move(target)) {}

  plan::TargetKind kind() const override { return plan::TargetKind::cpu; }
  StringRef backend() const override { return "cpu"; }
  StringRef level() const override { return target.level; }
  ArrayRef<std::string> features() const override { return target.features; }
  int64_t mostElements() const override { return kMostElements; }
  // A product over the rows of several experts needs no padding between them.
  llvm::StringMap<int64_t> symbols() const override { return {{"row_align", 1}}; }

  bool emits(Operation *root) const override {
    if (auto forward = dyn_cast<flow::AttentionOp>(root))
      return fitsAttentionKernel(flow::AttentionShape::of(forward));
    if (isa<flow::GroupedContractOp>(root))
      return true;
    auto backward = dyn_cast<flow::AttentionGradOp>(root);
    return backward && fitsAttentionKernel(flow::AttentionShape::of(backward));
  }

  FusionCosts fusionCosts() const override {
    return {.largeElements = 1 << 18,
            .smallWork = 32768,
            .smallValue = 1024,
            .parallelism = 16,
            .broadcastFactor = 16,
            .maxOps = 128};
  }
  // A tile's epilogue loads and stores vectors of f32 and masks only. Integers may be intermediate values.
  EpilogueItems epilogueOf(Operation *root) const override {
    const bool takes = cast<flow::ComputeInterface>(root).takesEpilogue();
    // Products fetch what their epilogues read and store ahead, convolutions do not. Two results and a mask are 2.25 times one.
    const bool ahead = isa<flow::ContractOp, flow::GroupedContractOp>(root);
    return {takes, takes, [](Type type) { return !getElementTypeOrSelf(type).isInteger(32); },
            ahead ? 2.3 : kWithMasks, isa<flow::GroupedContractOp>(root)};
  }
  bool loadsRows() const override { return true; }
  bool skipsRows() const override { return true; }
  llvm::DenseMap<Value, Layout> preferredLayouts(flow::EntryOp entry) const override {
    return convolutionLayouts(entry);
  }
  std::optional<LoopFacts> loop(const LoopSource &source) const override {
    std::optional<LoopAnalysis> analysis = LoopAnalysis::run(source, target);
    if (!analysis)
      return std::nullopt;
    const bool outermost = !analysis->units.empty() && analysis->units.front() == 0;
    return LoopFacts{analysis->work, analysis->parallelism, analysis->values, outermost, analysis->split};
  }

  std::unique_ptr<KernelSet> begin(MLIRContext *context) const override {
    return std::make_unique<KernelModule>(context, target);
  }
  FailureOr<Sections> finish(ModuleOp functions, bool timing) const override {
    auto object = host::compileToObject(functions, target, {.timing = timing});
    if (failed(object))
      return failure();
    return Sections{std::move(*object)};
  }

private:
  CpuTarget target;
};

class CpuBackend : public Backend {
public:
  StringRef name() const override { return "cpu"; }
  std::vector<std::string> targets() const override { return {"cpu", "cpu:x86-64-v3", "cpu:x86-64-v4"}; }
  std::vector<std::string> hostTargets() const override {
    std::vector<std::string> names{"cpu"};
    if (host::levelBelowHost())
      names.push_back("cpu:x86-64-v3");
    return names;
  }
  std::unique_ptr<Target> parse(StringRef name, std::string &error) const override {
    std::optional<CpuTarget> target = host::cpuTarget(name, error);
    return target ? std::make_unique<CpuMachine>(*target) : nullptr;
  }
  // `cpu` has the name of the host's CPU as its level.
  std::unique_ptr<Target> ofLevel(StringRef level, std::string &error) const override {
    for (const std::string &name : targets())
      if (std::optional<CpuTarget> target = host::cpuTarget(name, error); target && target->level == level)
        return std::make_unique<CpuMachine>(*target);
    error = "expected a level that this compiler makes code for here, found '" + level.str() + "'";
    return nullptr;
  }
};

} // namespace

const kernels::Backend &cpuBackend() {
  static const CpuBackend backend;
  return backend;
}

} // namespace moe::cpu
