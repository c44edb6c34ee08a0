// Occupancy, against figures of NVIDIA's occupancy calculator.
#include "runtime/device/cuda/Occupancy.h"

#include <gtest/gtest.h>

namespace moert::cuda {
namespace {

TEST(Occupancy, IsLimitedByThreadsRegistersSharedMemoryAndBlocks) {
  const Multiprocessor hopper = *multiprocessorOf("sm_90a"), ampere = *multiprocessorOf("sm_80");
  EXPECT_FALSE(multiprocessorOf("sm_12"));
  EXPECT_EQ(residentBlocks(hopper, 256, 32, 0), 8u); // all threads
  EXPECT_EQ(occupancy(hopper, 8, 256), 1);
  EXPECT_EQ(residentBlocks(hopper, 256, 33, 0), 6u); // registers come in eights: 40 a thread
  EXPECT_EQ(residentBlocks(hopper, 256, 123, 8704), 2u);
  EXPECT_EQ(occupancy(hopper, 2, 256), 0.25);
  EXPECT_EQ(residentBlocks(hopper, 256, 128, 0), 2u);
  EXPECT_EQ(residentBlocks(hopper, 1024, 33, 0), 1u);
  EXPECT_EQ(residentBlocks(hopper, 1024, 65, 0), 0u);
  EXPECT_EQ(residentBlocks(hopper, 32, 32, 0), 32u); // blocks
  // Numbers that no kernel has, as a damaged program may.
  for (unsigned large : {1u << 16 | 1u, 1u << 27, 4294966272u, ~0u}) {
    EXPECT_EQ(residentBlocks(hopper, 256, large, 0), 0u);
    EXPECT_EQ(residentBlocks(hopper, 256, 32, large < (1u << 18) ? 1u << 18 : large), 0u);
    EXPECT_EQ(residentBlocks(hopper, large, 32, 0), 0u);
  }
  EXPECT_EQ(occupancy(hopper, 32, 32), 0.5);
  EXPECT_EQ(residentBlocks(hopper, 128, 32, 65536), 3u); // shared memory, with the driver's 1 KiB a block
  EXPECT_EQ(residentBlocks(ampere, 128, 32, 65536), 2u);
  EXPECT_EQ(residentBlocks(ampere, 128, 32, 163 * 1024), 1u);
  EXPECT_EQ(residentBlocks(ampere, 128, 32, 164 * 1024), 0u);
  EXPECT_EQ(residentBlocks(ampere, 100, 32, 0), 16u); // a warp is never shared
}

} // namespace
} // namespace moert::cuda
