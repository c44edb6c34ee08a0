// The packer on random plans: nothing overlaps, everything is aligned, the same items give the same layout,
// and the arena stays within 1.10 of what is alive at once.
#include "runtime/plan/Packer.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace moert {
namespace {

void check(const std::vector<PackItem> &items, const Packing &packing) {
  ASSERT_EQ(packing.offsets.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(packing.offsets[i] % items[i].alignment, 0u);
    EXPECT_LE(packing.offsets[i] + items[i].bytes, packing.bytes);
    for (size_t j = 0; j < i; ++j) {
      bool together = items[i].first <= items[j].last && items[j].first <= items[i].last;
      bool overlap = items[i].bytes && items[j].bytes &&
                     packing.offsets[i] < packing.offsets[j] + items[j].bytes &&
                     packing.offsets[j] < packing.offsets[i] + items[i].bytes;
      ASSERT_FALSE(together && overlap) << "items " << i << " and " << j;
    }
  }
}

TEST(Packer, Nothing) {
  Packing packing = pack({});
  EXPECT_EQ(packing.bytes, 0u);
  EXPECT_EQ(packing.live, 0u);
}

TEST(Packer, ReusesWhatDied) {
  std::vector<PackItem> items = {{1024, 64, 0, 1}, {1024, 64, 2, 3}, {512, 64, 1, 2}};
  Packing packing = pack(items);
  check(items, packing);
  EXPECT_EQ(packing.bytes, 1536u);
  EXPECT_EQ(packing.live, 1536u);
}

TEST(Packer, BothEndsOfALifetimeAreInside) {
  Packing packing = pack(std::vector<PackItem>{{64, 64, 0, 1}, {64, 64, 1, 2}});
  EXPECT_EQ(packing.bytes, 128u);
}

TEST(Packer, Alignment) {
  std::vector<PackItem> items = {{100, 4, 0, 9}, {4096, 4096, 0, 9}, {1, 256, 0, 9}, {0, 64, 0, 9}};
  check(items, pack(items));
}

/// A training step's shape: values saved by a forward pass die in reverse order in the backward pass, among
/// short-lived ones, with sizes that halve stage by stage and scale with the batch.
std::vector<PackItem> trainingPlan(std::mt19937 &random, uint32_t layers, uint64_t rows) {
  std::vector<PackItem> items;
  uint32_t last = 4 * layers;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    uint64_t width = 512 + random() % 32768;
    uint32_t born = 2 * layer, dies = last - 2 * layer;
    if (random() % 3)
      items.push_back({rows * width * 4, 64, born, dies});
    items.push_back({rows * (random() % 4096) * 4, 64, born, born + 1});
    items.push_back({rows * width * 4, 64, dies - 1, dies});
    items.push_back({(random() % 65536) * 4, 64, dies - 1, last});
  }
  return items;
}

TEST(Packer, TrainingPlansStayNearTheBound) {
  std::mt19937 random(1);
  double worst = 0;
  for (int trial = 0; trial < 20; ++trial)
    for (uint64_t rows : {1, 2, 17, 64, 96}) {
      std::vector<PackItem> items = trainingPlan(random, 3 + random() % 40, rows);
      Packing packing = pack(items);
      check(items, packing);
      worst = std::max(worst, double(packing.bytes) / double(packing.live));
    }
  EXPECT_LE(worst, 1.10);
  RecordProperty("worst", std::to_string(worst));
}

TEST(Packer, RandomPlansStayNearTheBound) {
  std::mt19937 random(2);
  double worst = 0;
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<PackItem> items;
    uint32_t launches = 5 + random() % 200;
    for (uint32_t i = 0; i < launches; ++i) {
      uint32_t first = random() % launches;
      uint32_t life = random() % 8 ? random() % 6 : random() % launches;
      items.push_back(
          {1 + random() % 100000, uint64_t(64) << random() % 2, first, std::min(first + life, launches - 1)});
    }
    Packing packing = pack(items);
    check(items, packing);
    worst = std::max(worst, double(packing.bytes) / double(packing.live));
  }
  EXPECT_LE(worst, 1.10);
  RecordProperty("worst", std::to_string(worst));
}

TEST(Packer, IsDeterministic) {
  std::mt19937 random(3);
  std::vector<PackItem> items = trainingPlan(random, 40, 17);
  Packing one = pack(items), two = pack(items);
  EXPECT_EQ(one.offsets, two.offsets);
}

} // namespace
} // namespace moert
