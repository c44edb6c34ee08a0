// --moe-emit-ptx: PTX of kernels.
//   1. Translate each kernel to an LLVM module of its own, with the shared memory that it uses. This is done one
//      after another, since the translation may change the MLIR context.
//   2. LLVM optimises each module and writes PTX, in parallel.
#include "passes/cuda/code/EmitPtx.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/InstCombine/InstCombine.h"
#include "llvm/Transforms/Scalar/EarlyCSE.h"
#include "llvm/Transforms/Scalar/IndVarSimplify.h"
#include "llvm/Transforms/Scalar/LICM.h"
#include "llvm/Transforms/Scalar/LoopPassManager.h"
#include "llvm/Transforms/Scalar/LoopRotation.h"
#include "llvm/Transforms/Scalar/SROA.h"
#include "llvm/Transforms/Scalar/SimplifyCFG.h"
#include <mutex>

using namespace mlir;

namespace moe::cuda {
namespace {

std::unique_ptr<llvm::TargetMachine> makeMachine(const Architecture &architecture, std::string &error) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *backend = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!backend)
    return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict; // nothing is contracted
  return std::unique_ptr<llvm::TargetMachine>(
      backend->createTargetMachine(triple, architecture.name, architecture.features, options,
                                   llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Default));
}

/// The back end combines addresses and unrolls nothing; the assembler schedules, allocates registers and
/// unrolls. What is left is to make values of memory that only a thread sees, and simple loops and conditions.
llvm::ModulePassManager kernelPasses() {
  llvm::LoopPassManager loops;
  loops.addPass(llvm::LoopRotatePass());
  loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
  llvm::FunctionPassManager functions;
  functions.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  functions.addPass(llvm::InstCombinePass());
  functions.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  functions.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(loops), /*UseMemorySSA=*/true));
  functions.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::IndVarSimplifyPass(/*WidenIndVars=*/false)));
  functions.addPass(llvm::InstCombinePass());
  functions.addPass(llvm::SimplifyCFGPass());
  llvm::ModulePassManager modules;
  modules.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(functions), /*EagerlyInvalidate=*/true));
  return modules;
}

struct Unit {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
  llvm::SmallString<0> text;
  std::string error;
};

void generate(Unit &unit, const Architecture &architecture) {
  std::unique_ptr<llvm::TargetMachine> machine = makeMachine(architecture, unit.error);
  if (!machine)
    return;
  llvm::Module &module = *unit.module;
  module.setDataLayout(machine->createDataLayout());
  module.setTargetTriple(machine->getTargetTriple());
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(machine.get());
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(graph);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, graph, modules);
  kernelPasses().run(module, modules);
  llvm::raw_svector_ostream stream(unit.text);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr, llvm::CodeGenFileType::AssemblyFile)) {
    unit.error = "LLVM's back end cannot write PTX";
    return;
  }
  codegen.run(module);
}

/// A gpu.module of its own for a kernel, with copies of the globals that it uses.
gpu::GPUModuleOp isolate(LLVM::LLVMFuncOp kernel, OpBuilder &builder) {
  auto source = kernel->getParentOfType<gpu::GPUModuleOp>();
  auto module = gpu::GPUModuleOp::create(builder, kernel.getLoc(), kernel.getName());
  kernel.walk([&](LLVM::AddressOfOp address) {
    if (auto global = source.lookupSymbol<LLVM::GlobalOp>(address.getGlobalNameAttr()))
      if (!module.lookupSymbol(address.getGlobalNameAttr()))
        module.getBody()->push_front(global->clone());
  });
  kernel->moveBefore(module.getBody(), module.getBody()->end());
  return module;
}

/// For tests and for looking: writes the PTX of all kernels to standard output.
struct EmitPtx : PassWrapper<EmitPtx, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitPtx)
  EmitPtx() = default;
  EmitPtx(const EmitPtx &other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "moe-emit-ptx"; }
  StringRef getDescription() const override { return "write the PTX of kernels to standard output"; }
  Option<std::string> name{*this, "architecture", llvm::cl::desc("the GPU's, such as sm_90a"),
                           llvm::cl::init("sm_90a")};
  void runOnOperation() override {
    std::optional<Architecture> architecture = architectureOf(name);
    if (!architecture) {
      emitError(getOperation().getLoc())
          << "expected an architecture of " << architectureNames() << ", found '" << name << "'";
      return signalPassFailure();
    }
    auto modules = lowerGpu(getOperation());
    if (failed(modules))
      return signalPassFailure();
    auto kernels = emitPtx(*modules, *architecture);
    if (failed(kernels))
      return signalPassFailure();
    for (const PtxKernel &kernel : *kernels)
      llvm::outs() << kernel.text;
  }
};
PassRegistration<EmitPtx> registration;

} // namespace

FailureOr<std::vector<PtxKernel>> emitPtx(ArrayRef<gpu::GPUModuleOp> modules,
                                          const Architecture &architecture) {
  std::vector<LLVM::LLVMFuncOp> kernels;
  for (gpu::GPUModuleOp module : modules)
    llvm::append_range(kernels, module.getOps<LLVM::LLVMFuncOp>());
  llvm::sort(kernels, [](auto a, auto b) { return a.getName() < b.getName(); });
  if (kernels.empty())
    return std::vector<PtxKernel>();
  MLIRContext *context = kernels.front().getContext();
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  context->appendDialectRegistry(registry);

  // 1. Translate.
  std::vector<PtxKernel> all;
  std::vector<std::unique_ptr<Unit>> units;
  OwningOpRef<ModuleOp> holder = ModuleOp::create(UnknownLoc::get(context));
  OpBuilder builder = OpBuilder::atBlockEnd(holder->getBody());
  for (LLVM::LLVMFuncOp kernel : kernels) {
    FailureOr<std::vector<KernelParameter>> parameters = parametersOf(kernel);
    if (failed(parameters))
      return failure();
    all.push_back({kernel.getName().str(), "", threadsOf(kernel), kernel.getLoc(), std::move(*parameters)});
    gpu::GPUModuleOp module = isolate(kernel, builder);
    auto unit = std::make_unique<Unit>();
    unit->module = translateModuleToLLVMIR(module, unit->context, kernel.getName());
    if (!unit->module)
      return emitError(all.back().location)
             << "kernel '" << all.back().name << "': translation to LLVM IR failed";
    module.erase();
    units.push_back(std::move(unit));
  }
  for (gpu::GPUModuleOp module : modules)
    module.erase();

  // 2. Generate.
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(unsigned(units.size())));
  for (auto &unit : units)
    pool.async([&] { generate(*unit, architecture); });
  pool.wait();
  for (auto [kernel, unit] : llvm::zip_equal(all, units)) {
    if (!unit->error.empty())
      return emitError(kernel.location) << "kernel '" << kernel.name << "': " << unit->error;
    kernel.text = std::string(unit->text);
  }
  return all;
}

} // namespace moe::cuda
