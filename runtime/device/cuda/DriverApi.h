// The part of CUDA's driver API that the runtime uses: types, numbers and prototypes under the names of NVIDIA's cuda.h, so that
// nothing needs the CUDA toolkit to build. Each list names each thing once: the runtime looks the functions up in the driver by
// it (Driver.h), the emulator exports them by it, and a test compares every entry with cuda.h where the toolkit is installed.
#pragma once

#include <cstddef>
#include <cstdint>

// Opaque objects of the driver. They are global, as in cuda.h, so that the prototypes have the same types.
struct CUctx_st;
struct CUstream_st;
struct CUevent_st;
struct CUmod_st;
struct CUfunc_st;
struct CUgraph_st;
struct CUgraphExec_st;
struct CUgraphNode_st;

namespace moert::cuda {

using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = CUctx_st *;
using CUstream = CUstream_st *;
using CUevent = CUevent_st *;
using CUmodule = CUmod_st *;
using CUfunction = CUfunc_st *;
using CUgraph = CUgraph_st *;
using CUgraphExec = CUgraphExec_st *;
using CUgraphNode = CUgraphNode_st *;
using CUmemGenericAllocationHandle = unsigned long long;

/// X(name, value, what the driver says of it)
#define MOERT_CUDA_RESULTS(X)                                                                                \
  X(CUDA_SUCCESS, 0, "no error")                                                                             \
  X(CUDA_ERROR_INVALID_VALUE, 1, "invalid argument")                                                         \
  X(CUDA_ERROR_OUT_OF_MEMORY, 2, "out of memory")                                                            \
  X(CUDA_ERROR_NOT_INITIALIZED, 3, "initialization error")                                                   \
  X(CUDA_ERROR_DEINITIALIZED, 4, "driver shutting down")                                                     \
  X(CUDA_ERROR_STUB_LIBRARY, 34, "CUDA driver is a stub library")                                            \
  X(CUDA_ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected")                                         \
  X(CUDA_ERROR_INVALID_DEVICE, 101, "invalid device ordinal")                                                \
  X(CUDA_ERROR_INVALID_IMAGE, 200, "device kernel image is invalid")                                         \
  X(CUDA_ERROR_INVALID_CONTEXT, 201, "invalid device context")                                               \
  X(CUDA_ERROR_MAP_FAILED, 205, "mapping of buffer object failed")                                           \
  X(CUDA_ERROR_ALREADY_MAPPED, 208, "resource already mapped")                                               \
  X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209, "no kernel image is available for execution on the device")           \
  X(CUDA_ERROR_NOT_MAPPED, 211, "resource not mapped")                                                       \
  X(CUDA_ERROR_INVALID_HANDLE, 400, "invalid resource handle")                                               \
  X(CUDA_ERROR_NOT_FOUND, 500, "named symbol not found")                                                     \
  X(CUDA_ERROR_NOT_READY, 600, "device not ready")                                                           \
  X(CUDA_ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered")                             \
  X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701, "too many resources requested for launch")                      \
  X(CUDA_ERROR_LAUNCH_TIMEOUT, 702, "the launch timed out and was terminated")                               \
  X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709, "context is destroyed")                                            \
  X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714, "hardware stack error")                                            \
  X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715, "an illegal instruction was encountered")                           \
  X(CUDA_ERROR_MISALIGNED_ADDRESS, 716, "misaligned address")                                                \
  X(CUDA_ERROR_LAUNCH_FAILED, 719, "unspecified launch failure")                                             \
  X(CUDA_ERROR_NOT_SUPPORTED, 801, "operation not supported")                                                \
  X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803,                                                                  \
    "system has unsupported display driver / cuda driver combination")                                       \
  X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted when stream is capturing")          \
  X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901, "operation failed due to a previous error during capture")   \
  X(CUDA_ERROR_STREAM_CAPTURE_MERGE, 902, "operation would result in a merge of separate capture sequences") \
  X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903, "capture was not ended in the same stream as it began")        \
  X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904, "capturing stream has unjoined work")                           \
  X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905, "dependency created on uncaptured work in another stream")     \
  X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906,                                                                 \
    "operation would make the legacy stream depend on a capturing blocking stream")                          \
  X(CUDA_ERROR_CAPTURED_EVENT, 907,                                                                          \
    "operation not permitted on an event last recorded in a capturing stream")                               \
  X(CUDA_ERROR_UNKNOWN, 999, "unknown error")

