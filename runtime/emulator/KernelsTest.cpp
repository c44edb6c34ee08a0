// Kernels on the emulator: indices, arguments, shared memory, barriers, and what the lanes of a warp do together, in each mode and
// under several seeds.
#include "test/support/EmulatedGpu.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace moert::test {
namespace {

class Kernels : public testing::TestWithParam<Modes> {
protected:
  EmulatedGpu gpu{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Modes, Kernels,
                         testing::Values(Modes{}, Modes{{"SEED", "1"}},
                                         Modes{{"SEED", "2"}, {"COPIES", "early"}},
                                         Modes{{"THREADS", "5"}, {"SEED", "3"}}, kChecked,
                                         Modes{{"", "checked"}, {"SEED", "4"}},
                                         Modes{{"", "checked"}, {"COPIES", "early"}}));

TEST_P(Kernels, Elementwise) {
  constexpr int count = 1000;
  CUdeviceptr x = gpu.put(numbers(count)), y = gpu.put(std::vector<float>(count, 1));
  ASSERT_EQ(gpu.run("axpy", 4, 256, x, y, count, 2.0f), CUDA_SUCCESS) << gpu.finding();
  std::vector<float> found = gpu.get<float>(y, count);
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(found[i], 2 * float(i) + 1);
}

TEST_P(Kernels, IndicesAndGrids) {
  CUdeviceptr out = gpu.put(std::vector<uint64_t>(2 * 3 * 4 * 120));
  ASSERT_EQ(gpu.launchIn(gpu.stream, "indices", {2, 3, 4}, {5, 4, 6}, 0, out, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  std::vector<uint64_t> found = gpu.get<uint64_t>(out, 24 * 120);
  for (uint64_t block = 0; block < 24; ++block)
    for (uint64_t thread = 0; thread < 120; ++thread)
      ASSERT_EQ(found[block * 120 + thread], block << 32 | thread / 32 << 16 | thread % 32);
}

TEST_P(Kernels, ArgumentsOfEachSize) {
  CUdeviceptr out = gpu.put(std::vector<uint64_t>(6));
  ASSERT_EQ(gpu.run("mixed", 1, 1, uint8_t(1), uint16_t(0x202), uint8_t(3), 0x40000004u, uint8_t(5), out,
                    uint64_t(6) << 60),
            CUDA_SUCCESS)
      << gpu.finding();
  EXPECT_EQ(gpu.get<uint64_t>(out, 6),
            (std::vector<uint64_t>{1, 0x202, 3, 0x40000004u, 5, uint64_t(6) << 60}));
}

TEST_P(Kernels, Barriers) {
  constexpr unsigned blocks = 33, threads = 256;
  CUdeviceptr x = gpu.put(numbers(blocks * threads)), y = gpu.put(std::vector<float>(blocks));
  ASSERT_EQ(gpu.run("block_sum", blocks, threads, x, y, 0), CUDA_SUCCESS) << gpu.finding();
  ASSERT_EQ(gpu.run("reverse", blocks, threads, x, 0), CUDA_SUCCESS) << gpu.finding();
  std::vector<float> sums = gpu.get<float>(y, blocks), reversed = gpu.get<float>(x, blocks * threads);
  for (unsigned b = 0; b < blocks; ++b) {
    EXPECT_EQ(sums[b], float(threads * (threads - 1) / 2 + b * threads * threads));
    for (unsigned i = 0; i < threads; ++i)
      ASSERT_EQ(reversed[b * threads + i], float(b * threads + threads - 1 - i));
  }
}

TEST_P(Kernels, WarpsAndPartsOfThem) {
  CUdeviceptr x = gpu.put(numbers(256)), y = gpu.put(std::vector<float>(256));
  ASSERT_EQ(gpu.run("warp_sum", 2, 128, x, y, 0), CUDA_SUCCESS) << gpu.finding();
  for (float warp = 0; float sum : gpu.get<float>(y, 8))
    EXPECT_EQ(sum, 496 + 1024 * warp++);
  for (int how : {0, 4}) {
    ASSERT_EQ(gpu.run("exchange", 2, 128, x, y, how), CUDA_SUCCESS) << gpu.finding();
    std::vector<float> found = gpu.get<float>(y, 256);
    for (int i = 0; i < 256; ++i)
      EXPECT_EQ(found[i], float(i ^ 1));
  }
  ASSERT_EQ(gpu.run("meet", 1, 128, gpu.put(std::vector<float>(128)), 4), CUDA_SUCCESS) << gpu.finding();
  CUdeviceptr votes = gpu.put(std::vector<uint32_t>(5 * 32));
  ASSERT_EQ(gpu.run("ballots", 1, 32, votes, 0), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<uint32_t>(votes, 5),
            (std::vector<uint32_t>{0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000}));
}

// By the text of PTX's shfl.sync, for all lanes, offsets and segments.
TEST_P(Kernels, Shuffles) {
  enum { bfly, up, down, idx };
  for (int kind : {bfly, up, down, idx})
    for (int width : {4, 16, 32})
      for (int offset : {0, 1, 2, 5, 16, 31}) {
        CUdeviceptr out = gpu.put(std::vector<uint32_t>(64));
        const uint32_t clamp = uint32_t(32 - width) << 8 | (kind == up ? 0u : 31u);
        ASSERT_EQ(gpu.run("shuffles", 1, 32, out, ~0u, uint32_t(offset), clamp, uint32_t(kind)), CUDA_SUCCESS)
            << gpu.finding();
        std::vector<uint32_t> found = gpu.get<uint32_t>(out, 64);
        for (int lane = 0; lane < 32; ++lane) {
          const int first = lane / width * width, last = first + width - 1;
          int from = kind == bfly   ? lane ^ offset
                     : kind == up   ? lane - offset
                     : kind == down ? lane + offset
                                    : first + offset % width;
          const bool inRange = kind == up ? from >= first : from <= last;
          from = inRange ? from : lane;
          ASSERT_EQ(found[2 * lane], 100u + unsigned(from))
              << kind << " " << width << " " << offset << " " << lane;
          ASSERT_EQ(found[2 * lane + 1], unsigned(inRange))
              << kind << " " << width << " " << offset << " " << lane;
        }
      }
}

TEST_P(Kernels, AsynchronousCopies) {
  constexpr unsigned threads = 64, count = 3 * threads * 8;
  CUdeviceptr x = gpu.put(numbers(count)), y = gpu.put(std::vector<float>(count));
  ASSERT_EQ(gpu.run("pipeline", 3, threads, x, y, 0), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<float>(y, count), numbers(count));
}

TEST_P(Kernels, AtomicCounters) {
  CUdeviceptr counter = gpu.put(std::vector<uint32_t>{7});
  ASSERT_EQ(gpu.run("count", 40, 100, counter, 0), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<uint32_t>(counter, 1)[0], 4007u);
}

TEST_P(Kernels, TensorCores) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> a(128), b(64), c(128);
  for (std::vector<float> *values : {&a, &b, &c})
    for (float &value : *values)
      value = normal(random);
  CUdeviceptr d = gpu.put(std::vector<float>(128));
  ASSERT_EQ(gpu.run("mma", 1, 32, gpu.put(a), gpu.put(b), gpu.put(c), d), CUDA_SUCCESS) << gpu.finding();
  auto tf32 = [](float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits &= 0xFFFFE000u;
    memcpy(&value, &bits, 4);
    return double(value);
  };
  std::vector<float> found = gpu.get<float>(d, 128);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      double sum = c[row * 8 + column];
      for (int k = 0; k < 8; ++k)
        sum += tf32(a[row * 8 + k]) * tf32(b[k * 8 + column]);
      EXPECT_EQ(found[row * 8 + column], float(sum));
    }
}

TEST_P(Kernels, VectorsAndDynamicSharedMemory) {
  CUdeviceptr x = gpu.put(numbers(256)), y = gpu.put(std::vector<float>(256));
  ASSERT_EQ(gpu.run("vector_copy", 2, 32, x, y, 0), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<float>(y, 256), numbers(256));
  ASSERT_EQ(gpu.launchIn(gpu.stream, "dynamic", {2, 1, 1}, {100, 1, 1}, 400, y, 0), CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<float>(y, 200), std::vector<float>(200, 1));
}

TEST_P(Kernels, Products) {
  constexpr int size = 128;
  std::vector<float> a(size * size), b(size * size);
  for (int i = 0; i < size * size; ++i) {
    a[i] = float(i % 7 - 3);
    b[i] = float(i % 11 - 5);
  }
  CUdeviceptr c = gpu.allocate(size * size * 4);
  CUdeviceptr left = gpu.put(a), right = gpu.put(b);
  ASSERT_EQ(gpu.launchIn(gpu.stream, "product", {2, 2, 1}, {256, 1, 1}, 0, left, right, c, size),
            CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  std::vector<float> found = gpu.get<float>(c, size * size);
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) {
      float sum = 0;
      for (int k = 0; k < size; ++k)
        sum += a[row * size + k] * b[k * size + column];
      ASSERT_EQ(found[row * size + column], sum);
    }
}

// Prints how fast the emulator is: cuda-tests --gtest_also_run_disabled_tests --gtest_filter='*Speed*'
TEST(EmulatorSpeed, DISABLED_OfKernels) {
  using Clock = std::chrono::steady_clock;
  for (const Modes &modes : {Modes{}, kChecked}) {
    EmulatedGpu gpu(modes);
    auto seconds = [&](auto launch) {
      EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS);
      auto begin = Clock::now();
      EXPECT_EQ(launch(), CUDA_SUCCESS);
      EXPECT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
      return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    const char *mode = modes.empty() ? "fast" : "checked";
    constexpr int size = 512;
    CUdeviceptr a = gpu.put(numbers(size * size)), b = gpu.put(numbers(size * size)),
                c = gpu.put(numbers(size * size));
    double time = seconds([&] {
      return gpu.launchIn(gpu.stream, "product", {size / 64, size / 64, 1}, {256, 1, 1}, 0, a, b, c, size);
    });
    printf("%s: product %.3f GFLOP/s\n", mode, 2e-9 * size * size * size / time);
    time = seconds([&] { return gpu.launch("axpy", size * size / 256, 256, a, b, size * size, 1.0f); });
    printf("%s: axpy %.1f M threads/s\n", mode, 1e-6 * size * size / time);
    time = seconds([&] { return gpu.launch("warp_sum", size * size / 256, 256, a, c, 0); });
    printf("%s: warp_sum %.1f M threads/s\n", mode, 1e-6 * size * size / time);
    time = seconds([&] { return gpu.launch("block_sum", size * size / 256, 256, a, c, 0); });
    printf("%s: block_sum %.1f M threads/s\n", mode, 1e-6 * size * size / time);
    time = seconds([&] {
      for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(gpu.launch("axpy", 1, 32, a, b, 32, 1.0f), CUDA_SUCCESS);
      return CUDA_SUCCESS;
    });
    printf("%s: %.1f us a small launch\n", mode, time * 1e3);
  }
}

} // namespace
} // namespace moert::test
