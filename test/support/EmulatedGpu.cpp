// Sets the environment, and makes a context.
#include "test/support/EmulatedGpu.h"
#include "test/support/EmulatorModule.h"

#include <numeric>

// The emulator is not instrumented, since sanitizers do not understand that it switches stacks: what synchronises its threads is
// not seen, and so neither may be what they allocate.
extern "C" const char *__tsan_default_suppressions();
extern "C" const char *__tsan_default_suppressions() { return "called_from_lib:libmoe-emulator.so"; }

namespace moert::test {

const Driver &EmulatedGpu::driver() {
  static const std::shared_ptr<const Driver> driver = *openDriver(MOERT_EMULATOR);
  return *driver;
}

void EmulatedGpu::check(CUresult result, const char *what) {
  Status status = driver().check(result, what);
  if (status.ok())
    return;
  fprintf(stderr, "%s\n", status.message().c_str());
  abort();
}

EmulatedGpu::EmulatedGpu(const Modes &modes, const void *image) {
  driver();
  for (auto &[name, value] : modes) {
    variables_.push_back("MOE_EMULATOR" + (name.empty() ? "" : "_" + name));
    setenv(variables_.back().c_str(), value.c_str(), 1);
  }
  CUcontext context = nullptr;
  check(driver().devicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
  check(driver().ctxSetCurrent(context), "cuCtxSetCurrent");
  check(driver().streamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
  check(driver().moduleLoadData(&module, image ? image : emulatorModule().data()), "cuModuleLoadData");
}

EmulatedGpu::~EmulatedGpu() {
  check(driver().ctxSetCurrent(nullptr), "cuCtxSetCurrent");
  check(driver().devicePrimaryCtxRelease(0), "cuDevicePrimaryCtxRelease");
  for (const std::string &variable : variables_)
    unsetenv(variable.c_str());
}

CUfunction EmulatedGpu::function(const char *name) const {
  CUfunction found = nullptr;
  check(driver().moduleGetFunction(&found, module, name), name);
  return found;
}

CUdeviceptr EmulatedGpu::allocate(size_t bytes) const {
  CUdeviceptr address = 0;
  check(driver().memAlloc(&address, bytes), "cuMemAlloc");
  return address;
}

std::vector<float> numbers(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

} // namespace moert::test
