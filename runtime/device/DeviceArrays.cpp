// One copy for all arrays of one block, and one for each block otherwise.
#include "runtime/device/DeviceArrays.h"

namespace moert {

Result<DeviceArrays> DeviceArrays::allocate(Device &device, const std::vector<uint64_t> &sizes) {
  DeviceArrays arrays;
  arrays.separate_ = device.separatesBuffers();
  arrays.sizes_ = sizes;
  for (uint64_t bytes : sizes) {
    arrays.offsets_.push_back(arrays.bytes_);
    arrays.bytes_ += padded(bytes);
    if (arrays.separate_) {
      MOERT_ASSIGN(DeviceBlock block, device.allocate(bytes));
      arrays.blocks_.push_back(std::move(block));
    }
  }
  if (!arrays.separate_) {
    MOERT_ASSIGN(DeviceBlock block, device.allocate(arrays.bytes_));
    arrays.blocks_.push_back(std::move(block));
  }
  return arrays;
}

template <typename F> Status DeviceArrays::forParts(size_t first, size_t last, F f) const {
  if (first == last)
    return {};
  if (!separate_) {
    const uint64_t end = last == size() ? bytes_ : offsets_[last];
    return f(address(first), offsets_[first], end - offsets_[first]);
  }
  for (size_t i = first; i < last; ++i)
    MOERT_TRY(f(address(i), offsets_[i], sizes_[i]));
  return {};
}

Status DeviceArrays::write(Device &device, std::span<const std::byte> image, size_t first,
                           size_t last) const {
  return forParts(first, last, [&](DeviceAddress address, uint64_t offset, uint64_t bytes) {
    return device.write(address, image.subspan(offset, bytes));
  });
}

Status DeviceArrays::read(Device &device, std::span<std::byte> image, size_t first, size_t last) const {
  return forParts(first, last, [&](DeviceAddress address, uint64_t offset, uint64_t bytes) {
    return device.read(image.subspan(offset, bytes), address);
  });
}

Status DeviceArrays::copyFrom(Device &device, DeviceAddress image) const {
  return forParts(0, size(), [&](DeviceAddress address, uint64_t offset, uint64_t bytes) {
    return device.copy(address, image + offset, bytes);
  });
}

Status DeviceArrays::copyTo(Device &device, DeviceAddress image) const {
  return forParts(0, size(), [&](DeviceAddress address, uint64_t offset, uint64_t bytes) {
    return device.copy(image + offset, address, bytes);
  });
}

Result<std::vector<HostView>> DeviceArrays::view(Device &device) const {
  std::vector<HostView> views;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    MOERT_ASSIGN(HostView view, HostView::of(device, blocks_[i].address(), blocks_[i].bytes()));
    views.push_back(std::move(view));
  }
  return views;
}

} // namespace moert
