// Faults that are planted in kernels and in the use of the driver. The checked mode reports each, with kernel, op, line and thread,
// as an error of the driver; and it reports nothing of the sound twin of each, in any order of execution.
#include "runtime/emulator/module_generated.h"
#include "test/support/EmulatedGpu.h"
#include "test/support/EmulatorModule.h"

#include <gtest/gtest.h>

namespace moert::test {
namespace {

constexpr int kSeeds = 5;

Modes checked(int seed) { return {{"", "checked"}, {"SEED", std::to_string(seed)}}; }

/// Expects a fault of a kernel, whatever the order of execution, and the same of nothing else. `run` gets the fault's number.
template <typename F> void expectFinding(int fault, CUresult code, const char *words, F run) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    {
      EmulatedGpu gpu(checked(seed));
      EXPECT_EQ(run(gpu, 0), CUDA_SUCCESS) << gpu.finding();
      EXPECT_EQ(gpu.finding(), "");
    }
    EmulatedGpu gpu(checked(seed));
    EXPECT_EQ(run(gpu, fault), code);
    EXPECT_NE(gpu.finding().find(words), std::string::npos) << gpu.finding();
    // It is the context's from now on.
    if (code != CUDA_ERROR_INVALID_VALUE && code != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES) {
      EXPECT_EQ(gpu.synchronize(), code);
      CUdeviceptr address = 0;
      EXPECT_EQ(gpu->memAlloc(&address, 4), code);
    }
  }
}

TEST(Findings, OutOfBounds) {
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS,
                "writes 4 bytes of global memory, 0 bytes behind a block of 396 bytes",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.put(numbers(100)), y = gpu.put(numbers(100 - fault));
                  return gpu.run("copy", 1, 100, x, y, 0);
                });
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS, "kernel 'copy', op 'op20' at kernels.mlir:120: thread (",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.put(numbers(100));
                  return gpu.run("copy", 1, 100, x - 4 * fault, gpu.put(numbers(100)), 0);
                });
}

TEST(Findings, OutOfBoundsOfSharedMemory) {
  expectFinding(
      1, CUDA_ERROR_ILLEGAL_ADDRESS, "writes 4 bytes at 400 of the block's 400 bytes of shared memory",
      [](EmulatedGpu &gpu, int fault) {
        CUdeviceptr x = gpu.put(numbers(100));
        CUresult result = gpu.launchIn(gpu.stream, "dynamic", {1, 1, 1}, {100, 1, 1}, 400, x, fault);
        return result == CUDA_SUCCESS ? gpu.synchronize() : result;
      });
}

TEST(Findings, MemoryThatWasNeverWritten) {
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS,
                "reads 4 bytes of global memory, 0 bytes into a block of 400 bytes, which was never written",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.allocate(400), y = gpu.put(numbers(100));
                  EXPECT_EQ(gpu->memsetD32Async(x + 4 * fault, 0, 100 - fault, gpu.stream), CUDA_SUCCESS);
                  return gpu.run("axpy", 1, 100, x, y, 100, 1.0f);
                });
  expectFinding(
      2, CUDA_ERROR_ILLEGAL_ADDRESS, "kernel 'reverse', op 'op6' at kernels.mlir:106",
      [](EmulatedGpu &gpu, int fault) { return gpu.run("reverse", 2, 64, gpu.put(numbers(128)), fault); });
  // What is copied from such memory is such memory.
  expectFinding(
      1, CUDA_ERROR_ILLEGAL_ADDRESS,
      "reads 4 bytes of global memory, 396 bytes into a block of 400 bytes, which was never written",
      [](EmulatedGpu &gpu, int fault) {
        CUdeviceptr x = gpu.allocate(400), y = gpu.put(numbers(100));
        EXPECT_EQ(gpu->memsetD8Async(x, 0, size_t(400 - fault * 4), gpu.stream), CUDA_SUCCESS);
        EXPECT_EQ(gpu->memcpyDtoDAsync(y, x, 400, gpu.stream), CUDA_SUCCESS);
        return gpu.run("copy", 1, 100, y, gpu.put(numbers(100)), 0);
      });
  // The host cannot use it either.
  expectFinding(
      1, CUDA_ERROR_ILLEGAL_ADDRESS,
      "a copy to the host of 400 bytes reads memory, 396 bytes into a block of 400 bytes, which was "
      "never written",
      [](EmulatedGpu &gpu, int fault) {
        CUdeviceptr x = gpu.allocate(400);
        float *out = gpu.pinned<float>(100);
        EXPECT_EQ(gpu->memsetD8Async(x, 0, size_t(400 - fault * 4), gpu.stream), CUDA_SUCCESS);
        EXPECT_EQ(gpu->memcpyDtoHAsync(out, x, 400, gpu.stream), CUDA_SUCCESS);
        return gpu.synchronize();
      });
  // The birth of a temporary.
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS, "which was never written", [](EmulatedGpu &gpu, int fault) {
    CUdeviceptr x = gpu.put(numbers(100));
    EXPECT_EQ(gpu->forget(x, size_t(400 * fault), gpu.stream), CUDA_SUCCESS);
    return gpu.run("copy", 1, 100, x, gpu.put(numbers(100)), 0);
  });
}

