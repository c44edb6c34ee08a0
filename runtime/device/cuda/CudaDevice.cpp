// One stream, events as tickets, and the GPU's memory. What fails once, the driver fails ever after; so does the device.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cpu/KernelCode.h"
#include "runtime/device/cuda/CudaMemory.h"
#include "runtime/device/cuda/CudaPlan.h"
#include "runtime/program/Verify.h"
#include "runtime/train/CompileCommand.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <dlfcn.h>
#include <filesystem>
#include <map>

namespace moert {
namespace cuda {
namespace {

std::string withTarget(const Program &program, const std::string &target);

class CudaDevice final : public Device, public PlanHost {
public:
  CudaDevice(std::shared_ptr<const Driver> driver, fb::TargetKind kind)
      : driver_(std::move(driver)), kind_(kind) {}
  ~CudaDevice() override;
  Status open();

  std::string_view name() const override { return kind_ == fb::TargetKind::cuda ? "cuda" : "emulator"; }
  int threads() const override { return driver_->isEmulator() ? driver_->threads() : 0; }
  Result<uint32_t> chooseTarget(const Program &program) const override;
  int stepsInFlight() const override { return 2; }

  Status reserve(uint64_t arenaBytes, uint64_t) override {
    MOERT_TRY(use());
    return arena_->reserve(arenaBytes);
  }
  uint64_t arenaGrowth(uint64_t arenaBytes) override {
    return use().ok() ? arena_->growth(arenaBytes) : arenaBytes;
  }
  DeviceAddress arena() const override { return arena_->address(); }
  uint64_t scratchBytes() const override { return 0; }

  Status write(DeviceAddress to, std::span<const std::byte> from) override {
    return ask("cuMemcpyHtoDAsync",
               [&] { return driver_->memcpyHtoDAsync(to, from.data(), from.size(), stream_); });
  }
  Status read(std::span<std::byte> to, DeviceAddress from) override {
    return ask("cuMemcpyDtoHAsync",
               [&] { return driver_->memcpyDtoHAsync(to.data(), from, to.size(), stream_); });
  }
  Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) override {
    return ask("cuMemcpyDtoDAsync", [&] { return driver_->memcpyDtoDAsync(to, from, bytes, stream_); });
  }
  Result<std::unique_ptr<BoundPlan>> bind(PlanSource source) override;

  Ticket mark() override;
  Status wait(Ticket ticket) override;
  Status note(Moment moment) override;
  Result<std::optional<double>> notedMs() override;

  Status failure() const override { return failure_; }
  std::optional<uint64_t> freeBytes() override {
    size_t free = 0, total = 0;
    const bool known = use().ok() && driver_->memGetInfo(&free, &total) == CUDA_SUCCESS;
    return known ? std::optional<uint64_t>(free) : std::nullopt;
  }

  const Driver &driver() const override { return *driver_; }
  CUstream stream() const override { return stream_; }
  Device &device() override { return *this; }
  Status use() override;
  bool works() override { return driver_->streamSynchronize(stream_) == CUDA_SUCCESS; }
  Status fail(Status status) override {
    if (failure_.ok())
      failure_ = std::move(status);
    return failure_;
  }

protected:
  Result<DeviceAddress> take(uint64_t bytes) override;
  void giveBack(DeviceAddress address, uint64_t bytes) override;
  Result<std::byte *> takeHost(uint64_t bytes) override;
  void giveBackHost(std::byte *memory, uint64_t bytes) override;

private:
  template <typename Call> Status ask(const char *what, Call call) {
    MOERT_TRY(use());
    Status status = driver_->check(call(), what);
    return status.ok() ? status : fail(std::move(status));
  }

