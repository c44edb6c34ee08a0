// What a reader of IDX files must refuse, and how it says so; and that gzip and plain give the same.
#include "runtime/data/Idx.h"
#include "runtime/data/Batches.h"
#include "runtime/data/TestSet.h"

#include <gtest/gtest.h>
#include <zlib.h>

using namespace moert;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes gzip(const Bytes &bytes) {
  TestFolder folder;
  gzFile file = gzopen(folder.file("x.gz").c_str(), "wb");
  gzwrite(file, bytes.data(), unsigned(bytes.size()));
  gzclose(file);
  std::ifstream in(folder.file("x.gz"), std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

std::string failure(const Bytes &bytes) {
  TestFolder folder;
  folder.write("x", bytes);
  auto file = IdxFile::open(folder.file("x"));
  Status status = file.ok() ? file->unpack() : file.status();
  if (status.ok())
    return "no failure";
  EXPECT_EQ(status.exitCode(), 1);
  EXPECT_TRUE(status.message().starts_with(folder.file("x") + ": ")) << status.message();
  return status.message().substr(folder.file("x").size() + 2);
}

std::string setFailure(const TestFolder &folder, int64_t classes = 0) {
  DomainSetOptions options;
  options.path = folder.path();
  options.classes = classes;
  auto set = DomainSet::open(options);
  return set.ok() ? "no failure" : set.status().message();
}

} // namespace

TEST(Idx, PlainAndGzipAgree) {
  Bytes data{1, 2, 3, 4, 5, 6}, bytes = TestFolder::idx({1, 2, 3}, data);
  TestFolder folder;
  folder.write("plain", bytes);
  folder.write("packed", gzip(bytes));
  for (const char *name : {"plain", "packed"}) {
    auto file = IdxFile::open(folder.file(name));
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE(file->unpack().ok());
    EXPECT_EQ(file->shape, (std::vector<uint32_t>{1, 2, 3}));
    Bytes read(data.size());
    ASSERT_EQ(file->bytes, data.size());
    ASSERT_TRUE(file->read(0, read).ok());
    EXPECT_EQ(read, data);
    Bytes two(2);
    ASSERT_TRUE(file->read(3, two).ok());
    EXPECT_EQ(two, (Bytes{4, 5}));
  }
}

TEST(Idx, EveryPrefixIsRefused) {
  Bytes bytes = TestFolder::idx({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const Bytes &whole : {bytes, gzip(bytes)})
    for (size_t n = 0; n < whole.size(); ++n)
      EXPECT_NE(failure(Bytes(whole.begin(), whole.begin() + long(n))), "no failure") << n;
}

TEST(Idx, EveryChangedByteOfGzipIsRefused) {
  Bytes whole = gzip(TestFolder::idx({2, 3}, {1, 2, 3, 4, 5, 6}));
  for (size_t n = 10; n < whole.size(); ++n) { // the first ten bytes hold a time and a system's name
    Bytes changed = whole;
    changed[n] ^= 0x55;
    EXPECT_NE(failure(changed), "no failure") << n;
  }
}

TEST(Idx, AFileCutShortMeanwhileIsAnError) {
  TestFolder folder;
  folder.writeSet(50, 20, 6, 3);
  DomainSetOptions options;
  options.path = folder.path();
  options.angles = {0};
  auto set = DomainSet::open(options);
  ASSERT_TRUE(set.ok()) << set.status().message();
  std::vector<uint32_t> rows{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  TrainingBatches batches(*set, {0}, {rows}, 32, 1);
  SplitBatches split(*set, 0, rows, 10, 0);
  Batch batch;
  batches.fill(0, batch);
  EXPECT_TRUE(batch.status.ok());
  std::filesystem::resize_file(folder.file("train-images-idx3-ubyte"), 100);
  batches.fill(0, batch);
  EXPECT_NE(batch.status.message().find("bytes as when it was opened, found 100:"), std::string::npos)
      << batch.status.message();
  EXPECT_EQ(batch.status.exitCode(), 1);
  split.fill(0, batch);
  EXPECT_FALSE(batch.status.ok());
}

TEST(Idx, SaysWhatIsWrong) {
  EXPECT_NE(failure({'P', 'K', 3, 4}).find("found another format"), std::string::npos);
  EXPECT_NE(failure({0, 0, 13, 1, 0, 0, 0, 0}).find("found one of 32-bit floats"), std::string::npos);
  EXPECT_NE(failure({0, 0, 8, 9}).find("expected an IDX file of 1 to 4 axes, found 9"), std::string::npos);
  EXPECT_NE(failure(TestFolder::idx({7}, {1})).find("expected 15 bytes as its header says, found 9"),
            std::string::npos);
  Bytes hostile = TestFolder::idx({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {1});
  EXPECT_NE(failure(hostile).find("announces more"), std::string::npos);
  EXPECT_NE(failure(gzip(hostile)).find("announces more"), std::string::npos);
  EXPECT_NE(failure(gzip(TestFolder::idx({0xf0000000}, {1}))).find("cut short"), std::string::npos);
  EXPECT_NE(IdxFile::open("/nowhere/x").status().message().find("No such file"), std::string::npos);
  EXPECT_NE(IdxFile::open("/").status().message().find("expected a regular file, found a folder"),
            std::string::npos);
}

// Nothing is unpacked before sizes and counts are compared: a stream that is damaged behind its header is not
// even noticed.
TEST(Idx, TheHeaderIsKnownBeforeTheRestIsUnpacked) {
  TestFolder folder;
  Bytes data(250'000);
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = uint8_t(i * i >> 7);
  Bytes whole = gzip(TestFolder::idx({100, 50, 50}, data));
  folder.write("x", whole);
  auto file = IdxFile::open(folder.file("x"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->bytes, 250'000u);
  EXPECT_EQ(file->unpacked, nullptr);
  whole.resize(whole.size() / 2);
  folder.write("x", whole);
  file = IdxFile::open(folder.file("x"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_NE(file->unpack().message().find("cut short"), std::string::npos);
  folder.writeSet(20, 10, 4, 10);
  std::filesystem::remove(folder.file("t10k-images-idx3-ubyte"));
  data.resize(110'000);
  Bytes other = gzip(TestFolder::idx({11, 100, 100}, data));
  other[other.size() / 2] ^= 1;
  folder.write("t10k-images-idx3-ubyte.gz", other);
  EXPECT_NE(setFailure(folder).find("expected a label for each of the 11 images"), std::string::npos);
}

TEST(DomainSet, RefusesFilesThatDoNotBelongTogether) {
  TestFolder folder;
  EXPECT_NE(setFailure(folder).find("train-images-idx3-ubyte (or .gz), found none"), std::string::npos);
  folder.writeSet(20, 10, 4, 10);
  EXPECT_EQ(setFailure(folder), "no failure");
  EXPECT_NE(setFailure(folder, 7).find("expected labels below data.classes = 7, found 7 at index 7"),
            std::string::npos);
  folder.write("t10k-labels-idx1-ubyte", TestFolder::idx({9}, Bytes(9)));
  EXPECT_NE(setFailure(folder).find("expected a label for each of the 10 images"), std::string::npos);
  folder.write("t10k-labels-idx1-ubyte", TestFolder::idx({10, 4, 4}, Bytes(160)));
  EXPECT_NE(setFailure(folder).find("are these images?"), std::string::npos);
  folder.writeSet(20, 10, 4, 10);
  folder.write("t10k-images-idx3-ubyte", TestFolder::idx({10, 4, 5}, Bytes(200)));
  EXPECT_NE(setFailure(folder).find("expected images of 4 x 4"), std::string::npos);
  folder.writeSet(3, 1, 4, 2);
  EXPECT_NE(setFailure(folder).find("expected at least 6 images"), std::string::npos);
}