TEST(Findings, MisalignedVectors) {
  expectFinding(1, CUDA_ERROR_MISALIGNED_ADDRESS, "op 'op38' at kernels.mlir:138",
                [](EmulatedGpu &gpu, int fault) {
                  return gpu.run("vector_copy", 1, 32, gpu.put(numbers(132)), gpu.put(numbers(128)), fault);
                });
}

TEST(Findings, RacesInSharedMemory) {
  auto reverse = [](EmulatedGpu &gpu, int fault) {
    return gpu.run("reverse", 3, 128, gpu.put(numbers(384)), fault);
  };
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "of the same block has ", reverse);
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "race: kernel 'reverse', op 'op", reverse);
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "bytes of shared memory at", [](EmulatedGpu &gpu, int fault) {
    return gpu.run("block_sum", 1, 64, gpu.put(numbers(64)), gpu.put(numbers(1)), fault);
  });
}

TEST(Findings, RacesInsideAWarp) {
  for (int fault : {1, 2, 3})
    expectFinding(fault, CUDA_ERROR_LAUNCH_FAILED, "with no barrier or warp synchronisation in between",
                  [](EmulatedGpu &gpu, int how) {
                    return gpu.run("exchange", 1, 64, gpu.put(numbers(64)), gpu.put(numbers(64)), how);
                  });
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "race", [](EmulatedGpu &gpu, int fault) {
    return gpu.run("exchange", 1, 64, gpu.put(numbers(64)), gpu.put(numbers(64)), fault ? 1 : 4);
  });
}

TEST(Findings, RacesInGlobalMemory) {
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "of the same launch has written",
                [](EmulatedGpu &gpu, int fault) {
                  return gpu.run("copy", 4, 64, gpu.put(numbers(256)), gpu.put(numbers(256)), fault);
                });
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "race: kernel 'count'", [](EmulatedGpu &gpu, int fault) {
    return gpu.run("count", 2, 32, gpu.put(std::vector<uint32_t>{0}), fault);
  });
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "writes 1 bytes of global memory",
                [](EmulatedGpu &gpu, int fault) { return gpu.run("bytes", 1, 64, gpu.allocate(64), fault); });
}

TEST(Findings, RacesBetweenStreams) {
  auto inTwo = [](EmulatedGpu &gpu, int fault, bool reads) {
    CUdeviceptr x = gpu.put(numbers(64)), y = gpu.put(numbers(64)), z = gpu.put(numbers(64));
    EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
    CUstream other = nullptr;
    CUevent event = nullptr;
    EXPECT_EQ(gpu->streamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    EXPECT_EQ(gpu->eventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
    EXPECT_EQ(gpu.launch("copy", 1, 64, x, y, 0), CUDA_SUCCESS);
    EXPECT_EQ(gpu->eventRecord(event, gpu.stream), CUDA_SUCCESS);
    if (!fault) {
      EXPECT_EQ(gpu->streamWaitEvent(other, event, 0), CUDA_SUCCESS);
    }
    EXPECT_EQ(gpu.launchIn(other, "copy", {1, 1, 1}, {64, 1, 1}, 0, reads ? y : z, reads ? z : x, 0),
              CUDA_SUCCESS);
    CUresult result = gpu->streamSynchronize(other);
    return result == CUDA_SUCCESS ? gpu.synchronize() : result;
  };
  for (bool reads : {false, true})
    expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "no stream, event or wait orders the two",
                  [&](EmulatedGpu &gpu, int fault) { return inTwo(gpu, fault, reads); });
  // Waiting by the host orders as well.
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED,
                "race: a fill writes 0 bytes into a block of 256 bytes, which kernel 'copy' has written",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.put(numbers(64)), y = gpu.put(numbers(64));
                  CUstream other = nullptr;
                  EXPECT_EQ(gpu->streamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
                  EXPECT_EQ(gpu.launch("copy", 1, 64, x, y, 0), CUDA_SUCCESS);
                  if (!fault) {
                    EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
                  }
                  EXPECT_EQ(gpu->memsetD32Async(y, 0, 64, other), CUDA_SUCCESS);
                  CUresult result = gpu.synchronize();
                  return result == CUDA_SUCCESS ? gpu->streamSynchronize(other) : result;
                });
}

