#include "passes/cuda/code/GpuCode.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "passes/cuda/code/AssembleKernels.h"
#include "passes/cuda/code/EmulateKernels.h"
#include "runtime/emulator/module_generated.h"
#include "runtime/program/cubins_generated.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

using namespace mlir;

namespace moe::cuda {
namespace {

class Laps {
public:
  explicit Laps(bool isShown) : isShown(isShown) {}
  void end(StringRef step) {
    auto now = std::chrono::steady_clock::now();
    if (isShown)
      llvm::errs() << "  code of a GPU, " << step << ": "
                   << std::chrono::duration_cast<std::chrono::milliseconds>(now - last).count() << " ms\n";
    last = now;
  }

private:
  bool isShown;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

FailureOr<std::vector<gpu::GPUModuleOp>> lower(ModuleOp kernels, const GpuCodeOptions &options, Laps &laps) {
  FailureOr<std::vector<gpu::GPUModuleOp>> modules = lowerGpu(kernels);
  if (succeeded(modules) && options.nvvm) {
    llvm::raw_string_ostream stream(*options.nvvm);
    for (gpu::GPUModuleOp module : *modules)
      module.print(stream, OpPrintingFlags().useLocalScope());
  }
  laps.end("lowering");
  return modules;
}

SmallVector<char, 0> bytesOf(const flatbuffers::FlatBufferBuilder &builder) {
  const char *begin = reinterpret_cast<const char *>(builder.GetBufferPointer());
  return SmallVector<char, 0>(begin, begin + builder.GetSize());
}

flatbuffers::Offset<flatbuffers::Vector<uint8_t>> aligned(flatbuffers::FlatBufferBuilder &builder,
                                                          StringRef bytes) {
  builder.ForceVectorAlignment(bytes.size(), 1, 16);
  return builder.CreateVector(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
}

} // namespace

FailureOr<SmallVector<char, 0>> compileForCuda(ModuleOp kernels, const Architecture &architecture,
                                               const GpuCodeOptions &options) {
  Laps laps(options.timing);
  std::string error;
  std::unique_ptr<Assembler> assembler = Assembler::find(architecture, error);
  if (!assembler)
    return emitError(kernels.getLoc(), error);
  FailureOr<std::vector<gpu::GPUModuleOp>> modules = lower(kernels, options, laps);
  if (failed(modules))
    return failure();
  FailureOr<std::vector<PtxKernel>> ptx = emitPtx(*modules, architecture);
  if (failed(ptx))
    return failure();
  laps.end("PTX");
  FailureOr<std::vector<Cubin>> cubins = assembleKernels(*ptx, architecture, *assembler, CubinCache());
  if (failed(cubins))
    return failure();
  laps.end("assembling");

  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<cubins::Kernel>> table;
  for (auto [kernel, cubin] : llvm::zip_equal(*ptx, *cubins)) {
    auto code = aligned(builder, cubin.bytes);
    auto name = builder.CreateString(kernel.name);
    std::vector<flatbuffers::Offset<cubins::Param>> params;
    for (KernelParameter param : kernel.parameters)
      params.push_back(cubins::CreateParam(
          builder, param.isPointer ? cubins::ParamKind::pointer : cubins::ParamKind::scalar, param.bytes));
    const KernelResources &of = cubin.resources;
    table.push_back(cubins::CreateKernel(builder, name, kernel.threads, of.registers, of.sharedBytes,
                                         of.stackBytes, of.spillStoreBytes, of.spillLoadBytes, code,
                                         builder.CreateVector(params)));
  }
  auto name = builder.CreateString(architecture.name.str()),
       tool = builder.CreateString(assembler->description());
  cubins::FinishSizePrefixedModuleBuffer(
      builder, cubins::CreateModule(builder, name, tool, builder.CreateVector(table)));
  return bytesOf(builder);
}

FailureOr<SmallVector<char, 0>> compileForEmulator(ModuleOp kernels, const Architecture &architecture,
                                                   const host::CpuTarget &host,
                                                   const GpuCodeOptions &options) {
  Laps laps(options.timing);
  FailureOr<std::vector<gpu::GPUModuleOp>> modules = lower(kernels, options, laps);
  if (failed(modules))
    return failure();
  FailureOr<EmulatedKernels> made = emulateKernels(*modules, host, options.timing);
  if (failed(made))
    return failure();
  laps.end("code for the emulator");

  flatbuffers::FlatBufferBuilder builder;
  auto code = aligned(builder, StringRef(made->code.data(), made->code.size()));
  std::vector<flatbuffers::Offset<emu::Kernel>> table;
  for (const EmulatedKernel &kernel : made->kernels) {
    std::vector<flatbuffers::Offset<emu::Param>> params;
    for (auto [param, isCounter] : llvm::zip_equal(kernel.params, kernel.counters))
      params.push_back(emu::CreateParam(builder,
                                        param.isPointer ? emu::ParamKind::pointer : emu::ParamKind::scalar,
                                        param.bytes, isCounter));
    auto name = builder.CreateString(kernel.name), fast = builder.CreateString(kernel.fast),
         checked = builder.CreateString(kernel.checked);
    table.push_back(emu::CreateKernel(builder, name, builder.CreateVector(params), kernel.shared,
                                      kernel.threads, fast, checked));
  }
  std::vector<flatbuffers::Offset<emu::Site>> sites;
  for (const EmulatedSite &site : made->sites) {
    auto op = builder.CreateSharedString(site.op), file = builder.CreateSharedString(site.file);
    sites.push_back(emu::CreateSite(builder, op, file, site.line));
  }
  std::vector<flatbuffers::Offset<flatbuffers::String>> features;
  for (const std::string &feature : host.features)
    features.push_back(builder.CreateString(feature));
  auto name = builder.CreateString(architecture.name.str()), level = builder.CreateString(host.level);
  auto f = builder.CreateVector(features);
  auto k = builder.CreateVector(table);
  auto s = builder.CreateVector(sites);
  emu::FinishSizePrefixedModuleBuffer(builder, emu::CreateModule(builder, name, level, f, k, s, code));
  return bytesOf(builder);
}

} // namespace moe::cuda
