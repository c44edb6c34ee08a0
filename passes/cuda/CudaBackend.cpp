#include "passes/cuda/CudaBackend.h"
#include "passes/cuda/CudaTarget.h"
#include "passes/cuda/code/Assembler.h"
#include "passes/cuda/code/GpuCode.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/cuda/loops/LoopSchedule.h"
#include "runtime/device/cuda/CudaDevice.h"

using namespace mlir;

namespace moe::cuda {
namespace {

class CudaMachine : public Target {
public:
  explicit CudaMachine(CudaTarget target) : target(std::move(target)) {}

  plan::TargetKind kind() const override {
    return target.emulated() ? plan::TargetKind::emulator : plan::TargetKind::cuda;
  }
  StringRef backend() const override { return target.emulated() ? emulatorWord : cudaWord; }
  StringRef level() const override { return target.level; }
  ArrayRef<std::string> features() const override { return target.features; }
  int64_t mostElements() const override { return kMostElements; }
  // No kernel takes the rows of several experts in one product yet, so there is no tile that rows are padded to.
  llvm::StringMap<int64_t> symbols() const override { return {{"row_align", 1}}; }

  bool emits(Operation *root) const override {
    if (isa<flow::GroupedContractOp>(root))
      return true;
    if (auto forward = dyn_cast<flow::AttentionOp>(root))
      return fitsAttentionKernel(flow::AttentionShape::of(forward));
    auto backward = dyn_cast<flow::AttentionGradOp>(root);
    return backward && fitsAttentionKernel(flow::AttentionShape::of(backward));
  }

  // Parallelism is counted in threads.
  FusionCosts fusionCosts() const override {
    return {.largeElements = 1 << 18,
            .smallWork = 65536,
            .smallValue = 1024,
            .parallelism = 16384,
            .broadcastFactor = 16,
            .maxOps = 128};
  }
  // Sums and masks are what a tile's threads load and store. Integers may be intermediate values.
  EpilogueItems epilogueOf(Operation *root) const override {
    const bool takes = cast<flow::ComputeInterface>(root).takesEpilogue();
    return {takes, takes, [](Type type) { return !getElementTypeOrSelf(type).isInteger(32); }};
  }
  // All values are row-major: images are NCHW. An order with channels innermost pays for convolutions on tensor cores.
  llvm::DenseMap<Value, Layout> preferredLayouts(flow::EntryOp) const override {
    return llvm::DenseMap<Value, Layout>();
  }
  std::optional<LoopFacts> loop(const LoopSource &source) const override {
    std::optional<LoopSchedule> schedule = LoopSchedule::run(source);
    if (!schedule)
      return std::nullopt;
    const bool outermost = !schedule->split && llvm::is_contained(schedule->first.units, 0u);
    return LoopFacts{schedule->work, schedule->first.threads, schedule->values, outermost, schedule->split};
  }

  std::unique_ptr<KernelSet> begin(MLIRContext *context) const override {
    return std::make_unique<KernelModule>(context);
  }
  bool canFinish(std::string &error) const override {
    return target.emulated() || Assembler::find(target.architecture, error);
  }
  FailureOr<Sections> finish(ModuleOp functions, bool timing) const override;

private:
  CudaTarget target;
};

class CudaBackend : public Backend {
public:
  explicit CudaBackend(StringRef word) : word(word) {}
  StringRef name() const override { return word; }
  std::vector<std::string> targets() const override { return targetNames(word); }
  // An emulated GPU, where the emulator is installed.
  std::vector<std::string> hostTargets() const override {
    if (word == emulatorWord && moert::cuda::emulatorPath().ok())
      return {"emulator:sm_90a"};
    return {};
  }
  std::unique_ptr<Target> parse(StringRef name, std::string &error) const override {
    std::optional<CudaTarget> target = cudaTarget(name, error);
    return target ? std::make_unique<CudaMachine>(*target) : nullptr;
  }
  std::unique_ptr<Target> ofLevel(StringRef level, std::string &error) const override {
    for (const std::string &name : targets())
      if (std::optional<CudaTarget> target = cudaTarget(name, error); target && target->level == level)
        return std::make_unique<CudaMachine>(*target);
    error = "expected a level of '" + word.str() + "' that this compiler makes code for, found '" +
            level.str() + "'";
    return nullptr;
  }

private:
  StringRef word;
};

FailureOr<Sections> CudaMachine::finish(ModuleOp functions, bool timing) const {
  GpuCodeOptions options;
  options.timing = timing;
  auto code = target.emulated() ? compileForEmulator(functions, target.architecture, *target.host, options)
                                : compileForCuda(functions, target.architecture, options);
  if (failed(code))
    return failure();
  return Sections{std::move(*code)};
}

} // namespace

const kernels::Backend &cudaBackend() {
  static const CudaBackend backend(cudaWord);
  return backend;
}
const kernels::Backend &emulatorBackend() {
  static const CudaBackend backend(emulatorWord);
  return backend;
}

} // namespace moe::cuda
