// The parts of the data pipeline that need no file: generator, splits, rotation, draws, prefetching. Values
// marked numpy were printed by numpy 2.4; test/python/data_witness.py compares far more of them.
#include "runtime/base/Files.h"
#include "runtime/data/Batches.h"
#include "runtime/data/RandomState.h"
#include "runtime/data/Rotate.h"
#include "runtime/data/Split.h"
#include "runtime/data/TestSet.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <zlib.h>

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

// The same for packed and plain files; another one for any other byte, size or order.
TEST(DomainSet, WhatIsNoFolder) {
  TestFolder folder;
  folder.write("train-images-idx3-ubyte", {0});
  auto failure = [](const std::string &path) {
    DomainSetOptions options;
    options.path = path;
    auto set = DomainSet::open(options);
    return set.ok() ? "no failure" : set.status().message();
  };
  std::string file = folder.file("train-images-idx3-ubyte");
  EXPECT_EQ(failure(file),
            "data.path: expected a folder, found a file: " + file +
                "; give the folder that it is in: " + folder.file("").substr(0, folder.file("").size() - 1));
  ASSERT_EQ(setenv("HOME", "/home/ann", 1), 0);
  EXPECT_EQ(failure("~/no set"), "data.path: expected a folder, found none of the name ~/no set; '~' is not "
                                 "replaced by the home folder here: write /home/ann/no set");
  EXPECT_TRUE(failure("/no set").starts_with("expected the file /no set/train-images")) << failure("/no set");
  // Names that no file can have, and a link to itself.
  std::error_code ignored;
  std::filesystem::create_symlink("loop", folder.file("loop"), ignored);
  for (const std::string &path : {std::string(256, 'x'), "~/" + std::string(5000, 'x'), folder.file("loop")})
    EXPECT_NE(failure(path).find("expected "), std::string::npos) << failure(path);
}

TEST(DomainSet, DigestOfWhatTheFilesHold) {
  TestFolder folder;
  folder.writeSet(500, 100, 30, 10); // 540,000 bytes: more than a piece, and no whole number of them
  std::atomic<bool> stop{false};
  auto digest = [&](std::vector<double> angles = {0, 90}) {
    DomainSetOptions options;
    options.path = folder.path();
    options.angles = std::move(angles);
    auto set = DomainSet::open(options);
    EXPECT_TRUE(set.ok()) << set.status().message();
    auto made = set->digest(stop);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return *made;
  };
  uint64_t first = digest();
  EXPECT_EQ(digest({0, 15, 30}), first); // of the files alone: the rest is the recipe's
  std::set<uint64_t> all{first};
  for (std::string name : {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte",
                           "t10k-labels-idx1-ubyte"}) {
    auto text = *readText(folder.file(name));
    std::vector<uint8_t> bytes(text.begin(), text.end());
    size_t head = name.find("images") == std::string::npos ? 8 : 16;
    for (size_t at : {head, head + (bytes.size() - head) / 2, bytes.size() - 1}) {
      std::vector<uint8_t> other = bytes;
      other[at] ^= 1;
      folder.write(name, other);
      EXPECT_TRUE(all.insert(digest()).second) << name << " " << at;
    }
    std::vector<uint8_t> swapped = bytes;
    std::rotate(swapped.begin() + long(head), swapped.begin() + long(head) + 8, swapped.end());
    folder.write(name, swapped);
    EXPECT_TRUE(all.insert(digest()).second) << name;
    std::filesystem::remove(folder.file(name));
    gzFile packed = gzopen(folder.file(name + ".gz").c_str(), "wb");
    ASSERT_EQ(gzwrite(packed, bytes.data(), unsigned(bytes.size())), int(bytes.size()));
    gzclose(packed);
    EXPECT_EQ(digest(), first) << name;
  }
  TestFolder wide; // the same bytes as other images
  wide.writeSet(500, 100, 30, 10);
  for (auto [name, count] : {std::pair{"train", 500u}, std::pair{"t10k", 100u}}) {
    auto text = *readText(wide.file(std::string(name) + "-images-idx3-ubyte"));
    wide.write(std::string(name) + "-images-idx3-ubyte",
               TestFolder::idx({count, 10, 90}, std::vector<uint8_t>(text.begin() + 16, text.end())));
  }
  DomainSetOptions options;
  options.path = wide.path();
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  EXPECT_NE(*set->digest(stop), first);
  stop = true;
  EXPECT_FALSE(set->digest(stop).ok());
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
