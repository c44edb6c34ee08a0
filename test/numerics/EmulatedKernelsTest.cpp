// Kernels of a GPU as code for the emulator: what they compute on it, fast and checked, in several orders of
// execution; and that the checked form reports accesses as they are. The kernels are those of
// inputs/gpu-kernels.mlir.
#include "frontends/driver/Dialects.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "passes/cuda/code/GpuCode.h"
#include "runtime/emulator/module_generated.h"
#include "test/support/EmulatedGpu.h"
#include <cmath>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sstream>

using namespace moe;
using namespace moert::test;
using moert::cuda::CUDA_SUCCESS;

namespace {

/// A module of kernels as a section for the emulator. Empty after an error: `errors` has its text.
llvm::SmallVector<char, 0> compile(const std::string &text, std::string &errors) {
  mlir::DialectRegistry registry;
  registerProjectDialects(registry);
  mlir::MLIRContext context(registry);
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    errors += diagnostic.str() + "\n";
    return mlir::success();
  });
  auto module = mlir::parseSourceString<mlir::ModuleOp>(
      text, &context, MOE_SOURCE_DIR "/test/numerics/inputs/gpu-kernels.mlir");
  std::string error;
  if (!module)
    return {};
  auto made = cuda::compileForEmulator(*module, *cuda::architectureOf("sm_90a"),
                                       *host::cpuTarget("cpu:x86-64-v3", error));
  return mlir::succeeded(made) ? *made : llvm::SmallVector<char, 0>();
}

/// The module, compiled once.
const llvm::SmallVector<char, 0> &section() {
  static const llvm::SmallVector<char, 0> made = [] {
    std::stringstream text;
    text << std::ifstream(MOE_SOURCE_DIR "/test/numerics/inputs/gpu-kernels.mlir").rdbuf();
    std::string errors;
    auto made = compile(text.str(), errors);
    EXPECT_EQ(errors, "");
    return made;
  }();
  return made;
}

/// Each number is different, positive and not 1.
std::vector<float> distinct(size_t count) {
  std::vector<float> all;
  for (size_t i = 0; i < count; ++i)
    all.push_back(1.25f + 0.01f * float((i * 37) % count));
  return all;
}

/// The sum that a butterfly of a warp's lanes gives.
float warpSum(const float *values) {
  std::vector<float> now(values, values + 32);
  for (int offset = 1; offset < 32; offset *= 2) {
    std::vector<float> next(32);
    for (int lane = 0; lane < 32; ++lane)
      next[lane] = now[lane] + now[lane ^ offset];
    now = next;
  }
  return now[0];
}

class EmulatedKernels : public testing::TestWithParam<Modes> {
protected:
  void SetUp() override { ASSERT_FALSE(section().empty()); }
  /// Launches blocks of one dimension and waits.
  template <typename... Arguments>
  void launch(const char *kernel, unsigned blocks, unsigned threads, unsigned dynamic,
              Arguments... arguments) {
    ASSERT_EQ(gpu.launchIn(gpu.stream, kernel, {blocks, 1, 1}, {threads, 1, 1}, dynamic, arguments...),
              CUDA_SUCCESS)
        << gpu.finding();
    ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
    ASSERT_EQ(gpu.finding(), "");
  }
  EmulatedGpu gpu{GetParam(), section().data()};
};

INSTANTIATE_TEST_SUITE_P(Modes, EmulatedKernels,
                         testing::Values(Modes{}, Modes{{"SEED", "1"}, {"COPIES", "early"}}, kChecked,
                                         Modes{{"", "checked"}, {"SEED", "2"}}));

TEST_P(EmulatedKernels, elementwise) {
  const int64_t count = 1000; // no multiple of a block's elements
  std::vector<float> x = distinct(count);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(count, -1));
  launch("elementwise", 2, 128, 0, from, to, count, 0.5f);
  std::vector<float> y = gpu.get<float>(to, count);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], expected = std::sqrt(std::exp(0.5 * v) / std::log(v)) + 0.5 * v;
    ASSERT_NEAR(y[i], expected, 4e-6 * expected) << i;
  }
}

