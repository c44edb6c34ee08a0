// Code for the host, from kernels in the NVVM dialect:
//   1. Static shared memory gets offsets from the block's shared memory; dynamic shared memory lies behind it.
//   2. Each kernel becomes two functions `void (ThreadContext *, const void *arguments)`: its body twice, in
//      EmulatedBody, which replaces everything that a CPU does not have.
//   3. The functions are compiled as the CPU's kernels are.
#include "passes/cuda/code/EmulateKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "passes/cuda/code/EmulatedBody.h"
#include "passes/host/ObjectCode.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace moe::cuda {
namespace {

constexpr uint64_t dynamicAlignment = 16;
/// Of a kernel: the numbers of the parameters that are counters.
constexpr StringLiteral countersName = "moe.counters";

/// The offsets of the shared memory that a kernel uses. Nothing, after an error, if it uses other globals.
FailureOr<SharedLayout> layOut(LLVM::LLVMFuncOp kernel) {
  auto module = kernel->getParentOfType<gpu::GPUModuleOp>();
  SharedLayout layout;
  std::vector<StringAttr> dynamic;
  const DataLayout sizes(module);
  WalkResult result = kernel.walk([&](LLVM::AddressOfOp address) {
    auto global = module.lookupSymbol<LLVM::GlobalOp>(address.getGlobalNameAttr());
    if (!global || global.getAddrSpace() != unsigned(NVVM::NVVMMemorySpace::Shared)) {
      address.emitError("expected a global in shared memory in kernel '")
          << kernel.getName() << "', found '" << address.getGlobalName() << "'";
      return WalkResult::interrupt();
    }
    StringAttr name = global.getSymNameAttr();
    if (layout.offsets.count(name) || llvm::is_contained(dynamic, name))
      return WalkResult::advance();
    const uint64_t bytes = sizes.getTypeSize(global.getGlobalType());
    if (bytes == 0) {
      dynamic.push_back(name);
      return WalkResult::advance();
    }
    const uint64_t alignment =
        global.getAlignment().value_or(sizes.getTypeABIAlignment(global.getGlobalType()));
    layout.bytes = llvm::alignTo(layout.bytes, alignment);
    layout.offsets[name] = layout.bytes;
    layout.bytes += bytes;
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  for (StringAttr name : dynamic)
    layout.offsets[name] = llvm::alignTo(layout.bytes, dynamicAlignment);
  return layout;
}

FailureOr<EmulatedKernel> describe(LLVM::LLVMFuncOp kernel, const SharedLayout &layout) {
  EmulatedKernel made;
  made.name = kernel.getName().str();
  made.fast = made.name;
  made.checked = made.name + "_checked";
  made.shared = layout.bytes;
  made.threads = threadsOf(kernel);
  FailureOr<std::vector<KernelParameter>> parameters = parametersOf(kernel);
  if (failed(parameters))
    return failure();
  made.params = std::move(*parameters);
  made.counters.resize(made.params.size());
  if (auto counters = kernel->getAttrOfType<DenseI32ArrayAttr>(countersName))
    for (int32_t number : counters.asArrayRef()) {
      if (number < 0 || size_t(number) >= made.params.size() || !made.params[size_t(number)].isPointer)
        return kernel.emitError("expected '")
               << countersName << "' to name parameters that are pointers, found " << number;
      made.counters[size_t(number)] = true;
    }
  return made;
}

} // namespace

FailureOr<EmulatedKernels> emulateKernels(ArrayRef<gpu::GPUModuleOp> modules, const host::CpuTarget &host,
                                          bool timing) {
  std::vector<LLVM::LLVMFuncOp> kernels;
  for (gpu::GPUModuleOp module : modules)
    llvm::append_range(kernels, module.getOps<LLVM::LLVMFuncOp>());
  llvm::sort(kernels, [](auto a, auto b) { return a.getName() < b.getName(); });
  EmulatedKernels made;
  if (kernels.empty())
    return made;
  MLIRContext *context = kernels.front().getContext();
  OwningOpRef<ModuleOp> code = ModuleOp::create(UnknownLoc::get(context));
  SiteTable sites;
  for (LLVM::LLVMFuncOp kernel : kernels) {
    FailureOr<SharedLayout> layout = layOut(kernel);
    if (failed(layout))
      return failure();
    FailureOr<EmulatedKernel> description = describe(kernel, *layout);
    if (failed(description))
      return failure();
    for (bool isChecked : {false, true}) {
      LLVM::LLVMFuncOp function = kernel.clone();
      function.setName(isChecked ? description->checked : description->fast);
      code->push_back(function);
      if (failed(emulateBody(function, description->name, *layout, isChecked, sites)))
        return failure();
    }
    made.kernels.push_back(std::move(*description));
  }
  for (gpu::GPUModuleOp module : modules)
    module.erase();
  made.sites = sites.take();
  FailureOr<llvm::SmallVector<char, 0>> object = host::compileLlvmToObject(*code, host, {.timing = timing});
  if (failed(object))
    return failure();
  made.code = std::move(*object);
  return made;
}

} // namespace moe::cuda
