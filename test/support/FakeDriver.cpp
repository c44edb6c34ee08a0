// Drivers for the tests of how a driver is opened. Compiled several times: FAKE_VERSION is the version that it gives, FAKE_INIT
// what cuInit returns, FAKE_DEVICES how many GPUs it sees, and with FAKE_LACKS one function has another name. Its other functions
// do nothing.
#ifdef FAKE_LACKS
#define cuGraphInstantiateWithFlags cuGraphInstantiateOfOld
#endif
#include "runtime/device/cuda/DriverApi.h"

using namespace moert::cuda;

#define cuInit cuInitDoingNothing
#define cuDriverGetVersion cuDriverGetVersionDoingNothing
#define cuDeviceGetCount cuDeviceGetCountDoingNothing
#define cuGetErrorName cuGetErrorNameDoingNothing
#define cuGetErrorString cuGetErrorStringDoingNothing
#define FAKE(name, symbol, parameters)                                                                       \
  extern "C" CUresult symbol parameters { return CUDA_ERROR_NOT_SUPPORTED; }
MOERT_CUDA_FUNCTIONS(FAKE)
#undef cuInit
#undef cuDriverGetVersion
#undef cuDeviceGetCount
#undef cuGetErrorName
#undef cuGetErrorString

extern "C" CUresult cuInit(unsigned) { return CUresult(FAKE_INIT); }

extern "C" CUresult cuDriverGetVersion(int *version) {
  *version = FAKE_VERSION;
  return CUDA_SUCCESS;
}

extern "C" CUresult cuDeviceGetCount(int *count) {
  *count = FAKE_DEVICES;
  return CUDA_SUCCESS;
}

extern "C" CUresult cuGetErrorName(CUresult result, const char **text) {
  *text = result == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : nullptr;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

extern "C" CUresult cuGetErrorString(CUresult, const char **text) {
  *text = "out of memory";
  return CUDA_SUCCESS;
}
