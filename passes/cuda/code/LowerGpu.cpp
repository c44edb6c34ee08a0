// --moe-lower-gpu: kernels of a GPU to the NVVM dialect.
//   1. Distribute the kernels over a fixed number of gpu.modules, which are lowered in parallel if the context
//      has threads.
//   2. Mathematical functions become the polynomials that the CPU's kernels use, so no kernel needs NVIDIA's
//      library of functions. What remains of the math dialect are instructions.
//   3. Reductions of a warp become shuffles. Lower vector, scf, math, arith, memref and gpu.
//   4. State what the conversions leave open: a multiply-add that may be fused is fused, so that all targets
//      round alike; the array that stands for dynamic shared memory is declared outside of the module, since an
//      array of its own would overlap with static shared memory.
//   5. Check that all ops are of the dialects llvm and nvvm, that none is a call, and that each has instructions of its own.
#include "passes/cuda/code/LowerGpu.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "passes/kernels/math/ApproximateMath.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace moe::cuda {
namespace {

// The number of modules is the same on every machine, so that the text does not depend on its number of cores.
constexpr size_t batches = 8;
constexpr unsigned warpLanes = 32;

/// Reductions of a warp as shuffles in butterfly order, and ops of the whole grid by those of blocks.
struct ExpandGpuOps : PassWrapper<ExpandGpuOps, OperationPass<gpu::GPUFuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandGpuOps)
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateGpuBreakDownSubgroupReducePatterns(patterns, /*maxShuffleBitwidth=*/32);
    populateGpuLowerSubgroupReduceToShufflePatterns(patterns, warpLanes);
    populateGpuLowerClusteredSubgroupReduceToShufflePatterns(patterns, warpLanes);
    populateGpuRewritePatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

/// MLIR's own pass for this refuses the mathematical functions of the llvm dialect, since it calls NVIDIA's
/// library for each, also for those that are instructions.
struct ConvertToNvvm : PassWrapper<ConvertToNvvm, OperationPass<gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertToNvvm)
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect, NVVM::NVVMDialect>();
  }
  void runOnOperation() override {
    gpu::GPUModuleOp module = getOperation();
    LowerToLLVMOptions options(&getContext(), DataLayout(module));
    options.useBarePtrCallConv = true;
    LLVMTypeConverter converter(&getContext(), options);
    configureGpuToNVVMTypeConverter(converter);
    RewritePatternSet patterns(&getContext());
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    populateGpuToNVVMConversionPatterns(converter, patterns);
    ConversionTarget target(getContext());
    target.addLegalDialect<LLVM::LLVMDialect, NVVM::NVVMDialect>();
    target.addIllegalDialect<gpu::GPUDialect>();
    target.addLegalOp<gpu::GPUModuleOp>();
    if (failed(applyPartialConversion(module, target, std::move(patterns))))
      signalPassFailure();
  }
};

LogicalResult lowerToNvvm(ModuleOp module) {
  PassManager all(module.getContext());
  all.enableVerifier(false);
  OpPassManager &pm = all.nest<gpu::GPUModuleOp>();
  OpPassManager &functions = pm.nest<gpu::GPUFuncOp>();
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(createLoopInvariantCodeMotionPass());
  functions.addPass(kernels::createApproximateMathPass());
  functions.addPass(arith::createArithExpandOpsPass({.includeBf16 = true}));
  functions.addPass(std::make_unique<ExpandGpuOps>());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createConvertMathToLLVMPass()); // before the library's calls could be made of what is left
  pm.addPass(std::make_unique<ConvertToNvvm>());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  return all.run(module);
}

/// Large kernels first, each to the module with the fewest ops, so that all take about as long. Globals are
/// copied to each module that uses them.
FailureOr<std::vector<gpu::GPUModuleOp>> distribute(ModuleOp module) {
  std::vector<std::pair<size_t, gpu::GPUFuncOp>> kernels;
  SmallVector<gpu::GPUModuleOp> sources = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
  for (gpu::GPUModuleOp source : sources)
    for (Operation &op : *source.getBody()) {
      if (auto kernel = dyn_cast<gpu::GPUFuncOp>(op); kernel && kernel.isKernel()) {
        size_t ops = 0;
        kernel.walk([&](Operation *) { ++ops; });
        kernels.push_back({ops, kernel});
      } else if (!isa<LLVM::GlobalOp>(op)) {
        return op.emitError("expected kernels and globals in a gpu.module, found '") << op.getName() << "'";
      }
    }
  llvm::sort(kernels, [](auto &a, auto &b) {
    return a.first != b.first ? a.first > b.first : a.second.getName() < b.second.getName();
  });
  std::vector<gpu::GPUModuleOp> parts;
  std::vector<size_t> load(std::min(batches, kernels.size()));
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  for (size_t i = 0; i < load.size(); ++i)
    parts.push_back(gpu::GPUModuleOp::create(builder, module.getLoc(), ("kernels" + Twine(i)).str()));
  for (auto &[ops, kernel] : kernels) {
    const size_t least = std::min_element(load.begin(), load.end()) - load.begin();
    load[least] += ops;
    gpu::GPUModuleOp part = parts[least];
    auto source = kernel->getParentOfType<gpu::GPUModuleOp>();
    kernel.walk([&](LLVM::AddressOfOp address) {
      if (auto global = source.lookupSymbol<LLVM::GlobalOp>(address.getGlobalNameAttr()))
        if (!part.lookupSymbol(address.getGlobalNameAttr()))
          part.getBody()->push_front(global->clone());
    });
    kernel->moveBefore(part.getBody(), part.getBody()->end());
  }
  for (gpu::GPUModuleOp source : sources)
    source.erase();
  return parts;
}

