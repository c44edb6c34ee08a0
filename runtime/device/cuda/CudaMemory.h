// Device memory for temporaries: a range of addresses that is reserved once, as large as the GPU's memory, of which more
// is mapped as larger plans are bound. What is mapped stays where it is.
#pragma once

#include "runtime/device/cuda/Driver.h"

#include <vector>

namespace moert::cuda {

class Arena {
public:
  explicit Arena(const Driver &driver, CUdevice device) : driver_(driver), device_(device) {}
  ~Arena();
  Arena(const Arena &) = delete;

  /// Makes at least `bytes` usable. What is newly mapped is unwritten.
  Status reserve(uint64_t bytes);
  CUdeviceptr address() const { return base_; }
  uint64_t bytes() const { return mapped_; }

private:
  struct Part {
    CUmemGenericAllocationHandle handle;
    uint64_t offset, bytes;
  };
  const Driver &driver_;
  CUdevice device_;
  CUdeviceptr base_ = 0;
  uint64_t room_ = 0, mapped_ = 0, granularity_ = 0;
  std::vector<Part> parts_;
};

} // namespace moert::cuda
