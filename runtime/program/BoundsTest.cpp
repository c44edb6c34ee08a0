// The bounds of the loader, each from both sides: the largest that is allowed is accepted, and one more is
// refused. VerifyTest breaks every rule by a change that is far off; a bound that has moved by one shows
// here.
#include "runtime/plan/Layout.h"
#include "runtime/program/CodeImage.h"
#include "runtime/program/Verify.h"
#include "test/support/TestProgram.h"

#include <cstring>
#include <elf.h>
#include <functional>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace moert::test {
namespace {

using Elf = std::vector<uint8_t>;
using moe::fb::ExprCode;
using Op = moe::fb::ExprOp;

std::string verdict(const std::function<void(TestProgram &)> &change) {
  TestProgram program = testProgram();
  change(program);
  Status status = Program::verify(program.encode(), "p.moe").status();
  return status.ok() ? "accepted" : status.message();
}

/// `change` makes a program whose value is as large as it is told.
void expectBound(int64_t most, const std::string &words,
                 const std::function<void(TestProgram &, int64_t)> &change) {
  EXPECT_EQ(verdict([&](TestProgram &p) { change(p, most); }), "accepted") << words << " " << most;
  std::string refused = verdict([&](TestProgram &p) { change(p, most + 1); });
  EXPECT_NE(refused.find(words), std::string::npos) << refused;
}

template <typename T> T get(const Elf &bytes, size_t at) {
  T value;
  memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T> void put(Elf &bytes, size_t at, T value) {
  memcpy(bytes.data() + at, &value, sizeof value);
}

/// The program headers of a type, in order, by their offset.
std::vector<size_t> segments(const Elf &elf, uint32_t type) {
  auto header = get<Elf64_Ehdr>(elf, 0);
  std::vector<size_t> found;
  for (unsigned i = 0; i < header.e_phnum; ++i)
    if (size_t at = header.e_phoff + i * sizeof(Elf64_Phdr); get<Elf64_Phdr>(elf, at).p_type == type)
      found.push_back(at);
  return found;
}

/// Offset of the dynamic table's entry with a tag.
size_t dynamic(const Elf &elf, int64_t tag) {
  auto table = get<Elf64_Phdr>(elf, segments(elf, PT_DYNAMIC).at(0));
  for (uint64_t at = 0; at < table.p_filesz; at += sizeof(Elf64_Dyn))
    if (get<Elf64_Dyn>(elf, table.p_offset + at).d_tag == tag)
      return table.p_offset + at;
  ADD_FAILURE() << "the test kernels have no dynamic tag " << tag;
  return 0;
}

void setDynamic(Elf &elf, int64_t tag, uint64_t value) {
  put(elf, dynamic(elf, tag) + offsetof(Elf64_Dyn, d_un), value);
}

std::string imageOf(const std::function<void(Elf &)> &change) {
  Elf elf = testKernels();
  change(elf);
  auto image = CodeImage::read(elf);
  return image.ok() ? "accepted" : image.status().message();
}

void expectImage(const std::string &words, const std::function<void(Elf &)> &change) {
  std::string found = imageOf(change);
  EXPECT_NE(found.find(words), std::string::npos) << "expected " << words << ", found " << found;
}

void change(Elf &elf, size_t at, const std::function<void(Elf64_Phdr &)> &with) {
  auto header = get<Elf64_Phdr>(elf, at);
  with(header);
  put(elf, at, header);
}

/// Offset in the file of the end of the segment that holds the symbols; lld puts them into the first, where
/// addresses and offsets agree.
uint64_t firstEnd(const Elf &elf) {
  auto first = get<Elf64_Phdr>(elf, segments(elf, PT_LOAD).at(0));
  EXPECT_EQ(first.p_offset, first.p_vaddr);
  return first.p_offset + first.p_filesz;
}

TEST(Bounds, Texts) {
  expectBound(4096, "of 1 to 4096 bytes, found 4097",
              [](TestProgram &p, int64_t size) { p.table.name = std::string(size_t(size), 'x'); });
}

TEST(Bounds, Expressions) {
  // That many constants, added from the right: the stack is as deep as there are constants.
  expectBound(64, "at most 64", [](TestProgram &p, int64_t depth) {
    auto &ops = p.table.exprs[kB]->ops;
    ops.assign(size_t(depth), Op(ExprCode::constant, 1));
    ops.insert(ops.end(), size_t(depth - 1), Op(ExprCode::add, 0));
  });
  auto sumOf = [](size_t terms) { // two steps a term, so that the number of steps is odd
    return [terms](TestProgram &p) {
      auto &ops = p.table.exprs[kB]->ops;
      ops = {Op(ExprCode::constant, 1)};
      while (ops.size() < 2 * terms - 1) {
        ops.push_back(Op(ExprCode::constant, 1));
        ops.push_back(Op(ExprCode::add, 0));
      }
    };
  };
  EXPECT_EQ(verdict(sumOf(2048)), "accepted");
  EXPECT_NE(verdict(sumOf(2049)).find("1 to 4096 steps, found 4097"), std::string::npos);
}

TEST(Bounds, States) {
  expectBound(16, "at most 16 axes",
              [](TestProgram &p, int64_t rank) { p.table.states[kW]->shape.assign(size_t(rank), 1); });
  expectBound(16, "at most 16 axes", [](TestProgram &p, int64_t rank) {
    p.table.entries[kTrain]->inputs[0]->shape.assign(size_t(rank), kOne);
  });
  const TestProgram sound = testProgram();
  int64_t other = 4;
  for (int64_t extent : sound.table.states[kMomentum]->shape)
    other *= extent;
  auto elements = [](TestProgram &p, int64_t count) { p.table.states[kW]->shape = {count}; };
  expectBound(((int64_t(1) << 40) - other) / 4, "bytes of state", elements);
  // Whose bytes are the largest number, and one that is not.
  EXPECT_NE(verdict([&](TestProgram &p) { elements(p, INT64_MAX / 4); }).find("bytes of state"),
            std::string::npos);
  EXPECT_NE(verdict([&](TestProgram &p) { elements(p, INT64_MAX / 4 + 1); }).find("positive"),
            std::string::npos);
}

TEST(Bounds, Kernels) {
  expectBound(kMaxScratch, "bytes of scratch, found 268435457", [](TestProgram &p, int64_t bytes) {
    p.table.targets[0]->kernels[kDot]->scratch = uint32_t(bytes);
  });
}

TEST(Bounds, Buffers) {
  auto buffer = [](TestProgram &p, uint32_t i) -> moe::fb::BufferT & {
    return *p.table.targets[0]->plans[kTrain]->buffers[i];
  };
  auto buffers = [&](size_t count) {
    return verdict([&](TestProgram &p) {
      auto &list = p.table.targets[0]->plans[kTrain]->buffers;
      while (list.size() < count)
        list.push_back(std::make_unique<moe::fb::BufferT>(buffer(p, kTY)));
    });
  };
  EXPECT_NE(buffers(1 << 16).find("[V26]"), std::string::npos) << "nothing uses them, but so many may be";
  EXPECT_NE(buffers((1 << 16) + 1).find("at most 65536 buffers, found 65537"), std::string::npos);
  for (uint32_t alignment : {4, 4096})
    EXPECT_EQ(verdict([&](TestProgram &p) { buffer(p, kTY).alignment = alignment; }), "accepted")
        << alignment;
  for (uint32_t alignment : {2, 8192})
    EXPECT_NE(verdict([&](TestProgram &p) { buffer(p, kTY).alignment = alignment; }).find("[V19]"),
              std::string::npos);
  EXPECT_EQ(verdict([&](TestProgram &p) { buffer(p, kTW).alignment = 64; }), "accepted");
}

TEST(Bounds, Sections) {
  expectBound(64, "expected 1 to 64 sections, found 65", [](TestProgram &p, int64_t count) {
    p.sections.resize(size_t(count) - 1); // besides the table
  });
  // One byte beyond the end.
  std::vector<uint8_t> bytes = testProgram().encode();
  size_t last = sizeof(Header) + sizeof(SectionEntry) + offsetof(SectionEntry, size);
  put(bytes, last, get<uint64_t>(bytes, last) + 1);
  seal(bytes);
  EXPECT_NE(Program::verify(bytes, "p").status().message().find("section 1"), std::string::npos);
}

// Room for the address space of a file of 2 GiB, of which only the header is there.
TEST(Bounds, FileBytes) {
  size_t room = kMaxFileBytes + 4096;
  void *memory =
      mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto *bytes = static_cast<uint8_t *>(memory);
  Header header = {};
  header.magic = kProgramMagic;
  header.major = kSchemaMajor;
  memcpy(bytes, &header, sizeof header);
  EXPECT_NE(verifyFile({bytes, kMaxFileBytes}).status().message().find("[V04]"), std::string::npos);
  EXPECT_NE(verifyFile({bytes, kMaxFileBytes + 1}).status().message().find("[V01]"), std::string::npos);
  EXPECT_NE(verifyFile({bytes, 88}).status().message().find("[V04]"), std::string::npos);
  EXPECT_NE(verifyFile({bytes, 87}).status().message().find("[V01]"), std::string::npos);
  munmap(memory, room);
}

TEST(Bounds, ProgramHeaders) {
  auto atTheEnd = [](Elf &elf) { // the table of segments, copied there
    auto header = get<Elf64_Ehdr>(elf, 0);
    Elf table(elf.begin() + long(header.e_phoff),
              elf.begin() + long(header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr)));
    put(elf, offsetof(Elf64_Ehdr, e_phoff), uint64_t(elf.size()));
    elf.insert(elf.end(), table.begin(), table.end());
  };
  EXPECT_EQ(imageOf(atTheEnd), "accepted");
  expectImage("lies outside", [&](Elf &elf) {
    atTheEnd(elf);
    elf.pop_back();
  });
}

TEST(Bounds, Segments) {
  auto last = [](const Elf &elf) { return segments(elf, PT_LOAD).back(); };
  auto fileBytes = [&](Elf &elf, uint64_t more) {
    change(elf, last(elf), [&](Elf64_Phdr &segment) {
      segment.p_filesz = elf.size() - segment.p_offset + more;
      segment.p_memsz = std::max(segment.p_memsz, segment.p_filesz);
    });
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { fileBytes(elf, 0); }), "accepted");
  expectImage("ends after the section's", [&](Elf &elf) { fileBytes(elf, 1); });
  auto memoryBytes = [&](Elf &elf, auto with) { change(elf, last(elf), with); };
  EXPECT_EQ(imageOf([&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = s.p_filesz; }); }),
            "accepted");
  expectImage("no sound size",
              [&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = s.p_filesz - 1; }); });
  constexpr uint64_t most = uint64_t(1) << 30;
  EXPECT_EQ(imageOf([&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = most - s.p_vaddr; }); }),
            "accepted");
  expectImage("at most 1073741824 bytes, found 1073745920",
              [&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = most - s.p_vaddr + 1; }); });
  expectImage("at most 1073741824 bytes",
              [&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = most; }); });
  expectImage("no sound size",
              [&](Elf &elf) { memoryBytes(elf, [](Elf64_Phdr &s) { s.p_memsz = most + 1; }); });
  // The second begins in the page behind the last of the first, or in that one.
  auto second = [](Elf &elf, uint64_t less) {
    auto first = get<Elf64_Phdr>(elf, segments(elf, PT_LOAD).at(0));
    uint64_t page = (first.p_vaddr + first.p_memsz + 4095) / 4096 * 4096;
    change(elf, segments(elf, PT_LOAD).at(1),
           [&](Elf64_Phdr &s) { s.p_vaddr = page - less + s.p_offset % 4096; });
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { second(elf, 0); }), "accepted");
  expectImage("shares a page", [&](Elf &elf) { second(elf, 4096); });
}

