// What the exported functions have in common: one lock, the checks that every call begins with, and the current context.
#pragma once

#include "runtime/emulator/Context.h"

#include <mutex>
#include <new>

#define MOERT_EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

namespace moe::emu {

/// The only device.
inline constexpr CUdevice kDevice = 0;

struct Driver {
  std::mutex mutex;
  bool initialised = false;
  Settings settings; // of the environment when the driver was initialised
  std::unique_ptr<Context> context;
  int retained = 0;
  std::string finding; // of the last context, or of the settings
  uint64_t calls = 0;  // since it was initialised

  /// Whether this call, which is counted, is the one that the settings let fail.
  bool failsNow(const char *call);

  static Driver &get();
};

/// The context that the calling thread has made current; it may have ended since.
extern thread_local Context *currentContext;

/// A call that needs no context. `name` is that of the exported function.
template <typename F> CUresult callDriver(F f, const char *name = __builtin_FUNCTION()) {
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.mutex);
  if (!driver.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (driver.failsNow(name))
    return CUDA_ERROR_UNKNOWN;
  try {
    return f(driver);
  } catch (const std::bad_alloc &) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

/// A call that needs a context, which an error may have ended.
template <typename F> CUresult callContext(F f, const char *name = __builtin_FUNCTION()) {
  return callDriver(
      [&](Driver &driver) -> CUresult {
        if (!currentContext)
          return CUDA_ERROR_INVALID_CONTEXT;
        if (currentContext != driver.context.get())
          return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        if (CUresult failure = currentContext->failure(); failure != CUDA_SUCCESS)
          return failure;
        return f(*currentContext);
      },
      name);
}

/// A call with a stream.
template <typename F> CUresult callStream(CUstream handle, F f, const char *name = __builtin_FUNCTION()) {
  return callContext(
      [&](Context &context) -> CUresult {
        std::shared_ptr<Stream> stream = context.stream(handle);
        return stream ? f(context, stream) : CUDA_ERROR_INVALID_HANDLE;
      },
      name);
}

} // namespace moe::emu