  std::shared_ptr<const Driver> driver_;
  fb::TargetKind kind_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  int major_ = 0, minor_ = 0;
  uint64_t mostShared_ = 0;
  std::unique_ptr<Arena> arena_;
  std::map<std::pair<const Program *, uint32_t>, std::weak_ptr<Module>> modules_;
  std::deque<std::pair<Ticket, CUevent>> marks_; // those that nobody has waited for
  std::vector<CUevent> spare_;
  CUevent moments_[2] = {}; // of Device::note, made when first asked for
  Ticket marked_ = 0;
  Status failure_;
};

CudaDevice::~CudaDevice() {
  if (!context_)
    return;
  driver_->ctxSetCurrent(context_);
  if (stream_) {
    driver_->streamSynchronize(stream_);
    for (auto &[ticket, event] : marks_)
      driver_->eventDestroy(event);
    for (CUevent event : spare_)
      driver_->eventDestroy(event);
    for (CUevent event : moments_)
      if (event)
        driver_->eventDestroy(event);
    driver_->streamDestroy(stream_);
  }
  arena_.reset();
  driver_->devicePrimaryCtxRelease(device_);
}

Status CudaDevice::open() {
  auto check = [&](CUresult result, const char *call) { return driver_->check(result, call); };
  MOERT_TRY(check(driver_->deviceGet(&device_, 0), "cuDeviceGet"));
  auto attribute = [&](CUdevice_attribute which, auto &out) {
    int value = 0;
    Status status = check(driver_->deviceGetAttribute(&value, which, device_), "cuDeviceGetAttribute");
    out = std::remove_reference_t<decltype(out)>(value);
    return status;
  };
  MOERT_TRY(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, major_));
  MOERT_TRY(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, minor_));
  MOERT_TRY(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, mostShared_));
  int maps = 0;
  MOERT_TRY(attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, maps));
  if (!maps)
    return invalidInput(
        "expected a GPU and a driver that manage virtual memory, found a GPU of compute capability ", major_,
        ".", minor_, " without it (CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED is 0)");
  MOERT_TRY(check(driver_->devicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain"));
  MOERT_TRY(check(driver_->ctxSetCurrent(context_), "cuCtxSetCurrent"));
  MOERT_TRY(check(driver_->streamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate"));
  arena_ = std::make_unique<Arena>(*driver_, device_);
  // The emulator tells blocks apart, not buffers of one.
  const char *mode = getenv("MOE_EMULATOR");
  separateBuffers(driver_->isEmulator() && mode && std::string_view(mode) == "checked");
  return {};
}

Status CudaDevice::use() {
  MOERT_TRY(Status(failure_));
  Status status = driver_->check(driver_->ctxSetCurrent(context_), "cuCtxSetCurrent");
  return status.ok() ? status : fail(std::move(status)); // `mark` has no other way to tell it
}

Result<DeviceAddress> CudaDevice::take(uint64_t bytes) {
  MOERT_TRY(use());
  CUdeviceptr address = 0;
  CUresult result = driver_->memAlloc(&address, bytes);
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    return invalidInput("expected ", bytes, " bytes of free GPU memory, found ", freeText(*driver_),
                        "; use a smaller batch, or end what else uses the GPU");
  MOERT_TRY(driver_->check(result, "cuMemAlloc"));
  Status zeroed = driver_->check(driver_->memsetD8Async(address, 0, bytes, stream_), "cuMemsetD8Async");
  if (!zeroed.ok()) {
    driver_->memFree(address);
    return fail(std::move(zeroed));
  }
  return DeviceAddress(address);
}

void CudaDevice::giveBack(DeviceAddress address, uint64_t) {
  driver_->ctxSetCurrent(context_);
  driver_->streamSynchronize(stream_); // what has failed was to be reported to whoever waited for it
  driver_->memFree(address);
}

// Pinned, so that copies do not wait for the host.
Result<std::byte *> CudaDevice::takeHost(uint64_t bytes) {
  MOERT_TRY(use());
  void *memory = nullptr;
  MOERT_TRY(driver_->check(driver_->memHostAlloc(&memory, bytes, 0),
                           concat("cuMemHostAlloc of ", bytes, " bytes")));
  std::fill_n(static_cast<std::byte *>(memory), bytes, std::byte(0));
  return static_cast<std::byte *>(memory);
}

void CudaDevice::giveBackHost(std::byte *memory, uint64_t) {
  driver_->ctxSetCurrent(context_);
  driver_->streamSynchronize(stream_);
  driver_->memFreeHost(memory);
}

Result<std::unique_ptr<BoundPlan>> CudaDevice::bind(PlanSource source) {
  MOERT_TRY(use());
  std::erase_if(modules_, [](auto &known) { return known.second.expired(); });
  std::weak_ptr<Module> &known = modules_[{source.program, source.target}];
  std::shared_ptr<Module> module = known.lock();
  if (!module) {
    MOERT_ASSIGN(module, Module::load(driver_, *source.program, source.target));
    known = module;
  }
  return bindPlan(std::move(source), *this, std::move(module), mostShared_);
}

Ticket CudaDevice::mark() {
  const Ticket ticket = ++marked_;
  if (!use().ok())
    return ticket;
  CUevent event = nullptr;
  if (!spare_.empty()) {
    event = spare_.back();
    spare_.pop_back();
  } else if (Status made =
                 driver_->check(driver_->eventCreate(&event, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
             !made.ok()) {
    (void)fail(std::move(made)); // whoever waits is told
    return ticket;
  }
  marks_.push_back({ticket, event});
  if (Status done = driver_->check(driver_->eventRecord(event, stream_), "cuEventRecord"); !done.ok())
    (void)fail(std::move(done));
  return ticket;
}

Status CudaDevice::wait(Ticket ticket) {
  MOERT_TRY(use());
  // The last mark up to the ticket: what was marked before it is then done as well.
  CUevent last = nullptr;
  while (!marks_.empty() && marks_.front().first <= ticket) {
    if (last)
      spare_.push_back(last);
    last = marks_.front().second;
    marks_.pop_front();
  }
  if (!last)
    return {};
  Status status = driver_->check(driver_->eventSynchronize(last), "the GPU's work");
  spare_.push_back(last);
  if (status.ok())
    return status;
  return fail(
      {status.code(),
       concat(status.message(), waitsForLaunches() ? "" : "; --wait-launches names the launch that fails")});
}

Status CudaDevice::note(Moment moment) {
  CUevent &event = moments_[int(moment)];
  if (!event)
    MOERT_TRY(ask("cuEventCreate", [&] { return driver_->eventCreate(&event, CU_EVENT_DEFAULT); }));
  return ask("cuEventRecord", [&] { return driver_->eventRecord(event, stream_); });
}

Result<std::optional<double>> CudaDevice::notedMs() {
  auto &[start, end] = moments_;
  if (!start || !end)
    return internalError("expected the start and the end of what is timed to be noted");
  float milliseconds = 0;
  MOERT_TRY(ask("cuEventSynchronize", [&, end = end] { return driver_->eventSynchronize(end); }));
  MOERT_TRY(ask("cuEventElapsedTime", [&, start = start, end = end] {
    return driver_->eventElapsedTime(&milliseconds, start, end);
  }));
  return std::optional<double>(milliseconds);
}

/// "sm_90a" as 90 and true; nothing for something else.
std::optional<std::pair<int, bool>> architectureOf(std::string_view name) {
  if (!name.starts_with("sm_"))
    return std::nullopt;
  name.remove_prefix(3);
  int number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const std::string_view rest(end, size_t(name.data() + name.size() - end));
  if (error != std::errc() || number < 10 || (rest != "" && rest != "a"))
    return std::nullopt;
  return std::pair(number, rest == "a");
}

Result<uint32_t> CudaDevice::chooseTarget(const Program &program) const {
  std::string there, lacking;
  const std::vector<std::string> features = cpuFeatures();
  for (unsigned i = 0; i < program.table().targets()->size(); ++i) {
    const fb::Target &target = *program.table().targets()->Get(i);
    there += concat(there.empty() ? "" : ", ", target.name()->string_view(), " (",
                    target.level()->string_view(), ")");
    if (target.kind() != kind_)
      continue;
    if (!runsOn(target.level()->string_view(), major_, minor_))
      continue;
    std::string lacks;
    for (const flatbuffers::String *feature : *target.features())
      if (std::find(features.begin(), features.end(), feature->string_view()) == features.end())
        lacks += concat(lacks.empty() ? "" : ", ", feature->string_view());
    if (lacks.empty())
      return i;
    lacking += concat(lacking.empty() ? "" : "; ", lacks);
  }
  const std::string wanted =
      concat("expected code for ", kind_ == fb::TargetKind::cuda ? "a GPU" : "the emulator",
             " of compute capability ", major_, ".", minor_, ", found targets ", there);
  const auto architecture = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                         [&](std::string_view each) { return runsOn(each, major_, minor_); });
  if (architecture == kArchitectures.end())
    return broken("B09", program.path(), ": ", wanted,
                  "; moec has no target for this GPU: run with --device cpu");
  if (!lacking.empty())
    return broken("B09", program.path(), ": expected a CPU with ", lacking,
                  ", for which the emulator's code was compiled (", there,
                  "); compile it again on this machine with `",
                  withTarget(program, concat(name(), ":", *architecture)), "`");
  return broken("B09", program.path(), ": ", wanted, "; compile it again with `",
                withTarget(program, concat(name(), ":", *architecture)), "`");
}

/// The command that compiles a program for one target more.
std::string withTarget(const Program &program, const std::string &target) {
  const std::string before(program.config("target").value_or("cpu"));
  const std::vector<std::string> all = shellWords(before);
  const bool isThere = std::find(all.begin(), all.end(), target) != all.end();
  return compileCommand(program, {{"--target", isThere ? before : concat(before, " ", target)}});
}

} // namespace

bool runsOn(std::string_view architecture, int major, int minor) {
  // A level of the emulator names the host's CPU behind the architecture: "sm_90a+x86-64-v3".
  auto parsed = architectureOf(architecture.substr(0, architecture.find('+')));
  if (!parsed)
    return false;
  auto [number, exact] = *parsed;
  return number / 10 == major && (exact ? number % 10 == minor : number % 10 <= minor);
}

Result<std::shared_ptr<Device>> openDevice(std::shared_ptr<const Driver> driver, fb::TargetKind kind) {
  auto device = std::make_shared<CudaDevice>(std::move(driver), kind);
  MOERT_TRY(device->open());
  return std::shared_ptr<Device>(std::move(device));
}

Result<std::string> emulatorPath() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::string looked;
  for (const fs::path &path : {folder / "libmoe-emulator.so", folder / "../lib/libmoe-emulator.so"}) {
    if (fs::exists(path, error))
      return path.lexically_normal().string();
    looked += concat(looked.empty() ? "" : " and ", path.lexically_normal().string());
  }
  return invalidInput("expected the emulator of GPUs, found none: looked for ", looked,
                      "; `cmake --build build` makes it, and an installation has it");
}

} // namespace cuda

Result<std::shared_ptr<Device>> openCuda(int threads) {
  if (threads)
    return usageError("expected no --threads with --device cuda, whose kernels run on the GPU");
  MOERT_ASSIGN(std::shared_ptr<const cuda::Driver> driver, cuda::openDriver());
  return cuda::openDevice(std::move(driver), fb::TargetKind::cuda);
}

Result<std::shared_ptr<Device>> openEmulator(int threads) {
  MOERT_ASSIGN(std::string path, cuda::emulatorPath());
  if (threads) // before the driver starts
    setenv("MOE_EMULATOR_THREADS", std::to_string(threads).c_str(), /*overwrite=*/1);
  // What is wrong with the library is not wrong with a driver of NVIDIA's.
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library || !dlsym(library, "moeEmulatorThreads")) {
    const char *reason = dlerror();
    return invalidInput("expected the emulator of this build of moert in ", path,
                        ", found a library that is damaged or of another one",
                        reason ? concat(" (", reason, ")") : "", "; build or install it again");
  }
  Result<std::shared_ptr<const cuda::Driver>> driver = cuda::openDriver(path);
  if (!driver.ok())
    return Status(driver.status().code(),
                  concat(driver.status().message(), threads ? "; --threads is MOE_EMULATOR_THREADS" : ""));
  return cuda::openDevice(*std::move(driver), fb::TargetKind::emulator);
}

} // namespace moert
