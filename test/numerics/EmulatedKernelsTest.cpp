// Kernels of a GPU as code for the emulator: what they compute, in both forms, and what the checked form reports.
// The kernels are those of inputs/gpu-kernels.mlir.
#include "frontends/driver/Dialects.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "passes/cuda/code/GpuCode.h"
#include "test/numerics/ThreadedGpu.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <map>

using namespace moe;
using namespace moe::test;

namespace {

/// The module, compiled once.
ThreadedGpu &gpu() {
  static llvm::SmallVector<char, 0> section = [] {
    mlir::DialectRegistry registry;
    registerProjectDialects(registry);
    mlir::MLIRContext context(registry);
    auto module = mlir::parseSourceFile<mlir::ModuleOp>(
        MOE_SOURCE_DIR "/test/numerics/inputs/gpu-kernels.mlir", &context);
    std::string error;
    auto made = cuda::compileForEmulator(*module, *cuda::architectureOf("sm_90a"),
                                         *host::cpuTarget("cpu:x86-64-v3", error));
    return mlir::succeeded(made) ? *made : llvm::SmallVector<char, 0>();
  }();
  static ThreadedGpu made(section);
  return made;
}

uint64_t address(const void *memory) { return uint64_t(reinterpret_cast<uintptr_t>(memory)); }
uint64_t bits(float value) {
  uint32_t word;
  memcpy(&word, &value, 4);
  return word;
}

class EmulatedKernels : public testing::TestWithParam<bool> {
protected:
  void SetUp() override { ASSERT_TRUE(gpu().isLoaded()); }
  std::vector<Access> launch(const std::string &kernel, uint32_t blocks, uint32_t threads,
                             const std::vector<uint64_t> &arguments, uint32_t dynamic = 0) {
    std::vector<Access> accesses = gpu().launch(kernel, GetParam(), blocks, threads, arguments, dynamic);
    EXPECT_EQ(accesses.empty(), !GetParam()) << "the checked form alone reports";
    return accesses;
  }
  /// Each number is different, positive and not 1.
  static std::vector<float> numbers(size_t count) {
    std::vector<float> all;
    for (size_t i = 0; i < count; ++i)
      all.push_back(1.25f + 0.01f * float((i * 37) % count));
    return all;
  }
  /// The sum that a butterfly of a warp's lanes gives.
  static float warpSum(const float *values) {
    std::vector<float> now(values, values + 32);
    for (int offset = 1; offset < 32; offset *= 2) {
      std::vector<float> next(32);
      for (int lane = 0; lane < 32; ++lane)
        next[lane] = now[lane] + now[lane ^ offset];
      now = next;
    }
    return now[0];
  }
};

TEST_P(EmulatedKernels, elementwise) {
  const size_t count = 1000; // no multiple of a block's elements
  std::vector<float> x = numbers(count), y(count + 8, -1);
  launch("elementwise", 2, 128, {address(x.data()), address(y.data()), count, bits(0.5f)});
  for (size_t i = 0; i < count; ++i) {
    const double v = x[i], expected = std::sqrt(std::exp(0.5 * v) / std::log(v)) + 0.5 * v;
    ASSERT_NEAR(y[i], expected, 4e-6 * expected) << i;
  }
  for (size_t i = count; i < y.size(); ++i)
    EXPECT_EQ(y[i], -1) << i;
}

TEST_P(EmulatedKernels, sumOfWarps) {
  std::vector<float> x = numbers(64), y(64);
  const float factor[2] = {3, 0}; // a cell has eight bytes
  launch("warp_sum", 1, 64, {address(x.data()), address(y.data()), address(factor)});
  for (size_t i = 0; i < 64; ++i)
    ASSERT_EQ(y[i], warpSum(&x[i / 32 * 32]) * 3) << i;
}

TEST_P(EmulatedKernels, lanesOfWarps) {
  std::vector<int32_t> x(64);
  for (size_t i = 0; i < 64; ++i)
    x[i] = int32_t(i * i + i / 3);
  std::vector<int32_t> y(256);
  launch("lanes", 1, 64, {address(x.data()), address(y.data())});
  for (size_t i = 0; i < 64; ++i) {
    const size_t lane = i % 32, first = i - lane;
    uint32_t odd = 0;
    for (size_t other = 0; other < 32; ++other)
      odd |= uint32_t(x[first + other] & 1) << other;
    EXPECT_EQ(y[4 * i], lane >= 3 ? x[i - 3] : 0) << i;
    EXPECT_EQ(y[4 * i + 1], lane < 31 ? x[i + 1] : 0) << i;
    EXPECT_EQ(y[4 * i + 2], x[first + 3]) << i;
    EXPECT_EQ(uint32_t(y[4 * i + 3]), odd) << i;
  }
}

TEST_P(EmulatedKernels, sumOfBlocks) {
  std::vector<float> x = numbers(512), y(2);
  launch("block_sum", 2, 256, {address(x.data()), address(y.data())});
  for (size_t block = 0; block < 2; ++block) {
    float total = 0;
    for (size_t warp = 0; warp < 8; ++warp)
      total += warpSum(&x[block * 256 + warp * 32]);
    EXPECT_EQ(y[block], total) << block;
  }
}

TEST_P(EmulatedKernels, dynamicBehindStaticSharedMemory) {
  std::vector<float> x = numbers(64), y(64);
  launch("reverse", 1, 64, {address(x.data()), address(y.data())}, 64 * sizeof(float));
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(y[i], 2 * x[63 - i]) << i;
}

TEST_P(EmulatedKernels, integerAtomics) {
  std::vector<int32_t> x(512), y(16, 1), expected(16, 1);
  for (size_t i = 0; i < x.size(); ++i)
    expected[x[i] = int32_t((i * i) % 13)] += 1;
  launch("histogram", 4, 128, {address(x.data()), address(y.data())});
  EXPECT_EQ(y, expected);
}

TEST_P(EmulatedKernels, asynchronousCopies) {
  std::vector<float> x = numbers(128), y(128);
  launch("copy", 1, 32, {address(x.data()), address(y.data())});
  EXPECT_EQ(x, y);
}

TEST_P(EmulatedKernels, productsOfTf32) {
  // Digits beyond the eleventh are rounded away, ties away from zero.
  auto rounded = [](float x) {
    uint32_t word = uint32_t(bits(x)) + 0x1000 & 0xffffe000;
    memcpy(&x, &word, 4);
    return x;
  };
  std::vector<float> a = numbers(128), b = numbers(64), c(128);
  a[5] = 1 + 0x1p-11f;
  a[6] = -1 - 0x1p-11f;
  launch("product", 1, 32, {address(a.data()), address(b.data()), address(c.data())});
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 8; ++column) {
      double sum = 0;
      for (size_t k = 0; k < 8; ++k)
        sum += double(rounded(a[row * 8 + k])) * rounded(b[k * 8 + column]);
      EXPECT_NEAR(c[row * 8 + column], sum, 1e-6 * sum) << row << " " << column;
    }
}

