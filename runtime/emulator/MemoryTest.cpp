// Memory, contexts and modules of the emulator: limits, virtual memory, and what is refused.
#include "runtime/emulator/module_generated.h"
#include "test/support/EmulatedGpu.h"
#include "test/support/EmulatorModule.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

namespace moert::test {
namespace {

constexpr size_t kPart = 2 << 20;

TEST(EmulatedDriver, ExportsEachFunctionOfTheList) {
  EXPECT_TRUE(EmulatedGpu::driver().isEmulator());
  EXPECT_EQ(EmulatedGpu::driver().version, 13000);
  void *library = dlopen(MOERT_EMULATOR, RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(library, nullptr);
  EXPECT_EQ(dlsym(library, "moeEmulatorSwitch"), nullptr) << "and nothing else";
  dlclose(library);
}

TEST(EmulatedDriver, NamesErrors) {
  const Driver &driver = EmulatedGpu::driver();
  EXPECT_TRUE(driver.words(CUDA_ERROR_ILLEGAL_ADDRESS)
                  .starts_with("CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access"));
  const char *name = nullptr;
  EXPECT_EQ(driver.getErrorName(CUresult(12345), &name), CUDA_ERROR_INVALID_VALUE);
}

TEST(EmulatedDriver, HasOneDevice) {
  EmulatedGpu gpu({{"ARCHITECTURE", "sm_90a"}, {"MEMORY", "64"}});
  int value = 0;
  CUdevice device = -1;
  char name[32];
  size_t bytes = 0, free = 0;
  EXPECT_EQ(gpu->deviceGet(&device, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->deviceGet(&device, 1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(gpu->deviceGetName(name, sizeof name, device), CUDA_SUCCESS);
  EXPECT_STREQ(name, "emulated sm_90a");
  EXPECT_EQ(gpu->deviceGetName(name, 5, device), CUDA_SUCCESS);
  EXPECT_STREQ(name, "emul");
  EXPECT_EQ(gpu->deviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 9);
  EXPECT_EQ(gpu->deviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 227 << 10);
  EXPECT_EQ(gpu->deviceTotalMem(&bytes, device), CUDA_SUCCESS);
  EXPECT_EQ(bytes, size_t(64) << 20);
  gpu.allocate(1000);
  EXPECT_EQ(gpu->memGetInfo(&free, &bytes), CUDA_SUCCESS);
  EXPECT_EQ(bytes - free, 1000u);
}

TEST(EmulatedDriver, IsAnotherGpu) {
  const Driver &driver = EmulatedGpu::driver();
  CUcontext context = nullptr;
  for (auto [name, major, shared] : {std::tuple("sm_80", 8, 163), std::tuple("sm_100a", 10, 227)}) {
    setenv("MOE_EMULATOR_ARCHITECTURE", name, 1);
    ASSERT_EQ(driver.devicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    ASSERT_EQ(driver.ctxSetCurrent(context), CUDA_SUCCESS);
    int value = 0;
    EXPECT_EQ(driver.deviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0),
              CUDA_SUCCESS);
    EXPECT_EQ(value, major);
    EXPECT_EQ(driver.deviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0),
              CUDA_SUCCESS);
    EXPECT_EQ(value, shared << 10);
    CUmodule module = nullptr;
    EXPECT_EQ(driver.moduleLoadData(&module, emulatorModule().data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
    EXPECT_EQ(driver.ctxSetCurrent(nullptr), CUDA_SUCCESS);
    EXPECT_EQ(driver.devicePrimaryCtxRelease(0), CUDA_SUCCESS);
    unsetenv("MOE_EMULATOR_ARCHITECTURE");
  }
}

TEST(EmulatedDriver, SettingsThatDoNotExistAreRefused) {
  const Driver &driver = EmulatedGpu::driver();
  CUcontext context = nullptr;
  setenv("MOE_EMULATOR", "quick", 1);
  EXPECT_EQ(driver.devicePrimaryCtxRetain(&context, 0), CUDA_ERROR_INVALID_VALUE);
  unsetenv("MOE_EMULATOR");
  EXPECT_STREQ(driver.finding(), "expected 'fast' or 'checked' as MOE_EMULATOR, found 'quick'");
}

TEST(EmulatedDriver, NeedsAContext) {
  const Driver &driver = EmulatedGpu::driver();
  CUdeviceptr address = 0;
  EXPECT_EQ(driver.memAlloc(&address, 4), CUDA_ERROR_INVALID_CONTEXT);
  CUcontext context = nullptr;
  ASSERT_EQ(driver.devicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  ASSERT_EQ(driver.ctxSetCurrent(context), CUDA_SUCCESS);
  ASSERT_EQ(driver.memAlloc(&address, 4), CUDA_SUCCESS);
  ASSERT_EQ(driver.devicePrimaryCtxRelease(0), CUDA_SUCCESS);
  EXPECT_EQ(driver.memAlloc(&address, 4), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(driver.ctxSetCurrent(nullptr), CUDA_SUCCESS);
}

TEST(EmulatedMemory, IsLimited) {
  EmulatedGpu gpu({{"MEMORY", "8"}});
  CUdeviceptr first = 0, second = 0;
  EXPECT_EQ(gpu->memAlloc(&first, 5 << 20), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAlloc(&second, 5 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(gpu->memFree(first), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAlloc(&second, 5 << 20), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAlloc(&second, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->memFree(0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memFree(first), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->memFree(second + 4), CUDA_ERROR_INVALID_VALUE);
}

TEST(EmulatedMemory, IsNotTheHostsAndNotZero) {
  EmulatedGpu gpu;
  CUdeviceptr address = gpu.allocate(4);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(address) = 1, "");
  EXPECT_EQ(gpu.get<uint32_t>(address, 1)[0], ~0u);
}

class VirtualMemory : public testing::TestWithParam<Modes> {
protected:
  EmulatedGpu gpu{GetParam()};
  CUmemAllocationProp properties = {
      CU_MEM_ALLOCATION_TYPE_PINNED, CU_MEM_HANDLE_TYPE_NONE, {CU_MEM_LOCATION_TYPE_DEVICE, 0}, nullptr, {}};
  CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

  CUmemGenericAllocationHandle create(size_t bytes) {
    CUmemGenericAllocationHandle handle = 0;
    EXPECT_EQ(gpu->memCreate(&handle, bytes, &properties, 0), CUDA_SUCCESS);
    return handle;
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, VirtualMemory, testing::Values(Modes{}, kChecked));

TEST_P(VirtualMemory, GrowsByMapping) {
  size_t granularity = 0;
  ASSERT_EQ(gpu->memGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
            CUDA_SUCCESS);
  EXPECT_EQ(granularity, kPart);
  CUdeviceptr range = 0;
  ASSERT_EQ(gpu->memAddressReserve(&range, 4 * kPart, 0, 0, 0), CUDA_SUCCESS);
  const CUmemGenericAllocationHandle first = create(kPart), second = create(2 * kPart);
  ASSERT_EQ(gpu->memMap(range, kPart, 0, first, 0), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memsetD8Async(range, 1, kPart, gpu.stream), CUDA_ERROR_INVALID_VALUE) << "access is not set";
  ASSERT_EQ(gpu->memSetAccess(range, kPart, &access, 1), CUDA_SUCCESS);
  if (GetParam().empty()) { // the checked mode reports it
    EXPECT_EQ(gpu.get<uint32_t>(range + kPart / 2, 1)[0], ~0u) << "fresh memory is NaNs";
  }
  EXPECT_EQ(gpu->memsetD8Async(range, 1, kPart, gpu.stream), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memsetD8Async(range + 1, 1, kPart, gpu.stream), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(gpu->memMap(range + kPart, 2 * kPart, 0, second, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memSetAccess(range + kPart, 2 * kPart, &access, 1), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memsetD8Async(range + kPart - 2, 2, 4, gpu.stream), CUDA_SUCCESS) << "both parts at once";
  EXPECT_EQ(gpu.get<uint32_t>(range + kPart - 4, 1)[0], 0x02020101u);
  // A kernel in the part that was added, with a graph that was captured before.
  ASSERT_EQ(gpu->memsetD8Async(range, 0, 3 * kPart, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu.run("copy", 1, 64, range, range + 2 * kPart, 0), CUDA_SUCCESS) << gpu.finding();
  ASSERT_EQ(gpu->memUnmap(range + kPart, 2 * kPart), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAddressFree(range, 4 * kPart), CUDA_ERROR_INVALID_VALUE) << "something is mapped";
  EXPECT_EQ(gpu.run("copy", 1, 64, range, range + 2 * kPart, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(gpu.finding().find("where nothing is mapped"), std::string::npos) << gpu.finding();
}

TEST_P(VirtualMemory, MemoryLivesUntilItIsReleasedAndUnmapped) {
  size_t free = 0, before = 0, total = 0;
  ASSERT_EQ(gpu->memGetInfo(&before, &total), CUDA_SUCCESS);
  CUdeviceptr range = 0;
  ASSERT_EQ(gpu->memAddressReserve(&range, kPart, 0, 0, 0), CUDA_SUCCESS);
  const CUmemGenericAllocationHandle handle = create(kPart);
  ASSERT_EQ(gpu->memMap(range, kPart, 0, handle, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memSetAccess(range, kPart, &access, 1), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memsetD32Async(range, 7, kPart / 4, gpu.stream), CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memMap(range, kPart, 0, handle, 0), CUDA_ERROR_NOT_SUPPORTED) << "it is mapped already";
  ASSERT_EQ(gpu->memRelease(handle), CUDA_SUCCESS);
  EXPECT_EQ(gpu.get<uint32_t>(range, 1)[0], 7u);
  EXPECT_EQ(gpu->memRelease(handle), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(gpu->memGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(before - free, kPart);
  ASSERT_EQ(gpu->memUnmap(range, kPart), CUDA_SUCCESS);
  ASSERT_EQ(gpu->memGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(before, free);
  EXPECT_EQ(gpu->memAddressFree(range, kPart), CUDA_SUCCESS);
  EXPECT_EQ(gpu->memAddressReserve(&range, kPart + 1, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
}

// Modules.

std::string refused(CUresult code, const std::vector<uint8_t> &bytes) {
  EmulatedGpu gpu;
  CUmodule module = nullptr;
  EXPECT_EQ(gpu->moduleLoadData(&module, bytes.data()), code);
  return gpu.finding();
}

TEST(EmulatedModule, ForAnotherMachine) {
  EXPECT_EQ(refused(CUDA_ERROR_NO_BINARY_FOR_GPU,
                    emulatorModule([](moe::emu::ModuleT &module) { module.architecture = "sm_80"; })),
            "module: expected code for sm_90a, found code for sm_80");
  EXPECT_EQ(refused(CUDA_ERROR_NO_BINARY_FOR_GPU, emulatorModule([](moe::emu::ModuleT &module) {
                      module.features = {"sse2", "avx1024", "magic"};
                    })),
            "module: it was compiled for x86-64-v3, and this machine's CPU lacks avx1024, magic");
  EXPECT_EQ(
      refused(CUDA_SUCCESS, emulatorModule([](moe::emu::ModuleT &module) { module.architecture = "sm_90"; })),
      "");
}

TEST(EmulatedModule, ThatIsDamaged) {
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE, std::vector<uint8_t>(64)),
            "module: expected a module of the emulator, found 0 as its size");
  std::vector<uint8_t> other = emulatorModule();
  other[8] = 'X';
  EXPECT_NE(refused(CUDA_ERROR_INVALID_IMAGE, other).find("is not one or is damaged"), std::string::npos);
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE,
                    emulatorModule([](moe::emu::ModuleT &module) { module.kernels[0]->fast = "none"; })),
            "module: kernel 'axpy': expected the function none in the code, found none");
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE,
                    emulatorModule([](moe::emu::ModuleT &module) { module.kernels[0]->threads = 2000; })),
            "module: kernel 'axpy': expected 1 to 1024 threads a block, found 2000");
  for (uint32_t shared : {(48u << 10) + 1, UINT32_MAX})
    EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE,
                      emulatorModule([&](moe::emu::ModuleT &module) { module.kernels[0]->shared = shared; })),
              "module: kernel 'axpy': expected at most 49152 bytes of static shared memory, found " +
                  std::to_string(shared));
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE, emulatorModule([](moe::emu::ModuleT &module) {
                      module.kernels[1]->name = module.kernels[0]->name;
                    })),
            "module: two kernels are named 'axpy'");
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE, emulatorModule([](moe::emu::ModuleT &module) {
                      module.kernels[0]->params[0]->bytes = 4;
                    })),
            "module: kernel 'axpy': a parameter has 4 bytes");
  EXPECT_EQ(refused(CUDA_ERROR_INVALID_IMAGE,
                    emulatorModule([](moe::emu::ModuleT &module) { module.code.resize(64); }))
                .substr(0, 8),
            "module: ");
  // Every change of a byte is refused or harmless.
  std::vector<uint8_t> sound = emulatorModule();
  EmulatedGpu gpu;
  for (size_t i = 4; i < sound.size(); i += 7) {
    std::vector<uint8_t> spoilt = sound;
    spoilt[i] ^= uint8_t(1 + i % 255);
    CUmodule module = nullptr;
    if (gpu->moduleLoadData(&module, spoilt.data()) == CUDA_SUCCESS) {
      EXPECT_EQ(gpu->moduleUnload(module), CUDA_SUCCESS);
    }
  }
}

TEST(EmulatedModule, AttributesOfFunctions) {
  EmulatedGpu gpu;
  CUfunction function = nullptr;
  int value = 0;
  EXPECT_EQ(gpu->moduleGetFunction(&function, gpu.module, "nothing"), CUDA_ERROR_NOT_FOUND);
  function = gpu.function("pipeline");
  EXPECT_EQ(gpu->funcGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function), CUDA_SUCCESS);
  EXPECT_EQ(value, 256);
  EXPECT_EQ(gpu->funcGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function), CUDA_SUCCESS);
  EXPECT_EQ(value, 8192);
  EXPECT_EQ(
      gpu->funcSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (227 << 10) - 8192),
      CUDA_SUCCESS);
  EXPECT_EQ(
      gpu->funcSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (227 << 10) - 8191),
      CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(
      gpu.finding().find("expected at most 224256 bytes of dynamic shared memory on sm_90a, found 224257"),
      std::string::npos);
  function = gpu.function("dynamic");
  CUdeviceptr x = gpu.put(numbers(64));
  auto launch = [&] { return gpu.launchIn(gpu.stream, "dynamic", {1, 1, 1}, {64, 1, 1}, 60 << 10, x, 0); };
  EXPECT_EQ(launch(), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu->funcSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60 << 10),
            CUDA_SUCCESS);
  EXPECT_EQ(launch(), CUDA_SUCCESS);
  EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  // Less than what every function has counts as well.
  EXPECT_EQ(gpu->funcSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024),
            CUDA_SUCCESS);
  EXPECT_EQ(gpu->funcGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, function),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 1024);
  auto with = [&](unsigned shared) {
    return gpu.launchIn(gpu.stream, "dynamic", {1, 1, 1}, {64, 1, 1}, shared, x, 0);
  };
  EXPECT_EQ(with(1025), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with(UINT32_MAX), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with(1024), CUDA_SUCCESS);
  EXPECT_EQ(gpu->funcGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                  gpu.function("pipeline")),
            CUDA_SUCCESS);
  EXPECT_EQ(value, (227 << 10) - 8192);
  EXPECT_EQ(
      gpu->funcGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, gpu.function("reverse")),
      CUDA_SUCCESS);
  EXPECT_EQ(value, (48 << 10) - 1024);
}

} // namespace
} // namespace moert::test
