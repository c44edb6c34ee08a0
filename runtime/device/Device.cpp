// What all devices share: blocks of memory, the host's view of them, and the devices by name.
#include "runtime/device/Device.h"
#include "runtime/base/Memory.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/isolated/IsolatedDevice.h"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace moert {

DeviceBlock::DeviceBlock(DeviceBlock &&other) noexcept
    : device_(std::move(other.device_)), address_(std::exchange(other.address_, 0)),
      bytes_(std::exchange(other.bytes_, 0)) {}

DeviceBlock &DeviceBlock::operator=(DeviceBlock &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceBlock::~DeviceBlock() {
  if (address_)
    device_->giveBack(address_, bytes_);
}

Result<DeviceBlock> Device::allocate(uint64_t bytes) {
  DeviceBlock block;
  if (bytes == 0)
    return block;
  MOERT_ASSIGN(block.address_, take(bytes));
  block.device_ = shared_from_this();
  block.bytes_ = bytes;
  return block;
}

HostBlock::HostBlock(HostBlock &&other) noexcept
    : device_(std::move(other.device_)), data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

HostBlock &HostBlock::operator=(HostBlock &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

HostBlock::~HostBlock() {
  if (data_)
    device_->giveBackHost(data_, bytes_);
}

Result<HostBlock> Device::allocateHost(uint64_t bytes) {
  HostBlock block;
  if (bytes == 0)
    return block;
  MOERT_ASSIGN(block.data_, takeHost(bytes));
  block.device_ = shared_from_this();
  block.bytes_ = bytes;
  return block;
}

Result<std::byte *> Device::takeHost(uint64_t bytes) {
  MOERT_TRY(fitsMachine(bytes));
  void *memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!memory)
    return invalidInput("expected ", bytes, " bytes of free memory, found less");
  std::memset(memory, 0, bytes);
  return static_cast<std::byte *>(memory);
}

void Device::giveBackHost(std::byte *memory, uint64_t) {
  (void)finish(); // what has failed was to be reported to whoever waited for it
  std::free(memory);
}

Result<HostView> HostView::of(Device &device, DeviceAddress address, uint64_t bytes) {
  MOERT_ASSIGN(HostView view, toWrite(device, address, bytes));
  if (view.copy_) {
    MOERT_TRY(device.read(view.bytes_, address));
    MOERT_TRY(device.finish());
  }
  return view;
}

Result<HostView> HostView::toWrite(Device &device, DeviceAddress address, uint64_t bytes) {
  MOERT_TRY(device.finish());
  HostView view;
  view.device_ = &device;
  view.address_ = address;
  view.bytes_ = device.shared(address, bytes);
  if (view.bytes_.size() == bytes)
    return view;
  view.copy_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
  view.bytes_ = {view.copy_.get(), bytes};
  return view;
}

Status HostView::commit() {
  if (!copy_)
    return {};
  MOERT_TRY(device_->write(address_, bytes_));
  return device_->finish();
}

Result<std::shared_ptr<Device>> openDevice(const DeviceOptions &options) {
  using Open = Result<std::shared_ptr<Device>> (*)(int threads);
  static constexpr std::pair<std::string_view, Open> kDevices[] = {
      {"cpu", openCpu}, {"cuda", openCuda}, {"emulator", openEmulator}, {"isolated", openIsolated}};
  std::vector<std::string> names;
  for (auto [name, open] : kDevices) {
    if (name == options.name) {
      MOERT_ASSIGN(std::shared_ptr<Device> device, open(options.threads));
      if (options.separateBuffers)
        device->separateBuffers(true);
      device->waitForLaunches(options.waitLaunches);
      return device;
    }
    names.emplace_back(name);
  }
  std::string all;
  for (size_t i = 0; i < names.size(); ++i)
    all += concat(i == 0 ? "" : i + 1 < names.size() ? ", " : " or ", "'", names[i], "'");
  return usageError("expected a device ", all, ", found '", options.name, "'");
}

std::string Device::threadsText() const {
  const int count = threads();
  return count ? concat(", ", count, count == 1 ? " thread" : " threads") : "";
}

std::string deviceWords(const DeviceOptions &options) {
  std::string words;
  if (options.name != DeviceOptions().name)
    words += concat(" --device ", options.name);
  if (options.threads)
    words += concat(" --threads ", options.threads);
  if (options.separateBuffers)
    words += " --separate-buffers";
  return words;
}

} // namespace moert