// However much work came between the two.
TEST(Findings, RacesWithWorkOfLongAgo) {
  for (int between : {100, 6000}) {
    EmulatedGpu gpu(kChecked);
    CUdeviceptr x = gpu.put(numbers(64)), y = gpu.put(numbers(64));
    ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
    CUstream other = nullptr;
    ASSERT_EQ(gpu->streamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(gpu->memsetD8Async(x, 0, 64, other), CUDA_SUCCESS);
    ASSERT_EQ(gpu->memsetD8Async(x, 0, 64, gpu.stream), CUDA_SUCCESS);
    for (int i = 0; i < between; ++i)
      ASSERT_EQ(gpu->memsetD8Async(y, 0, 64, gpu.stream), CUDA_SUCCESS);
    ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
    EXPECT_EQ(gpu->streamSynchronize(other), CUDA_ERROR_LAUNCH_FAILED) << between;
    EXPECT_NE(gpu.finding().find("which a fill has written"), std::string::npos) << gpu.finding();
  }
  // What the host has waited for is forgotten, and what comes behind it is sound.
  EmulatedGpu gpu(kChecked);
  CUdeviceptr x = gpu.put(numbers(64));
  CUstream other = nullptr;
  ASSERT_EQ(gpu->streamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  for (int i = 0; i < 10000; ++i) {
    const CUstream stream = i % 2 ? other : gpu.stream;
    ASSERT_EQ(gpu->memsetD8Async(x, 0, 64, stream), CUDA_SUCCESS);
    ASSERT_EQ(gpu->streamSynchronize(stream), CUDA_SUCCESS) << gpu.finding();
  }
}

// A call that was refused earlier is no reason for what fails now.
TEST(Findings, AreOfWhatFails) {
  EmulatedGpu gpu(kChecked);
  CUdeviceptr x = gpu.put(numbers(100)), y = gpu.put(numbers(99));
  EXPECT_EQ(gpu->memFree(12345), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(gpu.finding().find("cuMemFree of an address"), std::string::npos) << gpu.finding();
  EXPECT_EQ(gpu.launch("copy", 1, 257, x, y, 0), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  EXPECT_NE(gpu.finding().find("at most 256 threads"), std::string::npos) << gpu.finding();
  EXPECT_EQ(gpu.run("copy", 1, 100, x, y, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(gpu.finding().find("0 bytes behind a block of 396 bytes"), std::string::npos) << gpu.finding();
  // It stays, and every call has it.
  EXPECT_EQ(gpu->memFree(12345), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(gpu.finding().find("0 bytes behind a block of 396 bytes"), std::string::npos) << gpu.finding();
  CUcontext context = nullptr;
  ASSERT_EQ(gpu->devicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->ctxSetCurrent(context), CUDA_ERROR_ILLEGAL_ADDRESS) << "errors of earlier work";
  ASSERT_EQ(gpu->devicePrimaryCtxRelease(0), CUDA_SUCCESS);
}

TEST(Findings, NameTheCallThatIsMadeToFail) {
  const auto counting = *openDriver(MOERT_EMULATOR); // begins to count calls
  EmulatedGpu gpu({{"FAIL_CALL", "100"}});
  CUevent event = nullptr;
  ASSERT_EQ(gpu->eventCreate(&event, CU_EVENT_DEFAULT), CUDA_SUCCESS);
  CUresult result = CUDA_SUCCESS;
  for (int i = 0; i < 100 && result == CUDA_SUCCESS; ++i)
    result = gpu->eventQuery(event);
  EXPECT_EQ(result, CUDA_ERROR_UNKNOWN);
  EXPECT_EQ(gpu.finding(), "cuEventQuery is call 100, which MOE_EMULATOR_FAIL_CALL lets fail");
}

// What a kernel declares as a counter is in its table: the same kernel without that.
TEST(Findings, AtomicOperationsOnWhatIsNoCounter) {
  for (bool declared : {true, false}) {
    const std::vector<uint8_t> module = emulatorModule([&](moe::emu::ModuleT &table) {
      for (auto &kernel : table.kernels)
        if (kernel->name == "count")
          kernel->params[0]->counter = declared;
    });
    EmulatedGpu gpu(kChecked, module.data());
    CUdeviceptr counter = gpu.put(std::vector<uint32_t>{0});
    EXPECT_EQ(gpu.run("count", 2, 32, counter, 0), declared ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED);
    if (!declared) {
      EXPECT_NE(gpu.finding().find("op 'op42' at kernels.mlir:142: thread ("), std::string::npos)
          << gpu.finding();
      EXPECT_NE(gpu.finding().find(
                    "adds atomically to global memory, 0 bytes into a block of 4 bytes, which is of no "
                    "parameter that the kernel declares as a counter"),
                std::string::npos)
          << gpu.finding();
    }
  }
}

TEST(Findings, DivergentBarriers) {
  for (auto [fault, code, words] :
       {std::tuple(1, CUDA_ERROR_LAUNCH_FAILED,
                   "waits at __syncthreads, which other threads of its warp never reach"),
        std::tuple(2, CUDA_ERROR_LAUNCH_FAILED,
                   "waits at another __syncthreads than other threads of the block"),
        std::tuple(3, CUDA_ERROR_LAUNCH_TIMEOUT, "no thread can continue")})
    expectFinding(fault, code, words, [](EmulatedGpu &gpu, int how) {
      return gpu.run("meet", 1, 64, gpu.put(numbers(64)), how);
    });
}

TEST(Findings, ShufflesOfInactiveLanes) {
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "of its warp, which has ended or does not exist",
                [](EmulatedGpu &gpu, int fault) {
                  return gpu.run("warp_sum", 1, 32, gpu.put(numbers(32)), gpu.put(numbers(1)), fault);
                });
  expectFinding(0xFFFF, CUDA_ERROR_LAUNCH_FAILED, "of its warp, which is not in the mask",
                [](EmulatedGpu &gpu, int mask) {
                  CUdeviceptr out = gpu.put(std::vector<uint32_t>(64));
                  return gpu.run("shuffles", 1, 32, out, mask ? mask : ~0, 16, 31, 0);
                });
}

TEST(Findings, AsynchronousCopiesThatAreNotWaitedFor) {
  auto pipeline = [](EmulatedGpu &gpu, int fault) {
    return gpu.run("pipeline", 1, 64, gpu.put(numbers(512)), gpu.put(numbers(512)), fault);
  };
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "into which an asynchronous copy is not waited for", pipeline);
  for (int seed = 0; seed < kSeeds; ++seed) { // the wait is of one thread, and another one reads
    EmulatedGpu gpu(checked(seed));
    EXPECT_EQ(pipeline(gpu, 2), CUDA_ERROR_LAUNCH_FAILED);
  }
}

TEST(Findings, UseAfterFree) {
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS, "bytes into a block of 400 bytes that was freed",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.put(numbers(100)), y = gpu.put(numbers(100));
                  EXPECT_EQ(gpu.launch("copy", 1, 100, x, y, 0), CUDA_SUCCESS);
                  if (!fault) {
                    EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
                  }
                  EXPECT_EQ(gpu->memFree(x), CUDA_SUCCESS);
                  gpu.allocate(400); // is not given the same addresses
                  return gpu.synchronize();
                });
  expectFinding(1, CUDA_ERROR_ILLEGAL_ADDRESS,
                "a copy to the device uses pinned memory of the host that was freed",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.allocate(400);
                  float *host = gpu.pinned<float>(100);
                  EXPECT_EQ(gpu->memcpyHtoDAsync(x, host, 400, gpu.stream), CUDA_SUCCESS);
                  if (!fault) {
                    EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
                  }
                  EXPECT_EQ(gpu->memFreeHost(host), CUDA_SUCCESS);
                  return gpu.synchronize();
                });
}

TEST(Findings, PinnedMemoryThatIsRewrittenDuringItsCopy) {
  expectFinding(1, CUDA_ERROR_LAUNCH_FAILED, "reads pinned memory that the host has rewritten",
                [](EmulatedGpu &gpu, int fault) {
                  CUdeviceptr x = gpu.allocate(400);
                  float *host = gpu.pinned<float>(100);
                  host[99] = 1;
                  EXPECT_EQ(gpu->memcpyHtoDAsync(x, host, 400, gpu.stream), CUDA_SUCCESS);
                  if (!fault) {
                    EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
                  }
                  host[99] = 2;
                  return gpu.synchronize();
                });
  // What the device writes there in between is no fault.
  EmulatedGpu gpu(kChecked);
  CUdeviceptr x = gpu.put(numbers(1)), y = gpu.put(std::vector<float>{5});
  float *host = gpu.pinned<float>(1);
  EXPECT_EQ(gpu->memcpyDtoHAsync(host, y, 4, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memcpyHtoDAsync(x, host, 4, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu.get<float>(x, 1)[0], 5) << gpu.finding();
}

TEST(Findings, LimitsOfLaunches) {
  auto launch = [](Dim grid, Dim block, unsigned shared) {
    return [=](EmulatedGpu &gpu, int fault) {
      CUdeviceptr out = gpu.put(std::vector<uint64_t>(1024));
      Dim one = {1, 1, 1};
      CUresult result = gpu.launchIn(gpu.stream, "indices", fault ? grid : one, fault ? block : one,
                                     fault ? shared : 0, out, 0);
      return result == CUDA_SUCCESS ? gpu.synchronize() : result;
    };
  };
  expectFinding(1, CUDA_ERROR_INVALID_VALUE,
                "expected 1 to 65535 blocks in dimension 1 of the grid, found 65536",
                launch({1, 65536, 1}, {1, 1, 1}, 0));
  expectFinding(1, CUDA_ERROR_INVALID_VALUE, "blocks in dimension 0 of the grid, found 0",
                launch({0, 1, 1}, {1, 1, 1}, 0));
  expectFinding(1, CUDA_ERROR_INVALID_VALUE, "expected at most 1024 threads a block, found 1056",
                launch({1, 1, 1}, {33, 32, 1}, 0));
  expectFinding(1, CUDA_ERROR_INVALID_VALUE, "threads in dimension 2 of a block, found 65",
                launch({1, 1, 1}, {1, 1, 65}, 0));
  expectFinding(1, CUDA_ERROR_INVALID_VALUE, "49153 bytes of dynamic and 0 of static shared memory",
                launch({1, 1, 1}, {1, 1, 1}, 49153));
  expectFinding(
      1, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "it was compiled for at most 256 threads a block, found 257",
      [](EmulatedGpu &gpu, int fault) {
        return gpu.run("copy", 1, 256 + unsigned(fault), gpu.put(numbers(257)), gpu.put(numbers(257)), 0);
      });
}

TEST(Findings, StacksThatAreTooSmall) {
  expectFinding(
      100000, CUDA_ERROR_HARDWARE_STACK_ERROR, "needs more than 64 KiB of stack",
      [](EmulatedGpu &gpu, int depth) { return gpu.run("stack", 1, 64, gpu.put(numbers(64)), depth); });
}

TEST(Findings, DivisionsByZero) {
  expectFinding(1, CUDA_ERROR_ILLEGAL_INSTRUCTION, "divides an integer by zero",
                [](EmulatedGpu &gpu, int fault) {
                  return gpu.run("divide", 1, 1, gpu.put(std::vector<uint64_t>(1)), 1 - fault);
                });
}

// Addresses of the device are none of the host, so that a kernel which finds one in memory cannot use it.
TEST(Findings, AddressesThatAreNoParameters) {
  for (const Modes &modes : {Modes{}, kChecked}) {
    EmulatedGpu gpu(modes);
    CUdeviceptr x = gpu.put(std::vector<uint64_t>(2));
    EXPECT_EQ(gpu.run("follow", 1, 1, gpu.put(std::vector<uint64_t>{x, 0}), 0), CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_NE(gpu.finding(), "");
  }
}

// The fast mode has no shadow, but what faults on the host is reported as well.
TEST(Findings, OfTheFastMode) {
  struct Case {
    const char *kernel, *words;
    int fault;
    CUresult code;
  };
  for (auto [kernel, words, fault, code] :
       {Case{"stack", "needs more than 64 KiB of stack", 100000, CUDA_ERROR_HARDWARE_STACK_ERROR},
        Case{"meet", "no thread can continue", 3, CUDA_ERROR_LAUNCH_TIMEOUT},
        Case{"dynamic", " of 256 bytes; MOE_EMULATOR=checked names the line", 128,
             CUDA_ERROR_ILLEGAL_ADDRESS}}) {
    EmulatedGpu gpu;
    ASSERT_EQ(gpu.launchIn(gpu.stream, kernel, {2, 1, 1}, {64, 1, 1}, 256, gpu.put(numbers(128)), fault),
              CUDA_SUCCESS);
    EXPECT_EQ(gpu.synchronize(), code);
    EXPECT_NE(gpu.finding().find(words), std::string::npos) << gpu.finding();
  }
  EmulatedGpu gpu;
  CUdeviceptr x = gpu.put(numbers(64)), y = gpu.put(numbers(64));
  EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memFree(x), CUDA_SUCCESS);
  EXPECT_EQ(gpu.run("copy", 1, 64, x, y, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(gpu.finding().find("accesses global memory"), std::string::npos) << gpu.finding();
  EXPECT_NE(gpu.finding().find("that was freed; MOE_EMULATOR=checked names the line"), std::string::npos)
      << gpu.finding();
}

} // namespace
} // namespace moert::test