TEST(Bounds, Dynamic) {
  auto until = [](Elf &elf, uint64_t less) { // the last entry that is needed, and nothing behind it
    size_t table = segments(elf, PT_DYNAMIC).at(0);
    uint64_t end = 0;
    for (int64_t tag : {DT_SYMTAB, DT_STRTAB, DT_STRSZ, DT_HASH})
      end = std::max<uint64_t>(end, dynamic(elf, tag) + sizeof(Elf64_Dyn));
    change(elf, table, [&](Elf64_Phdr &segment) { segment.p_filesz = end - segment.p_offset - less; });
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { until(elf, 0); }), "accepted");
  EXPECT_NE(imageOf([&](Elf &elf) { until(elf, 1); }), "accepted");
}

TEST(Bounds, Symbols) {
  auto hash = [](Elf &elf, uint64_t bytes) { // as many bytes of it in its segment, with no symbol
    memset(elf.data() + firstEnd(elf) - 8, 0, 8);
    setDynamic(elf, DT_HASH, firstEnd(elf) - bytes);
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { hash(elf, 8); }), "accepted");
  expectImage("hash table", [&](Elf &elf) { hash(elf, 7); });

  auto symbols = [](Elf &elf, uint32_t count) { // of which the segment has room for two
    setDynamic(elf, DT_SYMTAB, firstEnd(elf) - 2 * sizeof(Elf64_Sym));
    memset(elf.data() + firstEnd(elf) - 2 * sizeof(Elf64_Sym), 1, 2 * sizeof(Elf64_Sym));
    put<uint32_t>(elf, firstEnd(elf) - sizeof(Elf64_Sym), 0);
    put<uint32_t>(elf, get<uint64_t>(elf, dynamic(elf, DT_HASH) + 8) + 4, count);
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { symbols(elf, 2); }), "accepted");
  expectImage("symbol table of 3 symbols ends after", [&](Elf &elf) { symbols(elf, 3); });

  auto strings = [](Elf &elf, uint64_t more, uint8_t lastByte) { // to the end of the segment
    elf[firstEnd(elf) - 1] = lastByte;
    setDynamic(elf, DT_STRSZ, firstEnd(elf) - get<uint64_t>(elf, dynamic(elf, DT_STRTAB) + 8) + more);
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { strings(elf, 0, 0); }), "accepted");
  expectImage("terminated", [&](Elf &elf) { strings(elf, 0, 'x'); });
  expectImage("terminated", [&](Elf &elf) { strings(elf, 1, 0); });
  expectImage("terminated", [&](Elf &elf) { setDynamic(elf, DT_STRSZ, 0); });

  auto name = [](Elf &elf, uint32_t more) { // the first symbol's begins at the end of the strings
    size_t symbol = get<uint64_t>(elf, dynamic(elf, DT_SYMTAB) + 8) + sizeof(Elf64_Sym);
    put<uint32_t>(elf, symbol, uint32_t(get<uint64_t>(elf, dynamic(elf, DT_STRSZ) + 8)) - 1 + more);
  };
  EXPECT_EQ(imageOf([&](Elf &elf) { name(elf, 0); }), "accepted");
  expectImage("outside the string table", [&](Elf &elf) { name(elf, 1); });
}