void stateWhatIsOpen(gpu::GPUModuleOp module) {
  module.walk([](LLVM::FMulAddOp op) {
    OpBuilder builder(op);
    op.replaceAllUsesWith(
        LLVM::FMAOp::create(builder, op.getLoc(), op.getType(), op.getOperands()).getResult());
    op.erase();
  });
  for (auto global : module.getOps<LLVM::GlobalOp>()) {
    auto array = dyn_cast<LLVM::LLVMArrayType>(global.getGlobalType());
    if (global.getAddrSpace() == unsigned(NVVM::NVVMMemorySpace::Shared) && array &&
        array.getNumElements() == 0) {
      global.setLinkage(LLVM::Linkage::External);
      global.setAlignment(16);
    }
  }
}

/// Whether a GPU has instructions for it that are exact or rounded as IEEE 754 asks. Others become calls of a library that there
/// is not, or approximations, or LLVM ends the process.
bool isSupported(Operation *op) {
  if (!isa<LLVM::LLVMDialect, NVVM::NVVMDialect>(op->getDialect()) || isa<LLVM::CallOp>(op))
    return false;
  StringRef name = op->getName().getStringRef();
  if (!name.consume_front("llvm.intr."))
    return true;
  if (name.starts_with("masked.") || name.starts_with("vector.") || name.starts_with("lifetime."))
    return true;
  static const llvm::StringSet<> exact = {
      "abs",    "assume", "bitreverse", "bswap", "ceil", "copysign",   "ctlz",    "ctpop",  "cttz",
      "fabs",   "floor",  "fma",        "fshl",  "fshr", "is.fpclass", "maximum", "maxnum", "minimum",
      "minnum", "rint",   "roundeven",  "smax",  "smin", "sqrt",       "trunc",   "umax",   "umin"};
  return exact.contains(name);
}

LogicalResult check(gpu::GPUModuleOp module) {
  WalkResult result = module.walk([&](Operation *op) {
    if (op == module || isSupported(op))
      return WalkResult::advance();
    auto kernel = op->getParentOfType<FunctionOpInterface>();
    op->emitError("expected an op that kernels of a GPU support, found '")
        << op->getName() << "' in kernel '" << (kernel ? kernel.getName() : StringRef("?")) << "'";
    return WalkResult::interrupt();
  });
  if (result.wasInterrupted())
    return failure();
  for (auto kernel : module.getOps<LLVM::LLVMFuncOp>())
    if (!kernel->hasAttr(NVVM::NVVMDialect::getMaxntidAttrName()))
      return kernel.emitError("expected a kernel that states known_block_size, found '")
             << kernel.getName() << "'";
  return success();
}

struct LowerGpu : PassWrapper<LowerGpu, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerGpu)
  StringRef getArgument() const override { return "moe-lower-gpu"; }
  StringRef getDescription() const override { return "lower kernels of a GPU to the NVVM dialect"; }
  void runOnOperation() override {
    if (failed(lowerGpu(getOperation())))
      signalPassFailure();
  }
};
PassRegistration<LowerGpu> registration;

} // namespace

FailureOr<std::vector<gpu::GPUModuleOp>> lowerGpu(ModuleOp module) {
  FailureOr<std::vector<gpu::GPUModuleOp>> parts = distribute(module);
  if (failed(parts))
    return failure();
  if (failed(lowerToNvvm(module)))
    return module.emitError(
        "expected kernels of a GPU in vector, scf, arith, math, memref, gpu and llvm ops; "
        "lowering failed");
  for (gpu::GPUModuleOp part : *parts) {
    stateWhatIsOpen(part);
    if (failed(check(part)))
      return failure();
  }
  return parts;
}

unsigned threadsOf(LLVM::LLVMFuncOp kernel) {
  unsigned threads = 1;
  for (int32_t size :
       kernel->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName()).asArrayRef())
    threads *= unsigned(size);
  return threads;
}

FailureOr<std::vector<KernelParameter>> parametersOf(LLVM::LLVMFuncOp kernel) {
  std::vector<KernelParameter> parameters;
  for (Type type : kernel.getArgumentTypes()) {
    const bool isPointer = isa<LLVM::LLVMPointerType>(type);
    if (!isPointer && !type.isIntOrFloat())
      return kernel.emitError("expected parameters that are pointers or numbers in kernel '")
             << kernel.getName() << "', found " << type;
    parameters.push_back({isPointer, isPointer ? 8 : (type.getIntOrFloatBitWidth() + 7) / 8});
  }
  return parameters;
}

} // namespace moe::cuda