/// X(name, value)
#define MOERT_CUDA_DEVICE_ATTRIBUTES(X)                                                                      \
  X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1)                                                            \
  X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 2)                                                                  \
  X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 3)                                                                  \
  X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 4)                                                                  \
  X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 5)                                                                   \
  X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 6)                                                                   \
  X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 7)                                                                   \
  X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 8)                                                      \
  X(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 10)                                                                       \
  X(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 12)                                                         \
  X(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13)                                                                      \
  X(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)                                                            \
  X(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 36)                                                               \
  X(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 37)                                                         \
  X(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38)                                                                   \
  X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 39)                                                  \
  X(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 41)                                                              \
  X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)                                                        \
  X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)                                                        \
  X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 81)                                            \
  X(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 82)                                                \
  X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 97)                                               \
  X(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 102)

#define MOERT_CUDA_FUNCTION_ATTRIBUTES(X)                                                                    \
  X(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0)                                                              \
  X(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1)                                                                  \
  X(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES, 2)                                                                   \
  X(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, 3)                                                                   \
  X(CU_FUNC_ATTRIBUTE_NUM_REGS, 4)                                                                           \
  X(CU_FUNC_ATTRIBUTE_PTX_VERSION, 5)                                                                        \
  X(CU_FUNC_ATTRIBUTE_BINARY_VERSION, 6)                                                                     \
  X(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8)

#define MOERT_CUDA_GRAPH_NODE_TYPES(X)                                                                       \
  X(CU_GRAPH_NODE_TYPE_KERNEL, 0)                                                                            \
  X(CU_GRAPH_NODE_TYPE_MEMCPY, 1)                                                                            \
  X(CU_GRAPH_NODE_TYPE_MEMSET, 2)                                                                            \
  X(CU_GRAPH_NODE_TYPE_HOST, 3)                                                                              \
  X(CU_GRAPH_NODE_TYPE_GRAPH, 4)                                                                             \
  X(CU_GRAPH_NODE_TYPE_EMPTY, 5)                                                                             \
  X(CU_GRAPH_NODE_TYPE_WAIT_EVENT, 6)                                                                        \
  X(CU_GRAPH_NODE_TYPE_EVENT_RECORD, 7)                                                                      \
  X(CU_GRAPH_NODE_TYPE_MEM_ALLOC, 10)                                                                        \
  X(CU_GRAPH_NODE_TYPE_MEM_FREE, 11)

#define MOERT_CUDA_STREAM_CAPTURE_MODES(X)                                                                   \
  X(CU_STREAM_CAPTURE_MODE_GLOBAL, 0)                                                                        \
  X(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)                                                                  \
  X(CU_STREAM_CAPTURE_MODE_RELAXED, 2)

#define MOERT_CUDA_ALLOCATION_TYPES(X)                                                                       \
  X(CU_MEM_ALLOCATION_TYPE_INVALID, 0)                                                                       \
  X(CU_MEM_ALLOCATION_TYPE_PINNED, 1)

#define MOERT_CUDA_ALLOCATION_HANDLE_TYPES(X) X(CU_MEM_HANDLE_TYPE_NONE, 0)

#define MOERT_CUDA_LOCATION_TYPES(X)                                                                         \
  X(CU_MEM_LOCATION_TYPE_INVALID, 0)                                                                         \
  X(CU_MEM_LOCATION_TYPE_DEVICE, 1)                                                                          \
  X(CU_MEM_LOCATION_TYPE_HOST, 2)

#define MOERT_CUDA_ACCESS_FLAGS(X)                                                                           \
  X(CU_MEM_ACCESS_FLAGS_PROT_NONE, 0)                                                                        \
  X(CU_MEM_ACCESS_FLAGS_PROT_READ, 1)                                                                        \
  X(CU_MEM_ACCESS_FLAGS_PROT_READWRITE, 3)

#define MOERT_CUDA_GRANULARITIES(X)                                                                          \
  X(CU_MEM_ALLOC_GRANULARITY_MINIMUM, 0)                                                                     \
  X(CU_MEM_ALLOC_GRANULARITY_RECOMMENDED, 1)