TEST(Bounds, Functions) {
  // The functions that are found where one symbol has this size, and begins so far in front of the segment's
  // end.
  auto count = [](uint64_t before, uint64_t size) {
    Elf elf = testKernels();
    for (size_t at : segments(elf, PT_LOAD)) {
      auto code = get<Elf64_Phdr>(elf, at);
      if (!(code.p_flags & PF_X))
        continue;
      size_t symbol = get<uint64_t>(elf, dynamic(elf, DT_SYMTAB) + 8) + sizeof(Elf64_Sym);
      put<uint64_t>(elf, symbol + offsetof(Elf64_Sym, st_value), code.p_vaddr + code.p_filesz - before);
      put<uint64_t>(elf, symbol + offsetof(Elf64_Sym, st_size), size);
    }
    auto image = CodeImage::read(elf);
    EXPECT_TRUE(image.ok());
    return image.ok() ? image->functions.size() : 0;
  };
  size_t all = CodeImage::read(testKernels())->functions.size();
  EXPECT_EQ(count(8, 8), all);
  EXPECT_EQ(count(8, 9), all - 1);
  EXPECT_EQ(count(1, 0), all);
  EXPECT_EQ(count(0, 0), all - 1);
}

TEST(Bounds, Memory) {
  // Inputs and outputs of a batch of so many images: 4 bytes each, and 12 bytes of three others.
  auto layOutAt = [](int64_t images) {
    TestProgram p = testProgram();
    moe::fb::EntryT &entry = *p.table.entries[kTrain];
    entry.inputs[0]->shape = {kB};
    entry.inputs[1]->shape = {kOne};
    auto program = Program::verify(p.encode(), "p.moe");
    EXPECT_TRUE(program.ok()) << program.status().message();
    const fb::Target &target = *(*program)->table().targets()->Get(0);
    return layOut(**program, target, *target.plans()->Get(kTrain), {1, images}).status().message();
  };
  constexpr int64_t most = (int64_t(1) << 46) / 4;
  EXPECT_EQ(layOutAt(most - 3).find("[B05]"), std::string::npos)
      << layOutAt(most - 3); // another bound is next
  EXPECT_NE(layOutAt(most - 2).find("inputs and outputs do not fit in memory"), std::string::npos)
      << layOutAt(most - 2);
  EXPECT_NE(layOutAt(most).find("inputs and outputs do not fit in memory"), std::string::npos);
  EXPECT_NE(layOutAt(most + 1).find("'image' of 17592186044417 elements does not fit in memory"),
            std::string::npos)
      << layOutAt(most + 1);
}

} // namespace
} // namespace moert::test
