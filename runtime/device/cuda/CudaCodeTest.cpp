// The sections of programs that have a file for each kernel. The driver is the emulated one, and so the files are the
// emulator's.
#include "runtime/device/cuda/CudaCode.h"
#include "runtime/program/cubins_generated.h"
#include "test/support/EmulatedGpu.h"
#include "test/support/EmulatorModule.h"

#include <gtest/gtest.h>

namespace moert::test {
namespace {

/// A section with a kernel of each name.
std::vector<uint8_t> section(const std::vector<const char *> &names, const std::vector<uint8_t> &code) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<moe::cubins::Kernel>> kernels;
  for (const char *name : names) {
    builder.ForceVectorAlignment(code.size(), 1, 16);
    auto bytes = builder.CreateVector(code);
    kernels.push_back(moe::cubins::CreateKernel(
        builder, builder.CreateString(name), 256, 32, 0, 0, 0, 0, bytes,
        builder.CreateVector(std::vector<flatbuffers::Offset<moe::cubins::Param>>())));
  }
  auto architecture = builder.CreateString("sm_90a"), assembler = builder.CreateString("none 1.0");
  moe::cubins::FinishSizePrefixedModuleBuffer(
      builder, moe::cubins::CreateModule(builder, architecture, assembler, builder.CreateVector(kernels)));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

class CudaCode : public testing::Test {
protected:
  Result<std::shared_ptr<Module>> load(std::span<const uint8_t> section,
                                       fb::TargetKind kind = fb::TargetKind::cuda) {
    return Module::load(*openDriver(MOERT_EMULATOR), kind, section);
  }
  EmulatedGpu gpu;
};

TEST_F(CudaCode, FindsEachKernelInItsOwnFile) {
  const std::vector<uint8_t> bytes = section({"axpy", "warp_sum"}, emulatorModule());
  auto module = load(bytes);
  ASSERT_TRUE(module.ok()) << module.status().message();
  Result<CUfunction> axpy = (*module)->function("axpy"), sum = (*module)->function("warp_sum");
  ASSERT_TRUE(axpy.ok() && sum.ok());
  CUdeviceptr x = gpu.put(numbers(100)), y = gpu.put(std::vector<float>(100, 1));
  int count = 100;
  float factor = 2;
  void *arguments[] = {&x, &y, &count, &factor};
  ASSERT_EQ(gpu->launchKernel(*axpy, 1, 1, 1, 128, 1, 1, 0, gpu.stream, arguments, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(gpu.synchronize(), CUDA_SUCCESS) << gpu.finding();
  EXPECT_EQ(gpu.get<float>(y, 100)[7], 15);
  // The file has it, but the section does not say so.
  Result<CUfunction> other = (*module)->function("reverse");
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.status().message().find("expected code of the kernel 'reverse', found none"),
            std::string::npos);
}

TEST_F(CudaCode, RefusesWhatIsNotWhole) {
  const std::vector<uint8_t> bytes = section({"axpy"}, emulatorModule());
  ASSERT_TRUE(load(bytes).ok());
  for (size_t length : {size_t(0), size_t(3), size_t(4), size_t(60), bytes.size() / 2, bytes.size() - 1}) {
    const std::vector<uint8_t> part(bytes.begin(), bytes.begin() + ptrdiff_t(length));
    auto module = load(part);
    ASSERT_FALSE(module.ok()) << length;
    EXPECT_EQ(module.status().code(), Code::invalid_input) << module.status().message();
  }
  for (const std::vector<uint8_t> &wrong :
       {section({"axpy", "axpy"}, emulatorModule()), section({"axpy"}, {}),
        section({"axpy"}, std::vector<uint8_t>(64))}) {
    auto module = load(wrong);
    ASSERT_FALSE(module.ok());
    EXPECT_EQ(module.status().code(), Code::invalid_input) << module.status().message();
  }
}

// The assembler that made a file may be of a newer CUDA than the driver is.
TEST_F(CudaCode, NamesTheAssemblerOfAFileThatTheDriverDoesNotTake) {
  auto module = load(section({"axpy"}, std::vector<uint8_t>(64)));
  ASSERT_FALSE(module.ok());
  EXPECT_NE(module.status().message().find(
                "; the code was made by none 1.0, and the driver is one for CUDA 13.0: if "
                "that is older, install a newer NVIDIA driver"),
            std::string::npos)
      << module.status().message();
}

// Whatever byte of a section is changed, it is refused or loaded, and no more of it is read than there is.
TEST_F(CudaCode, SurvivesDamage) {
  const std::vector<uint8_t> sound = section({"axpy", "warp_sum"}, emulatorModule());
  int refused = 0, loaded = 0;
  // The table is in front and behind; the files of the two kernels are changed in fewer places.
  for (size_t at = 0; at < sound.size(); at += at < 256 || at + 512 > sound.size() ? 1 : 211)
    for (uint8_t value : {0x00, 0x01, 0x7f, 0xff}) {
      // A copy of its own size, so that sanitizers see a read beyond it.
      std::vector<uint8_t> bytes(sound);
      if (bytes[at] == value)
        continue;
      bytes[at] = value;
      auto module = load(bytes);
      ++(module.ok() ? loaded : refused);
      if (module.ok())
        (void)(*module)->function("axpy");
    }
  EXPECT_GT(refused, 100);
  EXPECT_GT(loaded, 10);
}

// The emulator is given an address alone, as NVIDIA's driver is: it must not read beyond the section.
TEST_F(CudaCode, RefusesAModuleThatSaysItIsLongerThanItsSection) {
  const std::vector<uint8_t> bytes = emulatorModule();
  ASSERT_TRUE(load(bytes, fb::TargetKind::emulator).ok());
  for (size_t length : {size_t(0), size_t(3), size_t(4), size_t(60), bytes.size() - 1}) {
    auto module = load(std::span(bytes).first(length), fb::TargetKind::emulator);
    ASSERT_FALSE(module.ok()) << length;
    EXPECT_NE(module.status().message().find("expected a module of the emulator in"), std::string::npos)
        << module.status().message();
  }
}

} // namespace
} // namespace moert::test
