// When work is done, and in which order: as late as CUDA's rules allow, so that a host that relies on more is wrong in every run.
#include "test/support/EmulatedGpu.h"

#include <cstring>
#include <gtest/gtest.h>
#include <thread>

namespace moert::test {
namespace {

class Streams : public testing::TestWithParam<Modes> {
protected:
  EmulatedGpu gpu{GetParam()};

  CUstream newStream(unsigned flags = CU_STREAM_NON_BLOCKING) {
    CUstream stream = nullptr;
    EXPECT_EQ(gpu->streamCreate(&stream, flags), CUDA_SUCCESS);
    return stream;
  }
  CUevent newEvent(unsigned flags = CU_EVENT_DEFAULT) {
    CUevent event = nullptr;
    EXPECT_EQ(gpu->eventCreate(&event, flags), CUDA_SUCCESS);
    return event;
  }
  /// A block with a word, and pinned memory that the word is copied to.
  CUdeviceptr word(uint32_t value) { return gpu.put(std::vector<uint32_t>{value}); }
};

INSTANTIATE_TEST_SUITE_P(Modes, Streams, testing::Values(Modes{}, kChecked));

TEST_P(Streams, CopiesUsePinnedMemoryWhenTheyAreDone) {
  CUdeviceptr x = word(0);
  auto *in = gpu.pinned<uint32_t>(1), *out = gpu.pinned<uint32_t>(1);
  *in = 1;
  *out = 9;
  ASSERT_EQ(gpu->memcpyHtoDAsync(x, in, 4, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoHAsync(out, x, 4, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(*out, 9u);
  if (GetParam().empty())
    *in = 2; // too early: the copy has the new value. The checked mode reports it.
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  EXPECT_EQ(*out, GetParam().empty() ? 2u : 1u);
}

TEST_P(Streams, CopiesUsePageableMemoryBeforeTheyReturn) {
  CUdeviceptr x = gpu.allocate(4);
  uint32_t in = 1, out = 9;
  ASSERT_EQ(gpu->memcpyHtoDAsync(x, &in, 4, gpu.stream), CUDA_SUCCESS);
  in = 2;
  ASSERT_EQ(gpu->memcpyDtoHAsync(&out, x, 4, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(out, 1u);
}

TEST_P(Streams, FillsAndCopiesWithin) {
  CUdeviceptr x = gpu.allocate(16), y = gpu.allocate(16);
  ASSERT_EQ(gpu->memsetD32Async(x, 0x01020304, 4, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memsetD8Async(x + 5, 9, 2, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoDAsync(y, x, 16, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu.get<uint32_t>(y, 4), (std::vector<uint32_t>{0x01020304, 0x01090904, 0x01020304, 0x01020304}));
  EXPECT_EQ(gpu->memcpyDtoDAsync(x + 4, x, 8, gpu.stream), CUDA_ERROR_INVALID_VALUE) << "they overlap";
  EXPECT_EQ(gpu->memcpyDtoDAsync(x, y + 8, 9, gpu.stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->memsetD32Async(x + 2, 0, 1, gpu.stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->memsetD8Async(x, 0, 17, gpu.stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->memsetD8Async(x, 0, 0, gpu.stream), CUDA_SUCCESS);
}

TEST_P(Streams, ArgumentsAreCopiedAtTheLaunch) {
  CUdeviceptr x = gpu.put(numbers(4)), y = gpu.put(std::vector<float>(4));
  int32_t count = 4;
  float a = 2;
  void *parameters[] = {&x, &y, &count, &a};
  const CUdeviceptr result = y;
  ASSERT_EQ(gpu->launchKernel(gpu.function("axpy"), 1, 1, 1, 4, 1, 1, 0, gpu.stream, parameters, nullptr),
            CUDA_SUCCESS);
  a = 7;
  y = count = 0;
  EXPECT_EQ(gpu.get<float>(result, 4), (std::vector<float>{0, 2, 4, 6}));
}

TEST_P(Streams, AreIndependentUntilAnEventOrdersThem) {
  CUstream other = newStream();
  CUevent event = newEvent();
  CUdeviceptr x = word(1), y = word(0), z = word(0);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  auto *out = gpu.pinned<uint32_t>(2);
  out[0] = out[1] = 9;
  ASSERT_EQ(gpu->memcpyDtoDAsync(y, x, 4, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->eventRecord(event, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoHAsync(&out[0], x, 4, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->streamWaitEvent(other, event, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoDAsync(z, y, 4, other), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoHAsync(&out[1], z, 4, other), CUDA_SUCCESS);
  ASSERT_EQ(gpu->streamSynchronize(other), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(out[1], 1u);
  EXPECT_EQ(out[0], 9u) << "nobody has waited for what is behind the event";
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  EXPECT_EQ(out[0], 1u);
}

TEST_P(Streams, TheLegacyStreamWaitsForBlockingOnesAndTheyForIt) {
  CUstream blocking = newStream(CU_STREAM_DEFAULT);
  CUdeviceptr x = word(1), y = word(0), z = word(0), w = word(0);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoDAsync(y, x, 4, blocking), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoDAsync(z, y, 4, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoDAsync(w, z, 4, blocking), CUDA_SUCCESS);
  ASSERT_EQ(gpu->streamSynchronize(blocking), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<uint32_t>(w, 1)[0], 1u);
}

TEST_P(Streams, QueriesMakeProgress) {
  CUevent event = newEvent();
  EXPECT_EQ(gpu->eventQuery(event), CUDA_SUCCESS) << "it was never recorded";
  EXPECT_EQ(gpu->streamQuery(gpu.stream), CUDA_SUCCESS);
  CUdeviceptr x = word(1);
  ASSERT_EQ(gpu->eventRecord(event, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memsetD32Async(x, 2, 1, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventQuery(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(gpu->eventQuery(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(gpu->eventQuery(event), CUDA_SUCCESS);
  EXPECT_EQ(gpu->streamQuery(gpu.stream), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(gpu->streamQuery(gpu.stream), CUDA_SUCCESS);
}

TEST_P(Streams, EventsMeasureTime) {
  CUevent first = newEvent(), last = newEvent(), untimed = newEvent(CU_EVENT_DISABLE_TIMING);
  float milliseconds = -1;
  EXPECT_EQ(gpu->eventElapsedTime(&milliseconds, first, last), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(gpu->eventRecord(first, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->eventRecord(last, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->eventRecord(untimed, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventElapsedTime(&milliseconds, first, last), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(gpu->eventSynchronize(last), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventElapsedTime(&milliseconds, first, last), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(gpu->eventElapsedTime(&milliseconds, first, untimed), CUDA_ERROR_INVALID_HANDLE);
}

TEST_P(Streams, HandlesThatWereDestroyedAreUnknown) {
  CUstream stream = newStream();
  CUevent event = newEvent();
  EXPECT_EQ(gpu->streamDestroy(stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->streamDestroy(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(gpu->streamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(gpu->eventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventRecord(event, gpu.stream), CUDA_ERROR_INVALID_HANDLE);
  CUfunction function = gpu.function("copy");
  EXPECT_EQ(gpu->moduleUnload(gpu.module), CUDA_SUCCESS);
  EXPECT_EQ(gpu->launchKernel(function, 1, 1, 1, 1, 1, 1, 0, gpu.stream, nullptr, nullptr),
            CUDA_ERROR_INVALID_HANDLE);
}

// Graphs.

TEST_P(Streams, AGraphReplaysWhatWasCaptured) {
  CUdeviceptr x = gpu.put(numbers(8)), y = gpu.put(std::vector<float>(8)), z = gpu.put(std::vector<float>(8));
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  auto *in = gpu.pinned<float>(8), *out = gpu.pinned<float>(8);
  ASSERT_EQ(gpu->streamBeginCapture(gpu.stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyHtoDAsync(x, in, 32, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu.launch("axpy", 1, 8, x, y, 8, 1.0f), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memsetD32Async(z, 0, 8, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memcpyDtoHAsync(out, y, 32, gpu.stream), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(gpu->streamEndCapture(gpu.stream, &graph), CUDA_SUCCESS) << gpu.finding();
  size_t count = 0;
  ASSERT_EQ(gpu->graphGetNodes(graph, nullptr, &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 4u);
  std::vector<CUgraphNode> nodes(count);
  ASSERT_EQ(gpu->graphGetNodes(graph, nodes.data(), &count), CUDA_SUCCESS);
  std::vector<unsigned> types;
  for (CUgraphNode node : nodes) {
    CUgraphNodeType type;
    ASSERT_EQ(gpu->graphNodeGetType(node, &type), CUDA_SUCCESS);
    types.push_back(type);
  }
  EXPECT_EQ(types, (std::vector<unsigned>{CU_GRAPH_NODE_TYPE_MEMCPY, CU_GRAPH_NODE_TYPE_KERNEL,
                                          CU_GRAPH_NODE_TYPE_MEMSET, CU_GRAPH_NODE_TYPE_MEMCPY}));
  CUgraphExec executable = nullptr;
  ASSERT_EQ(gpu->graphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu->graphDestroy(graph), CUDA_SUCCESS);
  std::vector<float> expected(8);
  EXPECT_EQ(gpu.get<float>(y, 8), expected) << "capturing runs nothing";
  for (int step = 1; step <= 3; ++step) {
    for (int i = 0; i < 8; ++i) {
      in[i] = float(step * i);
      expected[i] += in[i];
    }
    ASSERT_EQ(gpu->graphLaunch(executable, gpu.stream), CUDA_SUCCESS) << gpu.finding();
    ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
    EXPECT_EQ(std::vector<float>(out, out + 8), expected);
  }
  EXPECT_EQ(gpu->graphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(gpu->graphLaunch(executable, gpu.stream), CUDA_ERROR_INVALID_VALUE);
}

/// x + x in two streams that fork and join; `joined`: whether the second one's work is behind the first one's where it must be.
CUresult captureTwo(EmulatedGpu &gpu, CUstream other, bool joined, CUdeviceptr x, CUdeviceptr y,
                    CUdeviceptr z, CUgraph *graph) {
  CUevent fork = nullptr, join = nullptr;
  EXPECT_EQ(gpu->eventCreate(&fork, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventCreate(&join, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->streamBeginCapture(gpu.stream, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(gpu.launch("copy", 1, 8, x, y, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventRecord(fork, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->streamWaitEvent(other, fork, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu.launchIn(other, "copy", {1, 1, 1}, {8, 1, 1}, 0, x, z, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu.launch("axpy", 1, 8, x, y, 8, 1.0f), CUDA_SUCCESS);
  EXPECT_EQ(gpu->eventRecord(join, other), CUDA_SUCCESS);
  if (joined) {
    EXPECT_EQ(gpu->streamWaitEvent(gpu.stream, join, 0), CUDA_SUCCESS);
  }
  EXPECT_EQ(gpu.launch("axpy", 1, 8, z, y, 8, 1.0f), CUDA_SUCCESS);
  return gpu->streamEndCapture(gpu.stream, graph);
}

TEST_P(Streams, AGraphHasBranches) {
  CUstream other = newStream();
  CUdeviceptr x = gpu.put(numbers(8)), y = gpu.put(numbers(8)), z = gpu.put(numbers(8));
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(captureTwo(gpu, other, true, x, y, z, &graph), CUDA_SUCCESS) << gpu.finding();
  CUgraphExec executable = nullptr;
  ASSERT_EQ(gpu->graphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  for (int i = 0; i < 4; ++i) { // in two streams: launches of one graph follow one another
    ASSERT_EQ(gpu->graphLaunch(executable, i % 2 ? other : gpu.stream), CUDA_SUCCESS) << gpu.finding();
  }
  ASSERT_EQ(gpu->streamSynchronize(other), CUDA_SUCCESS) << gpu.finding();
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<float>(y, 8), (std::vector<float>{0, 3, 6, 9, 12, 15, 18, 21}));
  EXPECT_EQ(captureTwo(gpu, newStream(), false, x, y, z, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
}

TEST_P(Streams, AGraphsPointersAreCheckedAtEachLaunch) {
  CUdeviceptr x = gpu.put(numbers(8)), y = gpu.put(numbers(8));
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  ASSERT_EQ(gpu->streamBeginCapture(gpu.stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(gpu.launch("copy", 1, 8, x, y, 0), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  CUgraphExec executable = nullptr;
  ASSERT_EQ(gpu->streamEndCapture(gpu.stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(gpu->graphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu->graphLaunch(executable, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memFree(y), CUDA_SUCCESS);
  EXPECT_EQ(gpu->graphLaunch(executable, gpu.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(gpu.finding(), "graph: kernel 'copy' was captured with an address that is 0 bytes into a block "
                           "of 32 bytes that was freed");
  EXPECT_EQ(gpu.synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_P(Streams, CaptureForbids) {
  CUstream other = newStream();
  CUevent outside = newEvent(), inside = newEvent();
  CUdeviceptr x = word(1);
  CUgraph graph = nullptr;
  uint32_t pageable = 0;
  ASSERT_EQ(gpu->eventRecord(outside, other), CUDA_SUCCESS);
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  auto invalidated = [&](CUresult expected, auto call) {
    ASSERT_EQ(gpu->streamBeginCapture(gpu.stream, mode), CUDA_SUCCESS);
    EXPECT_EQ(call(), expected);
    EXPECT_EQ(gpu->memsetD32Async(x, 0, 1, gpu.stream), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT_EQ(gpu->streamEndCapture(gpu.stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  };
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu.synchronize(); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu->streamQuery(gpu.stream); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu->memFree(x); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
              [&] { return gpu->memcpyHtoDAsync(x, &pageable, 4, gpu.stream); });
  // A thread must not allocate or free while it captures in its own mode; other threads may.
  mode = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
  CUdeviceptr block = 0;
  void *host = nullptr;
  CUcontext context = nullptr;
  ASSERT_EQ(gpu->devicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu->memAlloc(&block, 4); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu->memFree(x); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return gpu->memHostAlloc(&host, 4, 0); });
  ASSERT_EQ(gpu->streamBeginCapture(gpu.stream, mode), CUDA_SUCCESS);
  std::thread([&] {
    EXPECT_EQ(gpu->ctxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(gpu->memAlloc(&block, 4), CUDA_SUCCESS);
  }).join();
  EXPECT_EQ(gpu->streamEndCapture(gpu.stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(gpu->streamBeginCapture(gpu.stream, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAlloc(&block, 4), CUDA_SUCCESS);
  EXPECT_EQ(gpu->streamEndCapture(gpu.stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(gpu->devicePrimaryCtxRelease(0), CUDA_SUCCESS);
  mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  invalidated(CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
              [&] { return gpu->streamWaitEvent(gpu.stream, outside, 0); });
  invalidated(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, [&] {
    EXPECT_EQ(gpu->eventRecord(inside, gpu.stream), CUDA_SUCCESS);
    EXPECT_EQ(gpu->eventQuery(inside), CUDA_ERROR_CAPTURED_EVENT);
    EXPECT_EQ(gpu->streamWaitEvent(other, inside, 0), CUDA_SUCCESS);
    return gpu->streamEndCapture(other, &graph);
  });
  EXPECT_EQ(gpu->streamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS) << "the context goes on";
}

} // namespace
} // namespace moert::test