TEST_P(EmulatedKernels, sumOfWarps) {
  std::vector<float> x = distinct(64);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(64)), cell = gpu.put(std::vector<float>{3, 0});
  launch("warp_sum", 1, 64, 0, from, to, cell);
  std::vector<float> y = gpu.get<float>(to, 64);
  for (size_t i = 0; i < 64; ++i)
    ASSERT_EQ(y[i], warpSum(&x[i / 32 * 32]) * 3) << i;
}

TEST_P(EmulatedKernels, lanesOfWarps) {
  std::vector<int32_t> x(64);
  for (size_t i = 0; i < 64; ++i)
    x[i] = int32_t(i * i + i / 3);
  auto from = gpu.put(x), to = gpu.put(std::vector<int32_t>(256));
  launch("lanes", 1, 64, 0, from, to);
  std::vector<int32_t> y = gpu.get<int32_t>(to, 256);
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
  std::vector<float> x = distinct(512);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(2));
  launch("block_sum", 2, 256, 0, from, to);
  std::vector<float> y = gpu.get<float>(to, 2);
  for (size_t block = 0; block < 2; ++block) {
    float total = 0;
    for (size_t warp = 0; warp < 8; ++warp)
      total += warpSum(&x[block * 256 + warp * 32]);
    EXPECT_EQ(y[block], total) << block;
  }
}

TEST_P(EmulatedKernels, dynamicBehindStaticSharedMemory) {
  std::vector<float> x = distinct(64);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(64));
  launch("reverse", 1, 64, 64 * sizeof(float), from, to);
  std::vector<float> y = gpu.get<float>(to, 64);
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(y[i], 2 * x[63 - i]) << i;
}

TEST_P(EmulatedKernels, integerAtomics) {
  std::vector<int32_t> x(512), expected(16, 1);
  for (size_t i = 0; i < x.size(); ++i)
    expected[x[i] = int32_t((i * i) % 13)] += 1;
  auto from = gpu.put(x), to = gpu.put(std::vector<int32_t>(16, 1));
  launch("histogram", 4, 128, 0, from, to);
  EXPECT_EQ(gpu.get<int32_t>(to, 16), expected);
}

TEST_P(EmulatedKernels, asynchronousCopies) {
  std::vector<float> x = distinct(128);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(128));
  launch("copy", 1, 32, 0, from, to);
  EXPECT_EQ(gpu.get<float>(to, 128), x);
}

TEST_P(EmulatedKernels, productsOfTf32) {
  // Digits beyond the eleventh are rounded away, ties away from zero.
  auto rounded = [](float x) {
    uint32_t word;
    memcpy(&word, &x, 4);
    word = (word + 0x1000) & 0xffffe000;
    memcpy(&x, &word, 4);
    return x;
  };
  std::vector<float> a = distinct(128), b = distinct(64);
  a[5] = 1 + 0x1p-11f;
  a[6] = -1 - 0x1p-11f;
  auto left = gpu.put(a), right = gpu.put(b), to = gpu.put(std::vector<float>(128));
  launch("product", 1, 32, 0, left, right, to);
  std::vector<float> c = gpu.get<float>(to, 128);
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 8; ++column) {
      double sum = 0;
      for (size_t k = 0; k < 8; ++k)
        sum += double(rounded(a[row * 8 + k])) * rounded(b[k * 8 + column]);
      EXPECT_NEAR(c[row * 8 + column], sum, 1e-7 * sum) << row << " " << column;
    }
}

// The buffers have no more elements than the mask has.
TEST_P(EmulatedKernels, masksAndFusedProducts) {
  const int64_t count = 117;
  std::vector<float> x = distinct(count);
  auto from = gpu.put(x), to = gpu.put(std::vector<float>(count, -1));
  launch("masked", 1, 32, 0, from, to, count);
  std::vector<float> y = gpu.get<float>(to, count);
  for (size_t i = 0; i < x.size(); ++i) {
    const float square = x[i] * x[i];
    EXPECT_EQ(y[i], std::fma(x[i], x[i], x[i]) + square) << i;
  }
}

// What the checked form reports.

