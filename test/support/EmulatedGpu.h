// The emulator as tests use it: a context with the test kernels and one stream, in a mode, which ends with the object.
#pragma once

#include "runtime/device/cuda/Driver.h"

#include <array>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace moert::test {

using namespace moert::cuda;
using Dim = std::array<unsigned, 3>;
/// Variables of the environment without their common beginning: {"", "checked"}, {"SEED", "3"}.
using Modes = std::vector<std::pair<std::string, std::string>>;
inline const Modes kChecked = {{"", "checked"}};

class EmulatedGpu {
public:
  /// `image`: a module for cuModuleLoadData, instead of the one with the test kernels.
  explicit EmulatedGpu(const Modes &modes = {}, const void *image = nullptr);
  ~EmulatedGpu();
  EmulatedGpu(const EmulatedGpu &) = delete;

  static const Driver &driver();
  const Driver *operator->() const { return &driver(); }
  std::string finding() const { return driver().finding(); }

  CUfunction function(const char *name) const;
  /// In the stream, unless another one is given.
  template <typename... Arguments>
  CUresult launchIn(CUstream stream, const char *name, Dim grid, Dim block, unsigned shared,
                    Arguments... arguments) const {
    void *parameters[] = {&arguments...};
    return driver().launchKernel(function(name), grid[0], grid[1], grid[2], block[0], block[1], block[2],
                                 shared, stream, parameters, nullptr);
  }
  template <typename... Arguments>
  CUresult launch(const char *name, unsigned blocks, unsigned threads, Arguments... arguments) const {
    return launchIn(stream, name, {blocks, 1, 1}, {threads, 1, 1}, 0, arguments...);
  }
  CUresult synchronize() const { return driver().streamSynchronize(stream); }
  /// Launches and waits.
  template <typename... Arguments>
  CUresult run(const char *name, unsigned blocks, unsigned threads, Arguments... arguments) const {
    CUresult result = launch(name, blocks, threads, arguments...);
    return result == CUDA_SUCCESS ? synchronize() : result;
  }

  CUdeviceptr allocate(size_t bytes) const;
  template <typename T> CUdeviceptr put(const std::vector<T> &values) const {
    CUdeviceptr address = allocate(values.size() * sizeof(T));
    check(driver().memcpyHtoDAsync(address, values.data(), values.size() * sizeof(T), stream),
          "a copy to the device");
    return address;
  }
  template <typename T> std::vector<T> get(CUdeviceptr address, size_t count) const {
    std::vector<T> values(count);
    check(driver().memcpyDtoHAsync(values.data(), address, count * sizeof(T), stream), "a copy to the host");
    return values;
  }
  template <typename T> T *pinned(size_t count) const {
    void *memory = nullptr;
    check(driver().memHostAlloc(&memory, count * sizeof(T), 0), "cuMemHostAlloc");
    return static_cast<T *>(memory);
  }
  static void check(CUresult result, const char *what);

  CUstream stream = nullptr;
  CUmodule module = nullptr;

private:
  std::vector<std::string> variables_;
};

/// 0, 1, 2, ...
std::vector<float> numbers(size_t count);

} // namespace moert::test
