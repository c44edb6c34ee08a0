// CUDA's driver, opened while the program runs: its functions, and what a failure of one is called. Nothing of NVIDIA's is linked,
// so moert starts on machines without a GPU. The emulator (runtime/emulator) is a driver as well and is opened in the same way.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/device/cuda/DriverApi.h"

#include <memory>
#include <string>

namespace moert::cuda {

/// The oldest driver that the runtime works with, as cuDriverGetVersion counts: CUDA 12.0.
inline constexpr int kLeastDriver = 12000;
/// How the system's loader finds NVIDIA's driver.
inline constexpr const char *kDriverName = "libcuda.so.1";

/// "13.0", of a version as cuDriverGetVersion counts.
std::string versionText(int version);

struct Driver {
#define MOERT_CUDA_POINTER(name, symbol, parameters) CUresult(*name) parameters = nullptr;
  MOERT_CUDA_FUNCTIONS(MOERT_CUDA_POINTER)
  MOERT_CUDA_TEST_FUNCTIONS(MOERT_CUDA_POINTER) // null where the driver lacks it
#undef MOERT_CUDA_POINTER
/// Only in the emulator; otherwise null.
#define MOERT_CUDA_POINTER(name, symbol, result, parameters) result(*name) parameters = nullptr;
  MOERT_EMULATOR_FUNCTIONS(MOERT_CUDA_POINTER)
#undef MOERT_CUDA_POINTER

  std::string path;
  int version = 0; // 13000: CUDA 13.0
  int devices = 0; // at least 1

  bool isEmulator() const { return finding; }
  /// "CUDA_ERROR_OUT_OF_MEMORY (out of memory)", and for an emulator what it found.
  std::string words(CUresult result) const;
  /// The failure of a call, such as "cuMemAlloc of 12 MiB".
  Status check(CUresult result, std::string_view call) const;
};

/// Opens and initialises a driver, which stays loaded from then on. A failure says whether there is no driver, one that is too
/// old, or no GPU.
Result<std::shared_ptr<const Driver>> openDriver(const std::string &path = kDriverName);

} // namespace moert::cuda
