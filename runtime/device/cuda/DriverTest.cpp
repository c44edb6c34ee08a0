// What is said where the driver cannot be used: there is none, it is too old, it has no GPU. The drivers are small libraries of
// the tests' own (test/support/FakeDriver.cpp).
#include "runtime/device/cuda/Driver.h"

#include <gtest/gtest.h>

namespace moert::cuda {
namespace {

std::string messageOf(const std::string &name) {
  auto driver = openDriver(name);
  return driver.ok() ? "opened" : driver.status().message();
}

std::string fake(const char *name) {
  return std::string(MOERT_FAKE_DRIVERS) + "/libfake-driver-" + name + ".so";
}

TEST(Driver, ThereIsNone) {
  std::string message = messageOf("libnot-a-driver.so.1");
  EXPECT_TRUE(message.starts_with("expected a CUDA driver, found none: libnot-a-driver.so.1: cannot open"))
      << message;
  EXPECT_TRUE(message.ends_with("; without a GPU, run with --device cpu")) << message;
  EXPECT_EQ(openDriver("libnot-a-driver.so.1").status().exitCode(), 1);
}

TEST(Driver, IsTooOld) {
  EXPECT_EQ(messageOf(fake("old")), "expected a driver for CUDA 12.0 or later, found one for CUDA 11.4 (" +
                                        fake("old") +
                                        "); install a newer NVIDIA driver, or run with --device cpu");
  EXPECT_EQ(messageOf(fake("lacking")),
            "expected a CUDA driver with the function cuGraphInstantiateWithFlags, found none in " +
                fake("lacking") + "; install a newer NVIDIA driver, or run with --device cpu");
}

TEST(Driver, SeesNoDevice) {
  std::string message =
      "expected a GPU, found none (" + fake("blind") +
      " sees no device; is one hidden by CUDA_VISIBLE_DEVICES?); without a GPU, run with --device cpu";
  EXPECT_EQ(messageOf(fake("blind")), message);
}

TEST(Driver, IsTheToolkitsStub) {
  std::string message = messageOf(fake("stub"));
  EXPECT_NE(message.find("found the toolkit's stub of one"), std::string::npos) << message;
}

TEST(Driver, Opens) {
  auto driver = openDriver(fake("sound"));
  ASSERT_TRUE(driver.ok()) << driver.status().message();
  EXPECT_EQ((*driver)->version, 13000);
  EXPECT_EQ((*driver)->devices, 2);
  EXPECT_FALSE((*driver)->isEmulator());
  EXPECT_EQ((*driver)->words(CUDA_ERROR_OUT_OF_MEMORY), "CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
  EXPECT_EQ((*driver)->words(CUresult(12345)), "error 12345");
  EXPECT_TRUE((*driver)->check(CUDA_SUCCESS, "cuInit").ok());
  EXPECT_EQ((*driver)->check(CUDA_ERROR_OUT_OF_MEMORY, "cuMemAlloc of 12 bytes").message(),
            "cuMemAlloc of 12 bytes failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
}

} // namespace
} // namespace moert::cuda
