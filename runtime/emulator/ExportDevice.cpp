// The driver, its one device and the device's primary context.
#include "runtime/emulator/Exports.h"

#include <cstring>

namespace moe::emu {

thread_local Context *currentContext = nullptr;

Driver &Driver::get() {
  static auto *driver = new Driver; // never destroyed: other threads may still call when the process ends
  return *driver;
}

bool Driver::failsNow(const char *call) {
  if (++calls != settings.failCall)
    return false;
  std::string text = concat(call, " is call ", calls, ", which MOE_EMULATOR_FAIL_CALL lets fail");
  if (context)
    context->refuse(CUDA_ERROR_UNKNOWN, std::move(text));
  else
    finding = std::move(text);
  return true;
}

namespace {

CUresult attributeOf(const Settings &settings, CUdevice_attribute attribute, int &value) {
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
  case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
  case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
    value = 1024;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
    value = 64;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
    value = 0x7FFFFFFF;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
  case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
    value = 65535;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
    value = Context::kUsualShared;
    break;
  case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
    value = 32;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
  case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
    value = 65536;
    break;
  case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
  case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
    value = 1000000; // in kHz; it has none
    break;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    value = settings.threads;
    break;
  case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
    value = 64;
    break;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
    value = 1 << 20;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
    value = 2048;
    break;
  case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
  case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
    value = 1;
    break;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
    value = settings.architecture->major;
    break;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
    value = settings.architecture->minor;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    value = settings.architecture->optInShared;
    break;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
    value = settings.architecture->optInShared + 1024;
    break;
  default:
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

} // namespace
} // namespace moe::emu

using namespace moe::emu;

MOERT_EMULATOR_EXPORT CUresult cuInit(unsigned flags) {
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.mutex);
  if (flags)
    return CUDA_ERROR_INVALID_VALUE;
  if (Findings found = Settings::read(driver.settings)) {
    driver.finding = found->text;
    return found->code;
  }
  driver.initialised = true;
  driver.calls = 0;
  return CUDA_SUCCESS;
}

MOERT_EMULATOR_EXPORT CUresult cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

MOERT_EMULATOR_EXPORT CUresult cuGetErrorName(CUresult error, const char **name) {
  if (!name)
    return CUDA_ERROR_INVALID_VALUE;
  *name = nullptr;
  switch (error) {
#define MOERT_CUDA_NAME(result, value, text)                                                                 \
  case result:                                                                                               \
    *name = #result;                                                                                         \
    break;
    MOERT_CUDA_RESULTS(MOERT_CUDA_NAME)
#undef MOERT_CUDA_NAME
  }
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

MOERT_EMULATOR_EXPORT CUresult cuGetErrorString(CUresult error, const char **words) {
  if (!words)
    return CUDA_ERROR_INVALID_VALUE;
  *words = nullptr;
  switch (error) {
#define MOERT_CUDA_WORDS(result, value, text)                                                                \
  case result:                                                                                               \
    *words = text;                                                                                           \
    break;
    MOERT_CUDA_RESULTS(MOERT_CUDA_WORDS)
#undef MOERT_CUDA_WORDS
  }
  return *words ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

MOERT_EMULATOR_EXPORT CUresult cuDeviceGetCount(int *count) {
  return callDriver([&](Driver &) {
    if (!count)
      return CUDA_ERROR_INVALID_VALUE;
    *count = 1;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  return callDriver([&](Driver &) {
    if (!device)
      return CUDA_ERROR_INVALID_VALUE;
    if (ordinal != 0)
      return CUDA_ERROR_INVALID_DEVICE;
    *device = kDevice;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  return callDriver([&](Driver &driver) {
    if (!name || length < 1)
      return CUDA_ERROR_INVALID_VALUE;
    if (device != kDevice)
      return CUDA_ERROR_INVALID_DEVICE;
    const std::string full = concat("emulated ", driver.settings.architecture->name);
    const size_t bytes = std::min(full.size(), size_t(length) - 1);
    memcpy(name, full.data(), bytes);
    name[bytes] = 0;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
                                                    CUdevice device) {
  return callDriver([&](Driver &driver) {
    if (!value)
      return CUDA_ERROR_INVALID_VALUE;
    if (device != kDevice)
      return CUDA_ERROR_INVALID_DEVICE;
    return attributeOf(driver.settings, attribute, *value);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  return callDriver([&](Driver &driver) {
    if (!bytes)
      return CUDA_ERROR_INVALID_VALUE;
    if (device != kDevice)
      return CUDA_ERROR_INVALID_DEVICE;
    *bytes = driver.settings.memory;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  return callDriver([&](Driver &driver) -> CUresult {
    if (!context)
      return CUDA_ERROR_INVALID_VALUE;
    if (device != kDevice)
      return CUDA_ERROR_INVALID_DEVICE;
    if (!driver.context) {
      driver.finding.clear();
      if (Findings found = Settings::read(driver.settings)) {
        driver.finding = found->text;
        return found->code;
      }
      if (CUresult code = Context::create(driver.settings, driver.context); code != CUDA_SUCCESS) {
        if (code == CUDA_ERROR_OUT_OF_MEMORY)
          driver.finding = "the emulator cannot reserve its address space; raise the limit (ulimit -v)";
        return code;
      }
    }
    ++driver.retained;
    *context = reinterpret_cast<CUcontext>(driver.context.get());
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return callDriver([&](Driver &driver) {
    if (device != kDevice)
      return CUDA_ERROR_INVALID_DEVICE;
    if (!driver.retained)
      return CUDA_ERROR_INVALID_CONTEXT;
    if (--driver.retained)
      return CUDA_SUCCESS;
    driver.finding = driver.context->finding();
    driver.context.reset();
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  return callDriver([&](Driver &driver) -> CUresult {
    auto *wanted = reinterpret_cast<Context *>(context);
    if (wanted && wanted != driver.context.get())
      return CUDA_ERROR_INVALID_CONTEXT;
    currentContext = wanted;
    return wanted ? wanted->failure() : CUDA_SUCCESS; // NVIDIA's may return errors of earlier work as well
  });
}

MOERT_EMULATOR_EXPORT int moeEmulatorThreads() {
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.mutex);
  return driver.settings.threads;
}

MOERT_EMULATOR_EXPORT const char *moeEmulatorFinding() {
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.mutex);
  return driver.context ? driver.context->finding().c_str() : driver.finding.c_str();
}
