#include "runtime/device/cuda/CudaCode.h"
#include "runtime/base/Printable.h"
#include "runtime/program/cubins_generated.h"

#include <cstring>
#include <string>

namespace moert::cuda {

Result<std::shared_ptr<Module>> Module::load(std::shared_ptr<const Driver> driver, const Program &program,
                                             uint32_t target) {
  const fb::Target &row = *program.table().targets()->Get(target);
  Result<std::shared_ptr<Module>> module = load(std::move(driver), row.kind(), program.section(row.code()));
  if (!module.ok() && module.status().code() == Code::invalid_input)
    return invalidInput(program.path(), ": expected code that this GPU runs as the target '",
                        row.name()->string_view(), "' of level ", row.level()->string_view(), ": ",
                        module.status().message());
  return module;
}

Result<std::shared_ptr<Module>> Module::load(std::shared_ptr<const Driver> driver, fb::TargetKind kind,
                                             std::span<const uint8_t> section) {
  std::shared_ptr<Module> module(new Module(std::move(driver)));
  CUmodule loaded = nullptr;
  if (kind != fb::TargetKind::cuda) {
    // The driver is not told how long the section is: the module says it.
    uint32_t bytes = 0;
    if (section.size() >= sizeof bytes)
      memcpy(&bytes, section.data(), sizeof bytes);
    if (section.size() < sizeof bytes || bytes > section.size() - sizeof bytes)
      return invalidInput("expected a module of the emulator in ", section.size(),
                          " bytes, found one that says it has ", bytes);
    MOERT_TRY(module->add(section.data(), loaded));
    return module;
  }
  flatbuffers::Verifier verifier(section.data(), section.size());
  if (!moe::cubins::VerifySizePrefixedModuleBuffer(verifier))
    return invalidInput("the section has no table of kernels");
  const moe::cubins::Module &table = *moe::cubins::GetSizePrefixedModule(section.data());
  for (const moe::cubins::Kernel *kernel : *table.kernels()) {
    if (kernel->code()->size() == 0)
      return invalidInput("the kernel '", kernel->name()->string_view(), "' has no code");
    if (Status added = module->add(kernel->code()->data(), loaded); !added.ok())
      return Status(added.code(),
                    concat(added.message(), "; the code was made by ",
                           printable(table.assembler()->string_view()), ", and the driver is one for CUDA ",
                           versionText(module->driver_->version),
                           ": if that is older, install a newer NVIDIA driver"));
    if (!module->byKernel_.insert({kernel->name()->string_view(), loaded}).second)
      return invalidInput("the section has the kernel '", kernel->name()->string_view(), "' twice");
  }
  return module;
}

Status Module::add(const void *image, CUmodule &module) {
  CUresult result = driver_->moduleLoadData(&module, image);
  if (result == CUDA_ERROR_NO_BINARY_FOR_GPU || result == CUDA_ERROR_INVALID_IMAGE)
    return invalidInput(driver_->words(result));
  MOERT_TRY(driver_->check(result, "cuModuleLoadData"));
  modules_.push_back(module);
  return {};
}

Module::~Module() {
  for (CUmodule module : modules_)
    driver_->moduleUnload(module);
}

Status Module::allowShared(CUfunction function, unsigned bytes, uint64_t most, const std::string &where) {
  unsigned &allowed = shared_[function];
  if (bytes <= allowed)
    return {};
  int own = 0; // static
  MOERT_TRY(driver_->check(driver_->funcGetAttribute(&own, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function),
                           concat(where, ": cuFuncGetAttribute")));
  const uint64_t needed = (uint64_t(own) + 15) / 16 * 16 + bytes;
  if (needed > most)
    return invalidInput(where, ": expected a GPU with ", needed,
                        " bytes of shared memory a block, found one with ", most,
                        "; compile the program for this GPU");
  MOERT_TRY(driver_->check(
      driver_->funcSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, int(bytes)),
      concat(where, ": cuFuncSetAttribute")));
  allowed = bytes;
  return {};
}

Result<CUfunction> Module::function(std::string_view symbol) const {
  CUmodule module = byKernel_.empty() && !modules_.empty() ? modules_.front() : nullptr;
  if (auto found = byKernel_.find(symbol); found != byKernel_.end())
    module = found->second;
  if (!module)
    return invalidInput("expected code of the kernel '", symbol, "', found none");
  CUfunction function = nullptr;
  MOERT_TRY(driver_->check(driver_->moduleGetFunction(&function, module, std::string(symbol).c_str()),
                           concat("cuModuleGetFunction of '", symbol, "'")));
  return function;
}

} // namespace moert::cuda
