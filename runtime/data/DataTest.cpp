// The parts of the data pipeline that need no file: generator, splits, rotation, draws, prefetching. Values
// marked numpy were printed by numpy 2.4; test/python/data_witness.py compares far more of them.
#include "runtime/data/Batches.h"
#include "runtime/data/RandomState.h"
#include "runtime/data/Rotate.h"
#include "runtime/data/Split.h"
#include "runtime/data/TestSet.h"

#include <gtest/gtest.h>
#include <set>

using namespace moert;

TEST(RandomState, MatchesNumpy) {
  RandomState random(0);
  EXPECT_EQ(random.next(), 2357136044u);                                                            // numpy
  EXPECT_EQ(RandomState(0).permutation(10), (std::vector<uint32_t>{2, 8, 4, 9, 1, 6, 7, 3, 0, 5})); // numpy
  EXPECT_EQ(RandomState(0).uniform(), 0.5488135039273248);                                          // numpy
}

TEST(Split, SizesAndSeeds) {
  EXPECT_EQ(splitSeed(0, 0), 0x354c2413u); // hashlib
  Split split = splitDomain(11, 0.2, splitSeed(0, 1));
  EXPECT_EQ(split.out.size(), 2u);
  EXPECT_EQ(split.in.size(), 9u);
  std::set<uint32_t> all(split.in.begin(), split.in.end());
  all.insert(split.out.begin(), split.out.end());
  EXPECT_EQ(all.size(), 11u);
}

TEST(Rotate, QuarterTurnsOfASquare) {
  const uint8_t source[4] = {1, 2, 3, 4};
  uint8_t result[4];
  rotateBilinear(source, result, 2, 2, 90);
  EXPECT_EQ(std::vector<uint8_t>(result, result + 4), (std::vector<uint8_t>{2, 4, 1, 3}));
  rotateBilinear(source, result, 2, 2, -90);
  EXPECT_EQ(std::vector<uint8_t>(result, result + 4), (std::vector<uint8_t>{3, 1, 4, 2}));
  rotateBilinear(source, result, 2, 2, 180);
  EXPECT_EQ(std::vector<uint8_t>(result, result + 4), (std::vector<uint8_t>{4, 3, 2, 1}));
}

TEST(DomainSet, DealsEveryImageOnce) {
  TestFolder folder;
  folder.writeSet(25, 7, 5, 4);
  DomainSetOptions options;
  options.path = folder.path();
  options.angles = {0, 90, 180};
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  EXPECT_EQ(set->domains(), 3u);
  EXPECT_EQ(set->size(0) + set->size(1) + set->size(2), 32u);
  EXPECT_EQ(set->size(0), 11u);
  EXPECT_EQ(set->name(1), "90");
}

TEST(DomainSet, ColoursOneChannel) {
  TestFolder folder;
  folder.writeSet(400, 100, 4, 10);
  DomainSetOptions options;
  options.path = folder.path();
  options.kind = DomainKind::colored;
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  EXPECT_EQ(set->classes(), 2);
  EXPECT_EQ(set->channels(), 2);
  EXPECT_EQ(set->name(0), "+90%");
  EXPECT_EQ(set->name(2), "-90%");
  for (size_t domain : {0, 2}) {
    int agree = 0;
    for (uint32_t i = 0; i < set->size(domain); ++i) {
      std::vector<float> image(set->imageElements());
      ASSERT_TRUE(set->render(domain, i, image.data()).ok());
      double sums[2] = {};
      for (size_t j = 0; j < image.size(); ++j)
        sums[j / (image.size() / 2)] += image[j];
      EXPECT_TRUE((sums[0] == 0) != (sums[1] == 0));
      agree += (sums[1] > 0) == set->label(domain, i);
    }
    double share = double(agree) / set->size(domain);
    EXPECT_NEAR(share, domain == 0 ? 0.9 : 0.1, 0.08);
  }
}

TEST(Batches, TheSameForAnyThreadCount) {
  TestFolder folder;
  folder.writeSet(50, 20, 6, 3);
  DomainSetOptions options;
  options.path = folder.path();
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  std::vector<std::vector<uint32_t>> in;
  for (size_t d = 1; d < 6; ++d)
    in.push_back(splitDomain(set->size(d), 0.2, splitSeed(0, int64_t(d))).in);
  TrainingBatches batches(*set, {1, 2, 3, 4, 5}, in, 4, 7);
  auto fill = [&](uint64_t step, Batch &batch) { batches.fill(step, batch); };
  for (int threads : {0, 1, 2, 5}) { // 0: as where the system gives none
    Prefetch prefetch(fill, 3, 40, threads);
    Batch expected;
    for (uint64_t step = 3; step < 40; ++step) {
      const Batch *batch = prefetch.next();
      ASSERT_NE(batch, nullptr);
      batches.fill(step, expected);
      EXPECT_EQ(batch->image, expected.image);
      EXPECT_EQ(batch->label, expected.label);
      EXPECT_EQ(batch->domain, expected.domain);
    }
    EXPECT_EQ(prefetch.next(), nullptr);
  }
  Prefetch abandoned(fill, 0, UINT64_MAX, 2);
  EXPECT_NE(abandoned.next(), nullptr);
}

TEST(Batches, LastBatchOfASplitIsPartial) {
  TestFolder folder;
  folder.writeSet(50, 20, 6, 3);
  DomainSetOptions options;
  options.path = folder.path();
  options.angles = {0};
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  std::vector<uint32_t> indices{5, 6, 7, 8, 9};
  SplitBatches batches(*set, 0, indices, 2, -1);
  EXPECT_EQ(batches.count(), 3u);
  Batch batch;
  batches.fill(2, batch);
  EXPECT_EQ(batch.rows(), 1u);
  EXPECT_EQ(batch.label[0], set->label(0, 9));
  EXPECT_EQ(batch.domain[0], -1);
}