/// Flags of streams and events, which the functions take as unsigned.
#define MOERT_CUDA_FLAGS(X)                                                                                  \
  X(CU_STREAM_DEFAULT, 0)                                                                                    \
  X(CU_STREAM_NON_BLOCKING, 1)                                                                               \
  X(CU_EVENT_DEFAULT, 0)                                                                                     \
  X(CU_EVENT_BLOCKING_SYNC, 1)                                                                               \
  X(CU_EVENT_DISABLE_TIMING, 2)

/// X(enumeration, its list)
#define MOERT_CUDA_ENUMERATIONS(X)                                                                           \
  X(CUdevice_attribute, MOERT_CUDA_DEVICE_ATTRIBUTES)                                                        \
  X(CUfunction_attribute, MOERT_CUDA_FUNCTION_ATTRIBUTES)                                                    \
  X(CUgraphNodeType, MOERT_CUDA_GRAPH_NODE_TYPES)                                                            \
  X(CUstreamCaptureMode, MOERT_CUDA_STREAM_CAPTURE_MODES)                                                    \
  X(CUmemAllocationType, MOERT_CUDA_ALLOCATION_TYPES)                                                        \
  X(CUmemAllocationHandleType, MOERT_CUDA_ALLOCATION_HANDLE_TYPES)                                           \
  X(CUmemLocationType, MOERT_CUDA_LOCATION_TYPES)                                                            \
  X(CUmemAccess_flags, MOERT_CUDA_ACCESS_FLAGS)                                                              \
  X(CUmemAllocationGranularity_flags, MOERT_CUDA_GRANULARITIES)

#define MOERT_CUDA_RESULT(name, value, text) name = value,
#define MOERT_CUDA_ENUMERATOR(name, value) name = value,
#define MOERT_CUDA_ENUMERATION(name, list) enum name : unsigned { list(MOERT_CUDA_ENUMERATOR) };
enum CUresult : unsigned { MOERT_CUDA_RESULTS(MOERT_CUDA_RESULT) };
MOERT_CUDA_ENUMERATIONS(MOERT_CUDA_ENUMERATION)
enum : unsigned { MOERT_CUDA_FLAGS(MOERT_CUDA_ENUMERATOR) };
#undef MOERT_CUDA_RESULT
#undef MOERT_CUDA_ENUMERATION

struct CUmemLocation {
  CUmemLocationType type;
  int id;
};
struct CUmemAllocationProp {
  CUmemAllocationType type;
  CUmemAllocationHandleType requestedHandleTypes;
  CUmemLocation location;
  void *win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};
struct CUmemAccessDesc {
  CUmemLocation location;
  CUmemAccess_flags flags;
};

