// Modules, their functions, and launching them.
#include "runtime/emulator/Exports.h"

#include <cstring>

using namespace moe::emu;

MOERT_EMULATOR_EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  return callContext([&](Context &context) -> CUresult {
    if (!module || !image)
      return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<LoadedModule> loaded;
    if (Findings found = LoadedModule::load(image, context.settings.architecture->name, loaded))
      return context.refuse(found->code, std::move(found->text));
    auto object = std::make_shared<ModuleObject>();
    object->module = std::move(loaded);
    *module = context.modules.add(std::move(object));
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuModuleUnload(CUmodule handle) {
  return callContext([&](Context &context) {
    std::shared_ptr<ModuleObject> object = context.modules.take(handle);
    if (!object)
      return CUDA_ERROR_INVALID_HANDLE;
    for (auto &[name, function] : object->functions)
      context.functions.take(reinterpret_cast<CUfunction>(function.get()));
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuModuleGetFunction(CUfunction *handle, CUmodule module, const char *name) {
  return callContext([&](Context &context) {
    std::shared_ptr<ModuleObject> object = context.modules.find(module);
    if (!object)
      return CUDA_ERROR_INVALID_HANDLE;
    if (!handle || !name)
      return CUDA_ERROR_INVALID_VALUE;
    const KernelEntry *kernel = object->module->find(name);
    if (!kernel)
      return CUDA_ERROR_NOT_FOUND;
    std::shared_ptr<Function> &function = object->functions[name];
    if (!function) {
      function = std::make_shared<Function>(
          Function{object->module, kernel, Context::kUsualShared - int(kernel->shared)});
      context.functions.add(function);
    }
    *handle = reinterpret_cast<CUfunction>(function.get());
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute,
                                                  CUfunction handle) {
  return callContext([&](Context &context) {
    std::shared_ptr<Function> function = context.functions.find(handle);
    if (!function)
      return CUDA_ERROR_INVALID_HANDLE;
    if (!value)
      return CUDA_ERROR_INVALID_VALUE;
    const Architecture &architecture = *context.settings.architecture;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = int(function->kernel->threads);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = int(function->kernel->shared);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = function->dynamicShared;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = architecture.major * 10 + architecture.minor;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: // an emulated kernel has neither of them
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      *value = 0;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute,
                                                  int value) {
  return callContext([&](Context &context) -> CUresult {
    std::shared_ptr<Function> function = context.functions.find(handle);
    if (!function)
      return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0)
      return CUDA_ERROR_INVALID_VALUE;
    const int most = context.settings.architecture->optInShared - int(function->kernel->shared);
    if (value > most)
      return context.refuse(CUDA_ERROR_INVALID_VALUE,
                            concat("kernel '", function->kernel->name, "': expected at most ", most,
                                   " bytes of dynamic shared memory on ", context.settings.architecture->name,
                                   ", found ", value));
    function->dynamicShared = value;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuLaunchKernel(CUfunction handle, unsigned gridX, unsigned gridY,
                                              unsigned gridZ, unsigned blockX, unsigned blockY,
                                              unsigned blockZ, unsigned sharedBytes, CUstream stream,
                                              void **parameters, void **extra) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) -> CUresult {
    std::shared_ptr<Function> function = context.functions.find(handle);
    if (!function)
      return CUDA_ERROR_INVALID_HANDLE;
    const KernelEntry &kernel = *function->kernel;
    if (extra)
      return CUDA_ERROR_NOT_SUPPORTED;
    if (!parameters && !kernel.parameters.empty())
      return CUDA_ERROR_INVALID_VALUE;
    Launch launch{function->module,         &kernel,     {gridX, gridY, gridZ},
                  {blockX, blockY, blockZ}, sharedBytes, {}};
    launch.arguments.resize(kernel.argumentBytes);
    for (size_t i = 0; i < kernel.parameters.size(); ++i)
      memcpy(launch.arguments.data() + kernel.parameters[i].offset, parameters[i],
             kernel.parameters[i].bytes);
    return context.launch(*function, std::move(launch), at);
  });
}