TEST_P(EmulatedKernels, masksAndFusedProducts) {
  const size_t count = 117;
  std::vector<float> x = numbers(128), y(128, -1);
  std::vector<Access> accesses = launch("masked", 1, 32, {address(x.data()), address(y.data()), count});
  for (size_t i = 0; i < 128; ++i) {
    const float square = x[i] * x[i];
    EXPECT_EQ(y[i], i < count ? std::fma(x[i], x[i], x[i]) + square : -1) << i;
  }
  EXPECT_EQ(accesses.size(), GetParam() ? 2 * count : 0);
}

INSTANTIATE_TEST_SUITE_P(Forms, EmulatedKernels, testing::Bool(),
                         [](auto &info) { return info.param ? "checked" : "fast"; });

TEST(EmulatedModule, statesKernelsAndHost) {
  ASSERT_TRUE(gpu().isLoaded());
  const emu::Module &module = gpu().module();
  EXPECT_EQ(module.architecture()->str(), "sm_90a");
  EXPECT_EQ(module.host()->str(), "x86-64-v3");
  EXPECT_GT(module.features()->size(), 5u);
  std::map<std::string, const emu::Kernel *> kernels;
  for (const emu::Kernel *kernel : *module.kernels())
    kernels[kernel->name()->str()] = kernel;
  ASSERT_TRUE(kernels.count("elementwise") && kernels.count("reverse") && kernels.count("histogram"));
  const emu::Kernel &elementwise = *kernels["elementwise"];
  EXPECT_EQ(elementwise.threads(), 128u);
  EXPECT_EQ(elementwise.shared(), 0u);
  ASSERT_EQ(elementwise.params()->size(), 4u);
  EXPECT_EQ(elementwise.params()->Get(0)->kind(), emu::ParamKind::pointer);
  EXPECT_EQ(elementwise.params()->Get(2)->kind(), emu::ParamKind::scalar);
  EXPECT_EQ(elementwise.params()->Get(2)->bytes(), 8u);
  EXPECT_EQ(elementwise.params()->Get(3)->bytes(), 4u);
  EXPECT_EQ(kernels["reverse"]->shared(), 256u);
  EXPECT_EQ(kernels["histogram"]->shared(), 64u);
}

TEST(EmulatedModule, reportsAccessesWithTheirLines) {
  ASSERT_TRUE(gpu().isLoaded());
  alignas(16) float x[128] = {}, y[128] = {};
  std::vector<Access> accesses = gpu().launch("copy", true, 1, 32, {address(x), address(y)});
  size_t loads = 0, stores = 0;
  for (const Access &access : accesses) {
    EXPECT_EQ(access.bytes, 16u);
    ASSERT_LT(access.site, gpu().module().sites()->size());
    const emu::Site &site = *gpu().module().sites()->Get(access.site);
    EXPECT_TRUE(site.file()->str().ends_with("gpu-kernels.mlir")) << site.file()->str();
    EXPECT_GT(site.line(), 0u);
    if (access.flags == emu::kSharedMemory) {
      ++loads;
    } else if (access.flags == emu::kWrite) {
      const size_t offset = size_t(static_cast<const char *>(access.address) - reinterpret_cast<char *>(y));
      EXPECT_LT(offset, sizeof y);
      ++stores;
    }
  }
  EXPECT_EQ(loads, 32u);
  EXPECT_EQ(stores, 32u);
}

} // namespace
