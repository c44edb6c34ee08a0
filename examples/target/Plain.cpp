// The target plain:LEVEL: the CPU's kernels without two things that fusion and planning do for them. No epilogue is fused
// into a contraction or a convolution, and every value is row-major. What these are worth is the difference to
// cpu:LEVEL; results are the same. It shows what a target is asked: here the CPU's target answers most of it.
#include "frontends/driver/Plugin.h"

using namespace mlir;
using namespace moe::kernels;

namespace {

class PlainTarget : public Target {
public:
  explicit PlainTarget(std::unique_ptr<Target> cpu) : cpu(std::move(cpu)) {}

  // A program that it makes is a program for the CPU.
  plan::TargetKind kind() const override { return cpu->kind(); }
  StringRef backend() const override { return "plain"; }
  StringRef level() const override { return cpu->level(); }
  ArrayRef<std::string> features() const override { return cpu->features(); }
  int64_t mostElements() const override { return cpu->mostElements(); }
  llvm::StringMap<int64_t> symbols() const override { return cpu->symbols(); }

  bool emits(Operation *root) const override { return cpu->emits(root); }
  FusionCosts fusionCosts() const override { return cpu->fusionCosts(); }
  EpilogueItems epilogueOf(Operation *) const override { return {}; }
  llvm::DenseMap<Value, Layout> preferredLayouts(flow::EntryOp) const override {
    return llvm::DenseMap<Value, Layout>();
  }
  std::optional<LoopFacts> loop(const LoopSource &source) const override { return cpu->loop(source); }

  std::unique_ptr<KernelSet> begin(MLIRContext *context) const override { return cpu->begin(context); }
  FailureOr<Sections> finish(ModuleOp functions, bool timing) const override {
    return cpu->finish(functions, timing);
  }

private:
  std::unique_ptr<Target> cpu;
};

class PlainBackend : public Backend {
public:
  StringRef name() const override { return "plain"; }
  std::vector<std::string> targets() const override { return {"plain:x86-64-v3", "plain:x86-64-v4"}; }
  // Those all of whose features the CPU's target for this machine has; there is none for a machine below every level.
  std::vector<std::string> hostTargets() const override {
    std::string error;
    std::unique_ptr<Target> host = parseTarget("cpu", error);
    std::vector<std::string> names;
    for (const std::string &name : targets()) {
      std::unique_ptr<Target> target = parse(name, error);
      auto hostHas = [&](const std::string &feature) {
        return llvm::is_contained(host->features(), feature);
      };
      if (host && target && llvm::all_of(target->features(), hostHas))
        names.push_back(name);
    }
    return names;
  }
  std::unique_ptr<Target> parse(StringRef name, std::string &error) const override {
    if (!llvm::is_contained(targets(), name)) {
      error = "expected a target " + moe::kernels::targetNames() + ", found '" + name.str() + "'";
      return nullptr;
    }
    std::unique_ptr<Target> cpu = parseTarget("cpu:" + name.split(':').second.str(), error);
    return cpu ? std::make_unique<PlainTarget>(std::move(cpu)) : nullptr;
  }
  // Its programs say that they are the CPU's.
  std::unique_ptr<Target> ofLevel(StringRef, std::string &) const override { return nullptr; }
};

void extend(moe::PluginRegistry &registry) {
  static const PlainBackend backend;
  registry.backend(backend);
}

} // namespace

MOE_PLUGIN("plain", extend)
