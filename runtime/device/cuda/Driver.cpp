// Looks up each function of the list by the system's loader. The version comes first: a driver that is too old is called that,
// and not one that lacks a function.
#include "runtime/device/cuda/Driver.h"

#include <dlfcn.h>

namespace moert::cuda {

std::string versionText(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

namespace {

constexpr const char *kUpdate = "install a newer NVIDIA driver, or run with --device cpu";
constexpr const char *kWithout = "; without a GPU, run with --device cpu";

} // namespace

std::string Driver::words(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  if (getErrorName(result, &name) != CUDA_SUCCESS || !name)
    return concat("error ", unsigned(result));
  std::string words = name;
  if (getErrorString(result, &text) == CUDA_SUCCESS && text)
    words += concat(" (", text, ")");
  if (const char *found = isEmulator() ? finding() : nullptr; found && *found)
    words += concat(": ", found);
  return words;
}

Status Driver::check(CUresult result, std::string_view call) const {
  if (result == CUDA_SUCCESS)
    return {};
  return invalidInput(call, " failed: ", words(result));
}

Result<std::shared_ptr<const Driver>> openDriver(const std::string &path) {
  // Drivers start threads of their own, so that they cannot be unloaded.
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    const char *reason = dlerror();
    return invalidInput("expected a CUDA driver, found none: ", reason ? reason : path.c_str(), kWithout);
  }
  auto driver = std::make_shared<Driver>();
  driver->path = path;
  std::string missing;
#define MOERT_CUDA_LOOK_UP(name, symbol, parameters)                                                         \
  driver->name = reinterpret_cast<decltype(driver->name)>(dlsym(library, #symbol));                          \
  if (!driver->name && missing.empty())                                                                      \
    missing = #symbol;
  MOERT_CUDA_FUNCTIONS(MOERT_CUDA_LOOK_UP)
  const std::string lacking = missing; // what only tests call may be missing
  MOERT_CUDA_TEST_FUNCTIONS(MOERT_CUDA_LOOK_UP)
  missing = lacking;
#undef MOERT_CUDA_LOOK_UP
#define MOERT_CUDA_LOOK_UP(name, symbol, result, parameters)                                                 \
  driver->name = reinterpret_cast<decltype(driver->name)>(dlsym(library, #symbol));
  MOERT_EMULATOR_FUNCTIONS(MOERT_CUDA_LOOK_UP)
#undef MOERT_CUDA_LOOK_UP

  if (driver->driverGetVersion && driver->driverGetVersion(&driver->version) == CUDA_SUCCESS &&
      driver->version < kLeastDriver)
    return invalidInput("expected a driver for CUDA ", versionText(kLeastDriver),
                        " or later, found one for CUDA ", versionText(driver->version), " (", path, "); ",
                        kUpdate);
  if (!missing.empty())
    return invalidInput("expected a CUDA driver with the function ", missing, ", found none in ", path, "; ",
                        kUpdate);
  CUresult result = driver->init(0);
  if (result == CUDA_ERROR_STUB_LIBRARY)
    return invalidInput("expected a CUDA driver, found the toolkit's stub of one (", path,
                        "), which is for linking only; remove its folder from LD_LIBRARY_PATH");
  if (result == CUDA_SUCCESS)
    result = driver->deviceGetCount(&driver->devices);
  if (result == CUDA_ERROR_NO_DEVICE || (result == CUDA_SUCCESS && driver->devices < 1))
    return invalidInput("expected a GPU, found none (", path,
                        " sees no device; is one hidden by CUDA_VISIBLE_DEVICES?)", kWithout);
  if (result != CUDA_SUCCESS)
    return invalidInput("cannot initialise the CUDA driver ", path, ": ", driver->words(result));
  return std::shared_ptr<const Driver>(driver);
}

} // namespace moert::cuda
