// How many rows an expert takes, the smallest factor with which it takes one, and which batches a session refuses.
#include "runtime/program/Capacity.h"
#include "runtime/session/Session.h"
#include "test/support/TestProgram.h"

#include <gtest/gtest.h>

namespace moert::test {
namespace {

TEST(Capacity, IsComputedInDouble) {
  // GMoE-S/16 with 96 images of 197 tokens: 3152 rows an expert, of which 1.5 times as many fit.
  EXPECT_EQ(expertCapacity(96 * 197, 6, 1, 1.5, 1), 4728);
  EXPECT_EQ(expertCapacity(96 * 197, 6, 2, 1.5, 1), 9456);
  EXPECT_EQ(expertCapacity(96 * 197, 6, 1, -1.5, 1), 4728);
  EXPECT_EQ(expertCapacity(96 * 197, 6, 1, 1.5, 128), 4736);
  EXPECT_EQ(expertCapacity(7, 3, 2, 0.7, 1), 4);      // 2 * floor(0.7 * 3)
  EXPECT_EQ(expertCapacity(100, 1, 1, 1.15, 1), 114); // 1.15 * 100 is 114.99999999999999
  EXPECT_EQ(expertCapacity(100, 1, 1, 0.29, 1), 28);  // and 0.29 * 100 is 28.999999999999996
  EXPECT_EQ(expertCapacity(10, 4, 3, 0.25, 8), 0);    // nothing is rounded up to nothing
  EXPECT_EQ(expertCapacity(10, 4, 1, 1e300, 128), INT32_MAX / 128 * 128);
}

TEST(Capacity, TheLeastFactorIsTheSmallest) {
  EXPECT_EQ(leastCapacityFactor(1, 6), 1);
  EXPECT_EQ(leastCapacityFactor(13, 6), 0.3333333333333333);
  EXPECT_GT(leastCapacityFactor(49, 1), 1.0 / 49); // 1.0 / 49 * 49 is 0.9999999999999999
  for (int64_t share = 1; share < 20000; share += share < 3000 ? 1 : 97)
    for (int64_t experts : {1, 6, 64}) {
      const double least = leastCapacityFactor(double(share * experts), experts);
      EXPECT_GE(expertCapacity(double(share * experts), experts, 1, least, 1), 1) << share;
      EXPECT_EQ(expertCapacity(double(share * experts), experts, 1, std::nextafter(least, 0), 1), 0) << share;
    }
}

TestProgram limited(double factor) {
  TestProgram p = testProgram();
  auto capacity = std::make_unique<moe::fb::CapacityT>();
  capacity->routing = "moe.gate";
  capacity->rows = kB;
  capacity->experts = 4;
  capacity->top = 1;
  capacity->factor = factor;
  capacity->alignment = 8;
  p.table.entries[kMain]->capacities.push_back(std::move(capacity));
  return p;
}

Status openAt(const TestProgram &p, const char *entry, Binding binding) {
  MOERT_ASSIGN(std::shared_ptr<const Program> program, Program::verify(p.encode(), "p.moe"));
  MOERT_ASSIGN(std::shared_ptr<Device> device, openDevice({.name = "cpu", .threads = 1}));
  MOERT_ASSIGN(std::shared_ptr<States> states, States::create(program, device, 0));
  return Session::open(program, states, device, entry, binding).status();
}

TEST(Capacity, ABatchWithoutRoomIsRefused) {
  EXPECT_TRUE(openAt(limited(-0.5), "main", {1, 5}).ok()) << openAt(limited(-0.5), "main", {1, 5}).message();
  Status refused = openAt(limited(-0.5), "main", {2, 2});
  EXPECT_EQ(refused.code(), Code::invalid_input);
  EXPECT_EQ(refused.message(), "entry 'main' at 2 x 2 images: expected a capacity of routing 'moe.gate' with "
                               "which each expert takes a "
                               "row, found 0: of 4 rows, an even share for 4 experts is 1, times 0.5; use a "
                               "larger batch, or a capacity "
                               "of at least 1 [B11]");
  EXPECT_TRUE(openAt(limited(-0.5), "train", {2, 2}).ok()); // which drops nothing
  EXPECT_TRUE(openAt(limited(1), "main", {1, 1}).ok());
  Status empty = openAt(limited(1), "main", {1, 0});
  EXPECT_NE(empty.message().find("[B02]"), std::string::npos) << empty.message();
}

} // namespace
} // namespace moert::test
