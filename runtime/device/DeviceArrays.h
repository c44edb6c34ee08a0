// Arrays in a device's memory: the states of a program, the inputs and outputs of a session. They lie one after another in one
// block, or each in a block of its own where the device separates buffers (Device::separatesBuffers). What the host has of them,
// their image, lies one after another in both cases.
#pragma once

#include "runtime/device/Device.h"

#include <span>
#include <vector>

namespace moert {

class DeviceArrays {
public:
  /// Zeroed arrays of these sizes.
  static Result<DeviceArrays> allocate(Device &device, const std::vector<uint64_t> &sizes);

  size_t size() const { return sizes_.size(); }
  DeviceAddress address(size_t i) const {
    return separate_ ? blocks_[i].address() : blocks_[0].address() + offsets_[i];
  }
  uint64_t bytes(size_t i) const { return sizes_[i]; }
  /// Where array i is in the image, and how large the image is.
  uint64_t offset(size_t i) const { return offsets_[i]; }
  uint64_t bytes() const { return bytes_; }

  /// Copies arrays [first, last) from and to their places in an image of the host, which stays until that is done.
  Status write(Device &device, std::span<const std::byte> image, size_t first, size_t last) const;
  Status read(Device &device, std::span<std::byte> image, size_t first, size_t last) const;
  /// Copies all from and to an image on the device.
  Status copyFrom(Device &device, DeviceAddress image) const;
  Status copyTo(Device &device, DeviceAddress image) const;

  /// All as the host sees them, and array i in that.
  Result<std::vector<HostView>> view(Device &device) const;
  std::span<std::byte> in(const std::vector<HostView> &view, size_t i) const {
    return separate_ ? view[i].bytes() : view[0].bytes().subspan(offsets_[i], sizes_[i]);
  }

private:
  /// Calls f(address, offset, bytes) for what is contiguous of arrays [first, last).
  template <typename F> Status forParts(size_t first, size_t last, F f) const;

  bool separate_ = false;
  std::vector<uint64_t> sizes_, offsets_;
  uint64_t bytes_ = 0;
  std::vector<DeviceBlock> blocks_; // one, or one an array
};

} // namespace moert
