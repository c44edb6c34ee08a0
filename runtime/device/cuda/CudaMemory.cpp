// Reserved address space by the driver's virtual memory management.
#include "runtime/device/cuda/CudaMemory.h"

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

Status Arena::reserve(uint64_t bytes) {
  if (bytes <= mapped_)
    return {};
  const CUmemAllocationProp properties = propertiesOf(device_);
  auto roundUp = [&](uint64_t size) { return (size + granularity_ - 1) / granularity_ * granularity_; };
  if (!base_) {
    size_t granularity, total;
    MOERT_TRY(driver_.check(
        driver_.memGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
        "cuMemGetAllocationGranularity"));
    MOERT_TRY(driver_.check(driver_.deviceTotalMem(&total, device_), "cuDeviceTotalMem"));
    granularity_ = granularity;
    const uint64_t room = roundUp(total);
    MOERT_TRY(driver_.check(driver_.memAddressReserve(&base_, room, 0, 0, 0), "cuMemAddressReserve"));
    room_ = room;
  }
  const uint64_t more = roundUp(bytes - mapped_);
  size_t free = 0, total = 0;
  driver_.memGetInfo(&free, &total);
  auto noRoom = [&] {
    return invalidInput("expected ", more, " bytes of free GPU memory for temporaries, found ", free, " of ",
                        total, "; use a smaller batch, or end what else uses the GPU");
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