TEST(EmulatedAccesses, haveSizeAddressAndLine) {
  ASSERT_FALSE(section().empty());
  EmulatedGpu gpu(kChecked, section().data());
  // Four bytes are missing of the last 16 that are written.
  auto from = gpu.put(distinct(128)), to = gpu.put(std::vector<float>(127));
  EXPECT_NE(gpu.run("copy", 1, 32, from, to), CUDA_SUCCESS);
  EXPECT_NE(gpu.finding().find("kernel 'copy', op 'relu body.act' at model.mlir:7"), std::string::npos)
      << gpu.finding();
  EXPECT_NE(gpu.finding().find("writes 16 bytes of global memory"), std::string::npos) << gpu.finding();
}

TEST(EmulatedAccesses, areAlignedAsTheGpuWantsThem) {
  ASSERT_FALSE(section().empty());
  {
    // Single elements need no more than their own alignment.
    EmulatedGpu gpu(kChecked, section().data());
    auto from = gpu.put(distinct(129)), to = gpu.put(std::vector<float>(128));
    EXPECT_EQ(gpu.run("masked", 1, 32, from + 4, to, int64_t(128)), CUDA_SUCCESS) << gpu.finding();
  }
  EmulatedGpu gpu(kChecked, section().data());
  auto from = gpu.put(distinct(129)), to = gpu.put(std::vector<float>(128));
  EXPECT_NE(gpu.run("elementwise", 1, 32, from + 4, to, int64_t(128), 0.5f), CUDA_SUCCESS);
  EXPECT_NE(gpu.finding().find("kernel 'elementwise'"), std::string::npos) << gpu.finding();
  EXPECT_NE(gpu.finding().find("an address that is no multiple of 16"), std::string::npos) << gpu.finding();
}

TEST(EmulatedAccesses, ofSharedMemoryAreItsOwn) {
  ASSERT_FALSE(section().empty());
  EmulatedGpu gpu(kChecked, section().data());
  // Dynamic shared memory of half the size.
  auto from = gpu.put(distinct(64)), to = gpu.put(std::vector<float>(64));
  auto result = gpu.launchIn(gpu.stream, "reverse", {1, 1, 1}, {64, 1, 1}, 128, from, to);
  EXPECT_EQ(result, CUDA_SUCCESS);
  EXPECT_NE(gpu.synchronize(), CUDA_SUCCESS);
  EXPECT_NE(gpu.finding().find("of the block's 384 bytes of shared memory"), std::string::npos)
      << gpu.finding();
}

TEST(EmulatedModule, refusesWhatTheEmulatorLacks) {
  const std::pair<const char *, const char *> cases[] = {
      {"%r = nvvm.redux.sync add %v, %m : i32 -> i32\n llvm.store %r, %x : i32, !llvm.ptr<1>",
       "'nvvm.redux.sync'"},
      {R"(llvm.inline_asm has_side_effects "trap;", "" : () -> ())", "'llvm.inline_asm'"},
      {"%r = llvm.atomicrmw max %x, %v monotonic : !llvm.ptr<1>, i32", "an atomic op that is no sum of i32"},
      {"%f = arith.constant 1.0 : f32\n %r = llvm.atomicrmw fadd %x, %f monotonic : !llvm.ptr<1>, f32",
       "an atomic op that is no sum of i32"},
      {"%one = arith.constant 1 : i32\n nvvm.barrier id = %one", "a barrier of a part of the block"},
      {"nvvm.cluster.arrive", "'nvvm.cluster.arrive'"}};
  for (auto [body, words] : cases) {
    std::string errors;
    EXPECT_TRUE(compile(std::string(R"(gpu.module @kernels {
      gpu.func @lacking(%x: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
        %m = arith.constant -1 : i32
        %v = llvm.load %x : !llvm.ptr<1> -> i32
        )") + body + "\n gpu.return\n } }",
                        errors)
                    .empty());
    EXPECT_NE(
        errors.find(std::string("expected an op that the emulator supports in kernel 'lacking', found ") +
                    words),
        std::string::npos)
        << errors;
  }
}

TEST(EmulatedModule, statesKernelsAndHost) {
  ASSERT_FALSE(section().empty());
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(section().data()), section().size());
  ASSERT_TRUE(emu::VerifySizePrefixedModuleBuffer(verifier));
  const emu::Module &module = *emu::GetSizePrefixedModule(section().data());
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

} // namespace