/// X(name, symbol that the driver exports, parameters)
#define MOERT_CUDA_FUNCTIONS(X)                                                                              \
  X(init, cuInit, (unsigned flags))                                                                          \
  X(driverGetVersion, cuDriverGetVersion, (int *version))                                                    \
  X(getErrorName, cuGetErrorName, (CUresult error, const char **name))                                       \
  X(getErrorString, cuGetErrorString, (CUresult error, const char **text))                                   \
  X(deviceGetCount, cuDeviceGetCount, (int *count))                                                          \
  X(deviceGet, cuDeviceGet, (CUdevice * device, int ordinal))                                                \
  X(deviceGetAttribute, cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device))   \
  X(deviceTotalMem, cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device))                                   \
  X(devicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                \
  X(devicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                \
  X(ctxSetCurrent, cuCtxSetCurrent, (CUcontext context))                                                     \
  X(memGetInfo, cuMemGetInfo_v2, (size_t *free, size_t *total))                                              \
  X(memAlloc, cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes))                                          \
  X(memFree, cuMemFree_v2, (CUdeviceptr address))                                                            \
  X(memHostAlloc, cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                             \
  X(memFreeHost, cuMemFreeHost, (void *memory))                                                              \
  X(memGetAllocationGranularity, cuMemGetAllocationGranularity,                                              \
    (size_t *granularity, const CUmemAllocationProp *properties, CUmemAllocationGranularity_flags option))   \
  X(memAddressReserve, cuMemAddressReserve,                                                                  \
    (CUdeviceptr * address, size_t bytes, size_t alignment, CUdeviceptr wish, unsigned long long flags))     \
  X(memAddressFree, cuMemAddressFree, (CUdeviceptr address, size_t bytes))                                   \
  X(memCreate, cuMemCreate,                                                                                  \
    (CUmemGenericAllocationHandle * handle, size_t bytes, const CUmemAllocationProp *properties,             \
     unsigned long long flags))                                                                              \
  X(memRelease, cuMemRelease, (CUmemGenericAllocationHandle handle))                                         \
  X(memMap, cuMemMap,                                                                                        \
    (CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,                  \
     unsigned long long flags))                                                                              \
  X(memUnmap, cuMemUnmap, (CUdeviceptr address, size_t bytes))                                               \
  X(memSetAccess, cuMemSetAccess,                                                                            \
    (CUdeviceptr address, size_t bytes, const CUmemAccessDesc *access, size_t count))                        \
  X(memcpyHtoDAsync, cuMemcpyHtoDAsync_v2,                                                                   \
    (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                                       \
  X(memcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))      \
  X(memcpyDtoDAsync, cuMemcpyDtoDAsync_v2,                                                                   \
    (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                                       \
  X(memsetD8Async, cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t count, CUstream stream))    \
  X(memsetD32Async, cuMemsetD32Async, (CUdeviceptr to, unsigned value, size_t count, CUstream stream))       \
  X(streamCreate, cuStreamCreate, (CUstream * stream, unsigned flags))                                       \
  X(streamDestroy, cuStreamDestroy_v2, (CUstream stream))                                                    \
  X(streamSynchronize, cuStreamSynchronize, (CUstream stream))                                               \
  X(streamBeginCapture, cuStreamBeginCapture_v2, (CUstream stream, CUstreamCaptureMode mode))                \
  X(streamEndCapture, cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                \
  X(eventCreate, cuEventCreate, (CUevent * event, unsigned flags))                                           \
  X(eventDestroy, cuEventDestroy_v2, (CUevent event))                                                        \
  X(eventRecord, cuEventRecord, (CUevent event, CUstream stream))                                            \
  X(eventSynchronize, cuEventSynchronize, (CUevent event))                                                   \
  X(eventElapsedTime, cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end))                 \
  X(moduleLoadData, cuModuleLoadData, (CUmodule * module, const void *image))                                \
  X(moduleUnload, cuModuleUnload, (CUmodule module))                                                         \
  X(moduleGetFunction, cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))      \
  X(funcGetAttribute, cuFuncGetAttribute, (int *value, CUfunction_attribute attribute, CUfunction function)) \
  X(funcSetAttribute, cuFuncSetAttribute, (CUfunction function, CUfunction_attribute attribute, int value))  \
  X(launchKernel, cuLaunchKernel,                                                                            \
    (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,  \
     unsigned blockZ, unsigned sharedBytes, CUstream stream, void **parameters, void **extra))               \
  X(graphInstantiate, cuGraphInstantiateWithFlags,                                                           \
    (CUgraphExec * executable, CUgraph graph, unsigned long long flags))                                     \
  X(graphLaunch, cuGraphLaunch, (CUgraphExec executable, CUstream stream))                                   \
  X(graphExecDestroy, cuGraphExecDestroy, (CUgraphExec executable))                                          \
  X(graphDestroy, cuGraphDestroy, (CUgraph graph))

/// What only tests of the driver call: a driver may lack it. The emulator has it.
#define MOERT_CUDA_TEST_FUNCTIONS(X)                                                                         \
  X(deviceGetName, cuDeviceGetName, (char *name, int length, CUdevice device))                               \
  X(streamQuery, cuStreamQuery, (CUstream stream))                                                           \
  X(streamWaitEvent, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                    \
  X(eventQuery, cuEventQuery, (CUevent event))                                                               \
  X(graphGetNodes, cuGraphGetNodes, (CUgraph graph, CUgraphNode * nodes, size_t *count))                     \
  X(graphNodeGetType, cuGraphNodeGetType, (CUgraphNode node, CUgraphNodeType * type))

/// What the emulator exports besides: X(name, symbol, type of the result, parameters).
///   finding  what was wrong first in the current context, for people; "" for nothing
///   forget   in stream order, marks memory as never written, as at the birth of a temporary that shares memory with others
#define MOERT_EMULATOR_FUNCTIONS(X)                                                                          \
  X(finding, moeEmulatorFinding, const char *, ())                                                           \
  X(threads, moeEmulatorThreads, int, ())                                                                    \
  X(forget, moeEmulatorForget, CUresult, (CUdeviceptr address, size_t bytes, CUstream stream))

} // namespace moert::cuda
