// Reserved address space by the driver's virtual memory management.
#include "runtime/device/cuda/CudaMemory.h"

#include <algorithm>

namespace moert::cuda {

static CUmemAllocationProp propertiesOf(CUdevice device) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return properties;
}

Arena::~Arena() {
  for (const Part &part : parts_) {
    driver_.memUnmap(base_ + part.offset, part.bytes);
    driver_.memRelease(part.handle);
  }
  if (base_)
    driver_.memAddressFree(base_, room_);
}

std::string freeText(const Driver &driver) {
  size_t free = 0, total = 0;
  if (driver.memGetInfo(&free, &total) != CUDA_SUCCESS)
    return "an amount that the driver does not say";
  return concat(free, " of ", total);
}

Status Arena::findGranularity() {
  if (granularity_)
    return {};
  const CUmemAllocationProp properties = propertiesOf(device_);
  size_t granularity = 0;
  MOERT_TRY(driver_.check(
      driver_.memGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
      "cuMemGetAllocationGranularity"));
  granularity_ = std::max<uint64_t>(granularity, 1);
  return {};
}

uint64_t Arena::growth(uint64_t bytes) {
  if (bytes <= mapped_)
    return 0;
  // What cannot be asked for now, `reserve` asks for again, and says why it fails.
  return findGranularity().ok() ? roundUp(bytes - mapped_) : bytes - mapped_;
}

Status Arena::reserve(uint64_t bytes) {
  if (bytes <= mapped_)
    return {};
  const CUmemAllocationProp properties = propertiesOf(device_);
  MOERT_TRY(findGranularity());
  if (!base_) {
    size_t total;
    MOERT_TRY(driver_.check(driver_.deviceTotalMem(&total, device_), "cuDeviceTotalMem"));
    const uint64_t room = roundUp(total);
    MOERT_TRY(driver_.check(driver_.memAddressReserve(&base_, room, 0, 0, 0), "cuMemAddressReserve"));
    room_ = room;
  }
  const uint64_t more = roundUp(bytes - mapped_);
  auto noRoom = [&] {
    return invalidInput("expected ", more, " bytes of free GPU memory for temporaries, found ",
                        freeText(driver_), "; use a smaller batch, or end what else uses the GPU");
  };
  if (mapped_ + more > room_)
    return noRoom();
  Part part = {0, mapped_, more};
  CUresult made = driver_.memCreate(&part.handle, more, &properties, 0);
  if (made == CUDA_ERROR_OUT_OF_MEMORY)
    return noRoom();
  MOERT_TRY(driver_.check(made, "cuMemCreate"));
  const CUmemAccessDesc access = {properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  Status status = driver_.check(driver_.memMap(base_ + mapped_, more, 0, part.handle, 0), "cuMemMap");
  if (status.ok()) {
    status = driver_.check(driver_.memSetAccess(base_ + mapped_, more, &access, 1), "cuMemSetAccess");
    if (!status.ok())
      driver_.memUnmap(base_ + mapped_, more);
  }
  if (!status.ok()) {
    driver_.memRelease(part.handle);
    return status;
  }
  parts_.push_back(part);
  mapped_ += more;
  return {};
}

} // namespace moert::cuda
