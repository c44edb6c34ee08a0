// The functions of NVIDIA's library nvJitLink that the compiler uses, with types of our own, since the library is
// opened at run time and nothing of the toolkit is needed to build. A test compares the numbers with the
// toolkit's header where there is one.
#pragma once
#include <cstddef>
#include <cstdint>

namespace moe::cuda {

struct NvJitLink {
  using Handle = void *;
  // nvJitLinkResult and nvJitLinkInputType
  static constexpr int success = 0, unrecognizedOption = 1, unrecognizedArchitecture = 16,
                       unsupportedArchitecture = 17;
  static constexpr int inputPtx = 2;

  int (*create)(Handle *handle, uint32_t options, const char **values) = nullptr;
  int (*destroy)(Handle *handle) = nullptr;
  int (*addData)(Handle handle, int type, const void *data, size_t bytes, const char *name) = nullptr;
  int (*complete)(Handle handle) = nullptr;
  int (*getLinkedCubinSize)(Handle handle, size_t *bytes) = nullptr;
  int (*getLinkedCubin)(Handle handle, void *cubin) = nullptr;
  int (*getErrorLogSize)(Handle handle, size_t *bytes) = nullptr;
  int (*getErrorLog)(Handle handle, char *log) = nullptr;
  int (*getInfoLogSize)(Handle handle, size_t *bytes) = nullptr;
  int (*getInfoLog)(Handle handle, char *log) = nullptr;
  int (*version)(unsigned *major, unsigned *minor) = nullptr;
};

} // namespace moe::cuda
