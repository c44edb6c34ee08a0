// Device memory for temporaries: a range of addresses that is reserved once, as large as the GPU's memory, of which more
// is mapped as larger plans are bound. What is mapped stays where it is.
#pragma once

#include "runtime/device/cuda/Driver.h"

#include <string>
#include <vector>

namespace moert::cuda {

/// For people: how much memory is free, and of how much: "1024 of 4096".
std::string freeText(const Driver &driver);

class Arena {
public:
  explicit Arena(const Driver &driver, CUdevice device) : driver_(driver), device_(device) {}
  ~Arena();
  Arena(const Arena &) = delete;

  /// Bytes of memory that `reserve` would take.
  uint64_t growth(uint64_t bytes);
  /// Makes at least `bytes` usable. What is newly mapped is unwritten.
  Status reserve(uint64_t bytes);
  CUdeviceptr address() const { return base_; }
  uint64_t bytes() const { return mapped_; }

private:
  Status findGranularity();
  uint64_t roundUp(uint64_t bytes) const { return (bytes + granularity_ - 1) / granularity_ * granularity_; }

  struct Part {
    CUmemGenericAllocationHandle handle;
    uint64_t offset, bytes;
  };
  const Driver &driver_;
  CUdevice device_;
  CUdeviceptr base_ = 0;
  uint64_t room_ = 0, mapped_ = 0, granularity_ = 0; // 0: not asked for yet
  std::vector<Part> parts_;
};

} // namespace moert::cuda
