// Memory of the device, pinned memory of the host, and virtual memory.
#include "runtime/emulator/Exports.h"

using namespace moe::emu;

MOERT_EMULATOR_EXPORT CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  return callContext([&](Context &context) {
    if (!free || !total)
      return CUDA_ERROR_INVALID_VALUE;
    *total = context.memory->limit();
    *free = context.memory->limit() - context.memory->used();
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  return callContext([&](Context &context) -> CUresult {
    if (CUresult code = context.forbidWhileCapturing("cuMemAlloc"); code != CUDA_SUCCESS)
      return code;
    uint64_t block = 0;
    CUresult code = address ? context.memory->allocate(bytes, block) : CUDA_ERROR_INVALID_VALUE;
    if (code == CUDA_SUCCESS)
      *address = block;
    return code;
  });
}

// Work that was given to a stream and uses the block fails when it is done: the driver need not wait for it here.
MOERT_EMULATOR_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
  return callContext([&](Context &context) -> CUresult {
    if (CUresult code = context.forbidWhileCapturing("cuMemFree"); code != CUDA_SUCCESS)
      return code;
    if (CUresult code = context.memory->free(address); code != CUDA_SUCCESS)
      return context.refuse(
          code, concat("cuMemFree of an address that is no block's: ", context.memory->describe(address)));
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
  return callContext([&](Context &context) -> CUresult {
    if (CUresult code = context.forbidWhileCapturing("cuMemHostAlloc"); code != CUDA_SUCCESS)
      return code;
    return memory && !(flags & ~7u) ? context.memory->allocateHost(bytes, *memory) : CUDA_ERROR_INVALID_VALUE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemFreeHost(void *memory) {
  return callContext([&](Context &context) -> CUresult {
    if (CUresult code = context.forbidWhileCapturing("cuMemFreeHost"); code != CUDA_SUCCESS)
      return code;
    return context.memory->freeHost(memory);
  });
}

namespace {

bool isOnDevice(const CUmemLocation &location) {
  return location.type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == kDevice;
}

bool isSupported(const CUmemAllocationProp *properties) {
  return properties && properties->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
         isOnDevice(properties->location) && properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE;
}

} // namespace

MOERT_EMULATOR_EXPORT CUresult cuMemGetAllocationGranularity(size_t *granularity,
                                                             const CUmemAllocationProp *properties,
                                                             CUmemAllocationGranularity_flags option) {
  return callDriver([&](Driver &) {
    if (!granularity || !isSupported(properties) || option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
      return CUDA_ERROR_INVALID_VALUE;
    *granularity = DeviceMemory::kGranularity;
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemAddressReserve(CUdeviceptr *address, size_t bytes, size_t alignment,
                                                   CUdeviceptr, unsigned long long flags) {
  return callContext([&](Context &context) {
    uint64_t range = 0;
    CUresult code =
        address && !flags ? context.memory->reserve(bytes, alignment, range) : CUDA_ERROR_INVALID_VALUE;
    if (code == CUDA_ERROR_OUT_OF_MEMORY)
      return context.refuse(
          code,
          concat(
              "the emulator cannot reserve ", bytes >> 20,
              " MiB of address space; raise the limit (ulimit -v), or set MOE_EMULATOR_MEMORY to fewer MiB"));
    if (code == CUDA_SUCCESS)
      *address = range;
    return code;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  return callContext([&](Context &context) { return context.memory->freeReserved(address, bytes); });
}

MOERT_EMULATOR_EXPORT CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
                                           const CUmemAllocationProp *properties, unsigned long long flags) {
  return callContext([&](Context &context) {
    uint64_t made = 0;
    CUresult code = handle && !flags && isSupported(properties) ? context.memory->createHandle(bytes, made)
                                                                : CUDA_ERROR_INVALID_VALUE;
    if (code == CUDA_SUCCESS)
      *handle = made;
    return code;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return callContext([&](Context &context) { return context.memory->releaseHandle(handle); });
}

MOERT_EMULATOR_EXPORT CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                                        CUmemGenericAllocationHandle handle, unsigned long long flags) {
  return callContext([&](Context &context) {
    return flags ? CUDA_ERROR_INVALID_VALUE : context.memory->map(address, bytes, offset, handle);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  return callContext([&](Context &context) { return context.memory->unmap(address, bytes); });
}

MOERT_EMULATOR_EXPORT CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes,
                                              const CUmemAccessDesc *access, size_t count) {
  return callContext([&](Context &context) {
    if (!access || count != 1 || !isOnDevice(access->location) ||
        access->flags == CU_MEM_ACCESS_FLAGS_PROT_READ)
      return CUDA_ERROR_INVALID_VALUE;
    return context.memory->setAccess(address, bytes, access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                                                    CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    Copy copy{.kind = Copy::Kind::toDevice, .to = to, .bytes = bytes};
    copy.host = const_cast<std::byte *>(static_cast<const std::byte *>(from));
    return context.copy(std::move(copy), at);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes,
                                                    CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    Copy copy{.kind = Copy::Kind::toHost, .from = from, .bytes = bytes};
    copy.host = static_cast<std::byte *>(to);
    return context.copy(std::move(copy), at);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                                                    CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    return context.copy({.kind = Copy::Kind::within, .to = to, .from = from, .bytes = bytes}, at);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count,
                                               CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    return context.fill({to, value, 1, count}, at);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count,
                                                CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    return context.fill({to, value, 4, count}, at);
  });
}

MOERT_EMULATOR_EXPORT CUresult moeEmulatorForget(CUdeviceptr address, size_t bytes, CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) -> CUresult {
    if (bytes == 0)
      return CUDA_SUCCESS;
    return context.memory->contains(address, bytes) ? context.submit(at, Forget{address, bytes})
                                                    : CUDA_ERROR_INVALID_VALUE;
  });
}
