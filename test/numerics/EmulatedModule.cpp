#include "test/numerics/EmulatedModule.h"
#include "runtime/device/cuda/Driver.h"
#include <cstdlib>
#include <map>
#include <set>

using namespace moert::cuda;

namespace moe::test {
namespace {

const Driver &driver() {
  static const std::shared_ptr<const Driver> opened = *openDriver(MOERT_EMULATOR);
  return *opened;
}

/// A context of the emulated GPU in one mode, with the module loaded.
class Session {
public:
  Session(const std::vector<char> &section, bool isChecked, unsigned seed, unsigned threads) {
    setenv("MOE_EMULATOR", isChecked ? "checked" : "fast", 1);
    setenv("MOE_EMULATOR_SEED", std::to_string(seed).c_str(), 1);
    setenv("MOE_EMULATOR_THREADS", std::to_string(threads).c_str(), 1);
    CUcontext context = nullptr;
    retained = check(driver().devicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
    if (retained && check(driver().ctxSetCurrent(context), "cuCtxSetCurrent") &&
        check(driver().streamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate"))
      check(driver().moduleLoadData(&module, section.data()), "cuModuleLoadData");
  }
  ~Session() {
    driver().ctxSetCurrent(nullptr);
    if (retained)
      driver().devicePrimaryCtxRelease(0);
  }
  /// Keeps the first failure.
  bool check(CUresult result, const std::string &call) {
    moert::Status status = driver().check(result, call);
    if (!status.ok() && failure.empty())
      failure = status.message();
    return status.ok();
  }
  CUdeviceptr allocate(size_t bytes) {
    CUdeviceptr address = 0;
    check(driver().memAlloc(&address, bytes ? bytes : 1), "cuMemAlloc");
    return address;
  }
  CUdeviceptr put(const void *data, size_t bytes, bool given) {
    CUdeviceptr address = allocate(bytes);
    if (given && bytes)
      check(driver().memcpyHtoDAsync(address, data, bytes, stream), "cuMemcpyHtoDAsync");
    return address;
  }
  void launch(const EmulatedLaunch &launch, const std::map<void *, CUdeviceptr> &places) {
    CUfunction function = nullptr;
    if (!check(driver().moduleGetFunction(&function, module, launch.kernel.c_str()), launch.kernel))
      return;
    std::vector<uint64_t> arguments;
    for (void *buffer : launch.buffers)
      arguments.push_back(places.at(buffer));
    for (size_t i = 0; i < launch.scalars.size(); ++i)
      arguments.push_back(launch.cells[i] ? put(&launch.scalars[i], sizeof(int64_t), true)
                                          : uint64_t(launch.scalars[i]));
    std::vector<void *> pointers;
    for (uint64_t &argument : arguments)
      pointers.push_back(&argument);
    const auto &g = launch.grid, &b = launch.block;
    if (check(driver().launchKernel(function, g[0], g[1], g[2], b[0], b[1], b[2], launch.shared, stream,
                                    pointers.data(), nullptr),
              launch.kernel))
      check(driver().streamSynchronize(stream), launch.kernel);
  }

  CUstream stream = nullptr;
  CUmodule module = nullptr;
  std::string failure;

private:
  bool retained = false;
};

} // namespace

std::string EmulatedModule::run(llvm::ArrayRef<EmulatedLaunch> launches,
                                llvm::ArrayRef<EmulatedBuffer> buffers, bool isChecked, unsigned seed,
                                unsigned threads) const {
  Session session(section, isChecked, seed, threads);
  std::map<void *, CUdeviceptr> places;
  if (session.failure.empty())
    for (const EmulatedBuffer &buffer : buffers)
      places[buffer.data] = session.put(buffer.data, buffer.bytes, buffer.given);
  for (const EmulatedLaunch &launch : launches)
    if (session.failure.empty())
      session.launch(launch, places);
  // Only what a launch accesses has contents.
  std::set<void *> accessed;
  for (const EmulatedLaunch &launch : launches)
    accessed.insert(launch.buffers.begin(), launch.buffers.end());
  for (const EmulatedBuffer &buffer : buffers)
    if (session.failure.empty() && buffer.bytes && accessed.count(buffer.data))
      session.check(driver().memcpyDtoHAsync(buffer.data, places[buffer.data], buffer.bytes, session.stream),
                    "cuMemcpyDtoHAsync");
  if (session.failure.empty())
    session.check(driver().streamSynchronize(session.stream), "cuStreamSynchronize");
  return session.failure;
}

} // namespace moe::test
