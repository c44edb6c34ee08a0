// Breaks every numbered rule of verification by one change to a sound program, and looks for that rule's
// number in the refusal. The last test counts the rules that the sources name, so that a new rule needs a
// case here.
#include "runtime/program/Verify.h"
#include "runtime/device/cpu/KernelCode.h"
#include "runtime/plan/Layout.h"
#include "runtime/program/cubins_generated.h"
#include "test/support/TestProgram.h"

#include <cmath>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <regex>
#include <set>
#include <sstream>

namespace moert::test {
namespace {

std::set<std::string> &broken() {
  static std::set<std::string> rules;
  return rules;
}

void expectRule(const Status &status, const std::string &rule, const std::string &words) {
  broken().insert(rule);
  ASSERT_FALSE(status.ok()) << "rule " << rule << " let the change pass";
  EXPECT_EQ(status.code(), Code::invalid_input);
  EXPECT_NE(status.message().find("[" + rule + "]"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(words), std::string::npos) << status.message();
}

Status verifyBytes(std::vector<uint8_t> bytes) { return Program::verify(std::move(bytes), "p.moe").status(); }

/// A change to the table must be refused by this rule, with these words.
void expectTable(const char *rule, const char *words, const std::function<void(TestProgram &)> &change) {
  TestProgram program = testProgram();
  change(program);
  expectRule(verifyBytes(program.encode()), rule, words);
}

/// The same of the program for a GPU.
void expectGpuTable(const char *rule, const char *words, const std::function<void(TestProgram &)> &change) {
  TestProgram program = gpuProgram();
  change(program);
  expectRule(verifyBytes(program.encode()), rule, words);
}

/// A change to the file's bytes; `reseal` gives it a valid digest again.
void expectBytes(const char *rule, const char *words, bool reseal,
                 const std::function<void(std::vector<uint8_t> &)> &change) {
  std::vector<uint8_t> bytes = testProgram().encode();
  change(bytes);
  if (reseal)
    seal(bytes);
  expectRule(verifyBytes(std::move(bytes)), rule, words);
}

void expectElf(const char *words, const std::function<void(std::vector<uint8_t> &)> &change) {
  TestProgram program = testProgram();
  change(program.sections[0]);
  expectRule(verifyBytes(program.encode()), "V17", words);
}

template <typename T> T get(const std::vector<uint8_t> &bytes, size_t at) {
  T value;
  memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T> void put(std::vector<uint8_t> &bytes, size_t at, T value) {
  memcpy(bytes.data() + at, &value, sizeof value);
}

/// Offset of the first program header of a type.
size_t segment(const std::vector<uint8_t> &elf, uint32_t type) {
  auto header = get<Elf64_Ehdr>(elf, 0);
  for (unsigned i = 0; i < header.e_phnum; ++i)
    if (get<Elf64_Phdr>(elf, header.e_phoff + i * sizeof(Elf64_Phdr)).p_type == type)
      return header.e_phoff + i * sizeof(Elf64_Phdr);
  ADD_FAILURE() << "the test kernels have no segment of type " << type;
  return 0;
}

/// Offset of the dynamic table's entry with a tag.
size_t dynamic(const std::vector<uint8_t> &elf, int64_t tag) {
  auto table = get<Elf64_Phdr>(elf, segment(elf, PT_DYNAMIC));
  for (uint64_t at = 0; at < table.p_filesz; at += sizeof(Elf64_Dyn))
    if (get<Elf64_Dyn>(elf, table.p_offset + at).d_tag == tag)
      return table.p_offset + at;
  ADD_FAILURE() << "the test kernels have no dynamic tag " << tag;
  return 0;
}

template <typename T> void setField(std::vector<uint8_t> &elf, size_t record, T Elf64_Phdr::*field, T value) {
  auto header = get<Elf64_Phdr>(elf, record);
  header.*field = value;
  put(elf, record, header);
}

TEST(Verify, AcceptsTheTestProgram) {
  Result<std::shared_ptr<const Program>> program = Program::verify(testProgram().encode(), "p.moe");
  ASSERT_TRUE(program.ok()) << program.status().message();
  EXPECT_EQ((*program)->name(), "linear");
  EXPECT_EQ((*program)->digest().size(), 64u);
  EXPECT_EQ((*program)->config("classes"), "2");
  EXPECT_FALSE((*program)->config("colour"));
  EXPECT_EQ((*program)->state("momentum.fc.weight"), 1u);
  EXPECT_NE((*program)->entry("tarin").status().message().find("did you mean 'train'"), std::string::npos);
}

TEST(Verify, SameBytesForTheSameProgram) { EXPECT_EQ(testProgram().encode(), testProgram().encode()); }

TEST(Verify, File) {
  expectBytes("V01", "empty", false, [](auto &bytes) { bytes.clear(); });
  expectBytes("V01", "found 87", false, [](auto &bytes) { bytes.resize(87); });
  expectBytes("V02", "another kind", true, [](auto &bytes) { bytes[1] = 'm'; });
  expectBytes("V03", "too old", true,
              [](auto &bytes) { put<uint16_t>(bytes, offsetof(Header, major), kSchemaMajor + 1); });
  expectBytes("V03", "compile it again", true,
              [](auto &bytes) { put<uint16_t>(bytes, offsetof(Header, major), kSchemaMajor - 1); });
  expectBytes("V04", "truncated", false, [](auto &bytes) { bytes.pop_back(); });
  expectBytes("V04", "appended", false, [](auto &bytes) { bytes.push_back(0); });
  expectBytes("V05", "damaged", false, [](auto &bytes) { bytes[bytes.size() - 2] ^= 1; });
}

TEST(Verify, Sections) {
  constexpr size_t table = sizeof(Header);
  expectBytes("V06", "sections, found 0", true,
              [](auto &bytes) { put<uint32_t>(bytes, offsetof(Header, sections), 0); });
  expectBytes("V06", "sections", true,
              [](auto &bytes) { put<uint32_t>(bytes, offsetof(Header, sections), 65); });
  expectBytes("V06", "section 1", true, [&](auto &bytes) { put<uint64_t>(bytes, table + 32, 64); });
  expectBytes("V06", "section 1", true, [&](auto &bytes) { put<uint64_t>(bytes, table + 40, UINT64_MAX); });
  expectBytes("V06", "zeros", true, [&](auto &bytes) {
    bytes[get<uint64_t>(bytes, table + 8) + get<uint64_t>(bytes, table + 16)] = 1;
  });
  expectBytes("V06", "last section", true,
              [&](auto &bytes) { put<uint64_t>(bytes, table + 40, get<uint64_t>(bytes, table + 40) - 1); });
  expectBytes("V06", "found kind 1 as section 0", true, [&](auto &bytes) { put<uint64_t>(bytes, table, 1); });
  expectBytes("V06", "found kind 0 as section 1", true,
              [&](auto &bytes) { put<uint64_t>(bytes, table + 24, 0); });
  expectBytes("V06", "found kind 4 as section 1", true,
              [&](auto &bytes) { put<uint64_t>(bytes, table + 24, 4); });
}

TEST(Verify, Structure) {
  expectBytes("V07", "FlatBuffer", true,
              [](auto &bytes) { bytes[get<uint64_t>(bytes, sizeof(Header) + 8) + 3] = 0x7f; });
  expectBytes("V07", "FlatBuffer", true,
              [](auto &bytes) { bytes[get<uint64_t>(bytes, sizeof(Header) + 8) + 4] = 'X'; });
}

TEST(Verify, Texts) {
  expectTable("V10", "a state's path", [](TestProgram &p) { p.table.states[kW]->path = ""; });
  expectTable("V10", "control", [](TestProgram &p) { p.table.states[kW]->path = "a\nb"; });
  expectTable("V10", "in UTF-8 without control characters, found 'f\\xff'",
              [](TestProgram &p) { p.table.states[kW]->path = "f\xff"; });
  expectTable("V10", "4096", [](TestProgram &p) { p.table.name = std::string(5000, 'x'); });
}

TEST(Verify, Expressions) {
  using moe::fb::ExprCode;
  auto ops = [](TestProgram &p, std::vector<moe::fb::ExprOp> steps) {
    p.table.exprs[kB]->ops = std::move(steps);
  };
  using Op = moe::fb::ExprOp;
  expectTable("V11", "1 to", [&](TestProgram &p) { ops(p, {}); });
  expectTable("V11", "fewer",
              [&](TestProgram &p) { ops(p, {Op(ExprCode::symbol, 0), Op(ExprCode::mul, 0)}); });
  expectTable("V11", "one value",
              [&](TestProgram &p) { ops(p, {Op(ExprCode::symbol, 0), Op(ExprCode::symbol, 1)}); });
  expectTable("V11", "known code", [&](TestProgram &p) { ops(p, {Op(ExprCode(99), 0)}); });
  expectTable("V11", "a symbol below 2, found 2", [&](TestProgram &p) { ops(p, {Op(ExprCode::symbol, 2)}); });
  expectTable("V11", "a symbol below 2", [&](TestProgram &p) { ops(p, {Op(ExprCode::symbol, -1)}); });
  expectTable("V11", "each once, found 'E'", [&](TestProgram &p) { p.table.symbols.push_back("E"); });
  expectTable("V11", "each once, found 'N'", [&](TestProgram &p) { p.table.symbols[0] = "N"; });
  expectTable("V10", "a symbol's name", [&](TestProgram &p) { p.table.symbols[0] = "\n"; });
  expectTable("V11", "stack",
              [&](TestProgram &p) { ops(p, std::vector<Op>(65, Op(ExprCode::constant, 1))); });
  expectTable("V11", "steps",
              [&](TestProgram &p) { ops(p, std::vector<Op>(5000, Op(ExprCode::constant, 1))); });
}

TEST(Verify, States) {
  using namespace moe::fb;
  expectTable("V12", "twice", [](TestProgram &p) { p.table.states[kMomentum]->path = "fc.weight"; });
  expectTable("V12", "known kind", [](TestProgram &p) { p.table.states[kW]->kind = StateKind(9); });
  expectTable("V12", "known kind", [](TestProgram &p) { p.table.states[kW]->type = ElementType(9); });
  expectTable("V12", "positive", [](TestProgram &p) { p.table.states[kW]->shape = {3, 0}; });
  expectTable("V12", "positive", [](TestProgram &p) { p.table.states[kW]->shape = {int64_t(1) << 62, 8}; });
  expectTable("V12", "bytes of state",
              [](TestProgram &p) { p.table.states[kW]->shape = {int64_t(1) << 40}; });
  expectTable("V12", "axes", [](TestProgram &p) { p.table.states[kW]->shape.assign(17, 1); });
  expectTable("V12", "known rule", [](TestProgram &p) { p.table.states[kW]->init->kind = InitKind(9); });
  expectTable("V12", "finite",
              [](TestProgram &p) { p.table.states[kW]->init->a = std::numeric_limits<double>::infinity(); });
  expectTable("V12", "ordered", [](TestProgram &p) { p.table.states[kW]->init->a = 1; });
  expectTable("V12", "to be f32", [](TestProgram &p) { p.table.states[kW]->type = ElementType::i32; });
  expectTable("V12", "belong", [](TestProgram &p) { p.table.states[kMomentum]->of = "fc.bias"; });
}

TEST(Verify, Scalars) {
  using namespace moe::fb;
  expectTable("V13", "twice", [](TestProgram &p) { p.table.scalars[kMu]->key = "optimizer.lr"; });
  expectTable("V13", "known kind", [](TestProgram &p) { p.table.scalars[kMu]->kind = ScalarKind(7); });
  expectTable("V13", "finite", [](TestProgram &p) { p.table.scalars[kMu]->fallback = std::nan(""); });
}

TEST(Verify, Entries) {
  using namespace moe::fb;
  expectTable("V14", "an entry", [](TestProgram &p) { p.table.entries.clear(); });
  expectTable("V14", "twice", [](TestProgram &p) { p.table.entries[1]->name = "train"; });
  expectTable("V14", "known kind", [](TestProgram &p) { p.table.entries[1]->kind = EntryKind(5); });
  expectTable("V14", "twice", [](TestProgram &p) { p.table.entries[0]->inputs[1]->name = "image"; });
  expectTable("V14", "element type",
              [](TestProgram &p) { p.table.entries[0]->inputs[1]->type = ElementType(9); });
  expectTable("V14", "below 6, found 6", [](TestProgram &p) { p.table.entries[0]->inputs[0]->shape[0] = 6; });
  expectTable("V14", "axes", [](TestProgram &p) { p.table.entries[0]->inputs[0]->shape.assign(17, kOne); });
  expectTable("V14", "expression below", [](TestProgram &p) {
    p.table.entries[0]->saved.push_back(std::make_unique<SavedT>());
    p.table.entries[0]->saved[0]->name = "fc";
    p.table.entries[0]->saved[0]->bytes = 6;
  });
  expectTable("V14", "output 'loss'", [](TestProgram &p) { p.table.entries[0]->outputs[0]->name = "cost"; });
  expectTable("V14", "a training entry alone",
              [](TestProgram &p) { p.table.entries[1]->updates.push_back(std::make_unique<UpdateT>()); });
  expectTable("V14", "an output below 2, found 2",
              [](TestProgram &p) { p.table.entries[0]->updates[0]->predicate = 2; });
  expectTable("V14", "as predicate, found 'mark'", [](TestProgram &p) {
    std::swap(p.table.entries[0]->outputs[1], p.table.entries[1]->outputs[1]);
  });
  expectTable("V14", "an exposed input",
              [](TestProgram &p) { p.table.entries[1]->inputs[0]->exposed = true; });
  expectTable("V14", "an inference entry alone",
              [](TestProgram &p) { p.table.entries[0]->outputs[0]->exposed = true; });
  expectTable("V14", "expected states",
              [](TestProgram &p) { p.table.entries[0]->updates[0]->states.clear(); });
  expectTable("V14", "a predicate of its own", [](TestProgram &p) {
    p.table.entries[0]->updates.push_back(std::make_unique<UpdateT>(*p.table.entries[0]->updates[0]));
    p.table.entries[0]->updates[0]->states = {kW};
    p.table.entries[0]->updates[1]->states = {kMomentum};
  });
  expectTable("V14", "a state below", [](TestProgram &p) { p.table.entries[0]->updates[0]->states[0] = 99; });
  expectTable("V14", "found 'fc.weight' in two", [](TestProgram &p) {
    p.table.entries[0]->updates.push_back(std::make_unique<UpdateT>(*p.table.entries[0]->updates[0]));
    p.table.entries[0]->updates[1]->predicate = 0;
  });
}

TEST(Verify, Capacities) {
  using namespace moe::fb;
  auto with = [](const std::function<void(CapacityT &)> &change) {
    return [change](TestProgram &p) {
      auto capacity = std::make_unique<CapacityT>();
      capacity->routing = "moe.gate";
      capacity->rows = kB;
      capacity->experts = capacity->top = capacity->alignment = 1;
      capacity->factor = 1.5;
      change(*capacity);
      p.table.entries[kMain]->capacities.push_back(std::move(capacity));
    };
  };
  TestProgram sound = testProgram();
  with([](CapacityT &) {})(sound);
  EXPECT_TRUE(verifyBytes(sound.encode()).ok()) << verifyBytes(sound.encode()).message();
  expectTable("V35", "found it twice", [&](TestProgram &p) {
    with([](CapacityT &) {})(p);
    with([](CapacityT &capacity) { capacity.factor = 2; })(p);
  });
  expectTable("V10", "a routing's path", with([](CapacityT &capacity) { capacity.routing = "a\nb"; }));
  expectTable("V35", "an expression below 6, found 6", with([](CapacityT &capacity) { capacity.rows = 6; }));
  for (int64_t number : {int64_t(0), int64_t(-1), int64_t(INT32_MAX) + 1, INT64_MIN}) {
    expectTable("V35", "experts, found", with([&](CapacityT &capacity) { capacity.experts = number; }));
    expectTable("V35", "choices, found", with([&](CapacityT &capacity) { capacity.top = number; }));
    expectTable("V35", "rows to align to", with([&](CapacityT &capacity) { capacity.alignment = number; }));
  }
  for (double factor : {0.0, -0.0, std::nan(""), std::numeric_limits<double>::infinity()})
    expectTable("V35", "a finite factor", with([&](CapacityT &capacity) { capacity.factor = factor; }));
  Result<std::shared_ptr<const Program>> program = Program::verify(sound.encode(), "p.moe");
  ASSERT_TRUE(program.ok());
  const fb::Entry &entry = *(*program)->table().entries()->Get(kMain);
  expectRule((*program)->checkCapacities(entry, {int64_t(1) << 40, int64_t(1) << 40}), "B01", "overflows");
  TestProgram small = testProgram();
  with([](CapacityT &capacity) { capacity.factor = 0.25; })(small);
  program = Program::verify(small.encode(), "p.moe");
  ASSERT_TRUE(program.ok());
  const fb::Entry &tight = *(*program)->table().entries()->Get(kMain);
  EXPECT_TRUE((*program)->checkCapacities(tight, {2, 2}).ok());
  expectRule((*program)->checkCapacities(tight, {1, 3}), "B11", "at least 0.3333333333333333 [B11]");
}

TEST(Verify, Config) {
  expectTable("V15", "twice", [](TestProgram &p) {
    p.table.config.push_back(std::make_unique<moe::fb::KeyValueT>(*p.table.config[0]));
  });
}

TEST(Verify, Targets) {
  expectTable("V16", "a target", [](TestProgram &p) { p.table.targets.clear(); });
  expectTable("V16", "section 0", [](TestProgram &p) { p.table.targets[0]->code = 0; });
  expectTable("V16", "code section below 2", [](TestProgram &p) { p.table.targets[0]->code = 2; });
  expectTable("V16", "a section of kind 2 for a target of kind cuda, found kind 1",
              [](TestProgram &p) { p.table.targets[0]->kind = moe::fb::TargetKind::cuda; });
  expectTable("V16", "known kind of target, found 3",
              [](TestProgram &p) { p.table.targets[0]->kind = moe::fb::TargetKind(3); });
  for (int64_t most : {int64_t(0), (int64_t(1) << 46) + 1})
    expectTable("V16", "buffers of at most 1 to",
                [&](TestProgram &p) { p.table.targets[0]->most_elements = most; });
  expectTable("V16", "entry below 2", [](TestProgram &p) { p.table.targets[0]->plans[1]->entry = 2; });
  expectTable("V16", "one plan of entry 'train', found 2",
              [](TestProgram &p) { p.table.targets[0]->plans[1]->entry = 0; });
  expectTable("V16", "one plan of entry 'main', found 0",
              [](TestProgram &p) { p.table.targets[0]->plans.pop_back(); });
}

TEST(Verify, Code) {
  expectElf("expected an ELF image", [](auto &elf) { elf.clear(); });
  expectElf("expected an ELF image", [](auto &elf) { elf[0] = 0; });
  expectElf("x86 shared object",
            [](auto &elf) { put<uint16_t>(elf, offsetof(Elf64_Ehdr, e_machine), EM_AARCH64); });
  expectElf("program headers", [](auto &elf) { put<uint16_t>(elf, offsetof(Elf64_Ehdr, e_phentsize), 55); });
  expectElf("lies outside", [](auto &elf) { put<uint64_t>(elf, offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX); });
  expectElf("loaded segments", [](auto &elf) { put<uint16_t>(elf, offsetof(Elf64_Ehdr, e_phnum), 0); });
  expectElf("ends after", [](auto &elf) {
    setField(elf, segment(elf, PT_LOAD), &Elf64_Phdr::p_filesz, uint64_t(1) << 40);
  });
  expectElf("sound size",
            [](auto &elf) { setField(elf, segment(elf, PT_LOAD), &Elf64_Phdr::p_memsz, uint64_t(1) << 40); });
  expectElf("modulo",
            [](auto &elf) { setField(elf, segment(elf, PT_LOAD), &Elf64_Phdr::p_vaddr, uint64_t(8)); });
  expectElf("shares a page", [](auto &elf) {
    size_t at = segment(elf, PT_LOAD) + sizeof(Elf64_Phdr);
    auto second = get<Elf64_Phdr>(elf, at);
    ASSERT_EQ(second.p_type, uint32_t(PT_LOAD));
    setField(elf, at, &Elf64_Phdr::p_vaddr, second.p_offset % 4096);
  });
  expectElf("writable and executable", [](auto &elf) {
    setField(elf, segment(elf, PT_LOAD), &Elf64_Phdr::p_flags, uint32_t(PF_W | PF_X));
  });
  expectElf("thread-local", [](auto &elf) {
    setField(elf, segment(elf, PT_GNU_STACK), &Elf64_Phdr::p_type, uint32_t(PT_TLS));
  });
  expectElf("dynamic table ends", [](auto &elf) {
    setField(elf, segment(elf, PT_DYNAMIC), &Elf64_Phdr::p_offset, uint64_t(elf.size() - 8));
  });
  for (int64_t tag : {DT_NEEDED, DT_RELA, DT_REL, DT_JMPREL, DT_INIT, DT_INIT_ARRAY, DT_FINI, DT_TEXTREL})
    expectElf("found dynamic tag", [&](auto &elf) { put<int64_t>(elf, dynamic(elf, DT_SYMENT), tag); });
  expectElf("expected symbols of", [](auto &elf) { put<uint64_t>(elf, dynamic(elf, DT_SYMENT) + 8, 23); });
  expectElf("hash table",
            [](auto &elf) { put<uint64_t>(elf, dynamic(elf, DT_HASH) + 8, uint64_t(1) << 40); });
  expectElf("string table",
            [](auto &elf) { put<uint64_t>(elf, dynamic(elf, DT_STRSZ) + 8, uint64_t(1) << 40); });
  // Addresses and offsets agree in the first segment, where lld puts the symbols.
  auto symbol = [](const std::vector<uint8_t> &elf, unsigned i) {
    return get<uint64_t>(elf, dynamic(elf, DT_SYMTAB) + 8) + i * sizeof(Elf64_Sym);
  };
  expectElf("outside the string table", [&](auto &elf) { put<uint32_t>(elf, symbol(elf, 1), 1 << 30); });
  expectElf("undefined", [&](auto &elf) {
    put<uint16_t>(elf, symbol(elf, 1) + offsetof(Elf64_Sym, st_shndx), SHN_UNDEF);
  });
  expectElf("ends after its segment", [&](auto &elf) {
    put<uint32_t>(elf, get<uint64_t>(elf, dynamic(elf, DT_HASH) + 8) + 4, 1 << 19);
  });
}

TEST(Verify, Kernels) {
  using namespace moe::fb;
  auto kernel = [](TestProgram &p) -> KernelT & { return *p.table.targets[0]->kernels[kDot]; };
  expectTable("V18", "twice", [&](TestProgram &p) { kernel(p).symbol = "scale"; });
  expectTable("V18", "code section, found none", [&](TestProgram &p) { kernel(p).symbol = "dott"; });
  expectTable("V18", "scratch", [&](TestProgram &p) { kernel(p).scratch = UINT32_MAX; });
  expectTable("V18", "GPU kernels alone, found 64 bytes and 32 threads",
              [&](TestProgram &p) { kernel(p).threads = 32; });
  expectTable("V18", "scalars by value, found kind 1",
              [&](TestProgram &p) { kernel(p).scalars[0] = ScalarParam::cell; });
  expectTable("V18", "parameters that are buffers, found tensor_map",
              [&](TestProgram &p) { kernel(p).params[0]->kind = ParamKind::tensor_map; });
  expectTable("V18", "parameters that are buffers, found one of an unknown kind",
              [&](TestProgram &p) { kernel(p).params[0]->kind = ParamKind(2); });
  expectTable("V18", "known accesses", [&](TestProgram &p) { kernel(p).params[0]->access = Access(2); });
  expectTable("V18", "known accesses", [&](TestProgram &p) { kernel(p).params[0]->type = ElementType(30); });
}

// A kernel may declare that it works in place, and then a launch may name one buffer twice.
TEST(Verify, InPlace) {
  using namespace moe::fb;
  auto scale = [](TestProgram &p) -> KernelT & { return *p.table.targets[0]->kernels[kScale]; };
  auto scaleTwice = [&](TestProgram &p) {
    PlanT &main = *p.table.targets[0]->plans[kMain];
    main.prepare.push_back(std::make_unique<LaunchT>(*main.prepare[0]));
    main.prepare[1]->buffers = {kMPacked, kMPacked};
    main.buffers[kMPacked]->last = 4;
    main.buffers[kMY]->first = 2;
    main.buffers[kMY]->last = 3;
  };
  TestProgram sound = testProgram();
  scaleTwice(sound);
  scale(sound).params[1]->over = 0;
  EXPECT_TRUE(verifyBytes(sound.encode()).ok()) << verifyBytes(sound.encode()).message();
  expectTable("V23", "alias", scaleTwice);
  expectTable("V18", "share the buffer", [&](TestProgram &p) { scale(p).params[1]->over = 2; });
  expectTable("V18", "share the buffer", [&](TestProgram &p) { scale(p).params[1]->over = 1; });
  expectTable("V18", "share the buffer", [&](TestProgram &p) { scale(p).params[0]->over = 1; });
  expectTable("V18", "share the buffer",
              [&](TestProgram &p) { p.table.targets[0]->kernels[kDot]->params[2]->over = 2; });
}

TEST(Verify, Buffers) {
  using namespace moe::fb;
  auto buffer = [](TestProgram &p, uint32_t i) -> BufferT & {
    return *p.table.targets[0]->plans[kTrain]->buffers[i];
  };
  expectTable("V19", "known kind", [&](TestProgram &p) { buffer(p, kTY).kind = BufferKind(4); });
  expectTable("V19", "expression below 6", [&](TestProgram &p) { buffer(p, kTY).extent = 6; });
  expectTable("V19", "power of two", [&](TestProgram &p) { buffer(p, kTY).alignment = 48; });
  expectTable("V19", "power of two", [&](TestProgram &p) { buffer(p, kTY).alignment = 1 << 20; });
  expectTable("V19", "power of two", [&](TestProgram &p) { buffer(p, kTY).alignment = 2; });
  expectTable("V19", "at most 64", [&](TestProgram &p) { buffer(p, kTW).alignment = 128; });
  expectTable("V19", "state below 2", [&](TestProgram &p) { buffer(p, kTW).index = 2; });
  expectTable("V19", "port below 2", [&](TestProgram &p) { buffer(p, kTImage).index = 2; });
  expectTable("V19", "elements of f32, found i32",
              [&](TestProgram &p) { buffer(p, kTW).type = ElementType::i32; });
  expectTable("V19", "at most 65536 buffers, found 65537", [&](TestProgram &p) {
    auto &buffers = p.table.targets[0]->plans[kTrain]->buffers;
    while (buffers.size() < 65537)
      buffers.push_back(std::make_unique<BufferT>(buffer(p, kTY)));
  });
  expectTable("V20", "second", [&](TestProgram &p) { buffer(p, kTMomentum).index = kW; });
}

TEST(Verify, Launches) {
  using namespace moe::fb;
  auto launch = [](TestProgram &p) -> LaunchT & { return *p.table.targets[0]->plans[kTrain]->step[0]; };
  auto work = [&](TestProgram &p) -> CpuKernelT & { return *launch(p).work.AsCpuKernel(); };
  expectTable("V22", "kernel below 5", [&](TestProgram &p) { work(p).kernel = 5; });
  expectTable("V22", "3 buffers", [&](TestProgram &p) { launch(p).buffers.pop_back(); });
  expectTable("V22", "3 buffers", [&](TestProgram &p) { launch(p).extents.pop_back(); });
  expectTable("V22", "2 scalars, found 0", [&](TestProgram &p) { launch(p).scalars.clear(); });
  expectTable("V22", "grain", [&](TestProgram &p) { work(p).grain = 0; });
  expectTable("V22", "expression below", [&](TestProgram &p) { work(p).units = 99; });
  expectTable("V22", "expression below", [&](TestProgram &p) { launch(p).flops = 99; });
  expectTable("V22", "expression below", [&](TestProgram &p) { launch(p).extents[0] = 99; });
  expectTable("V22", "buffer below 7", [&](TestProgram &p) { launch(p).buffers[0] = 7; });
  expectTable("V22", "expression below",
              [&](TestProgram &p) { launch(p).scalars[0] = Arg(ArgKind::extent, -1); });
  expectTable("V22", "scalar below",
              [&](TestProgram &p) { launch(p).scalars[0] = Arg(ArgKind::scalar_f32, 4); });
  expectTable("V22", "known kind", [&](TestProgram &p) { launch(p).scalars[0] = Arg(ArgKind(17), 0); });
  expectTable("V22", "known part of a step, found 3", [&](TestProgram &p) { launch(p).part = Part(3); });
  expectTable("V22", "expected f32 as buffer 0, found i32",
              [&](TestProgram &p) { launch(p).buffers[0] = kTLabel; });
  expectTable("V23", "alias", [&](TestProgram &p) { launch(p).buffers = {kTImage, kTY, kTY}; });
  expectTable("V23", "alias", [&](TestProgram &p) { // a third name beside a pair that works in place
    p.table.targets[0]->kernels[work(p).kernel]->params[2]->over = 1;
    launch(p).buffers = {kTY, kTY, kTY};
  });
  expectTable("V24", "not to write a buffer of kind input",
              [&](TestProgram &p) { launch(p).buffers[2] = kTImage; });
  expectTable("V24", "prepare not to read a buffer of kind input",
              [&](TestProgram &p) { p.table.targets[0]->plans[kMain]->prepare[0]->buffers[0] = kMImage; });
  expectTable("V24", "not to write a buffer of kind state",
              [&](TestProgram &p) { p.table.targets[0]->plans[kMain]->step[1]->buffers[1] = kMW; });
  expectTable("V24", "prepare not to write a buffer of kind output",
              [&](TestProgram &p) { p.table.targets[0]->plans[kMain]->prepare[0]->buffers[1] = kMLogits; });
}

TEST(Verify, Work) {
  using namespace moe::fb;
  auto launch = [](TestProgram &p) -> LaunchT & { return *p.table.targets[0]->plans[kMain]->step[1]; };
  expectTable("V30", "expected a CpuKernel, Copy or Fill on a target of kind cpu, found GpuKernel",
              [&](TestProgram &p) {
                GpuKernelT gpu;
                gpu.grid = gpu.block = {kOne, kOne, kOne};
                launch(p).work.Set(std::move(gpu));
              });
  expectTable("V30", "found LibraryProduct", [&](TestProgram &p) { launch(p).work.Set(LibraryProductT()); });
  expectTable("V30", "found Collective", [&](TestProgram &p) { launch(p).work.Set(CollectiveT()); });
  // %y -> logits, as one scales the other otherwise.
  auto copy = [&](TestProgram &p) {
    launch(p).work.Set(CopyT());
    launch(p).scalars.clear();
    launch(p).buffers = {kMLogits, kMY};
  };
  TestProgram copies = testProgram();
  copy(copies);
  EXPECT_TRUE(verifyBytes(copies.encode()).ok()) << verifyBytes(copies.encode()).message();
  expectTable("V30", "a Copy of 2 buffers and extents without scalars, found 1, 2 and 0",
              [&](TestProgram &p) {
                copy(p);
                launch(p).buffers.pop_back();
              });
  expectTable("V30", "found 2, 2 and 1", [&](TestProgram &p) {
    copy(p);
    launch(p).scalars = {Arg(ArgKind::seed_i64, 0)};
  });
  expectTable("V30", "a copy of as much as it writes", [&](TestProgram &p) {
    copy(p);
    launch(p).extents[1] = kOne;
  });
  expectTable("V22", "expected f32 as buffer 1, found i32", [&](TestProgram &p) {
    copy(p);
    PlanT &main = *p.table.targets[0]->plans[kMain];
    main.buffers.push_back(std::make_unique<BufferT>(*main.buffers[kMY]));
    main.buffers.back()->type = ElementType::i32;
    launch(p).buffers[1] = kMMark + 1;
  });
  expectTable("V23", "alias", [&](TestProgram &p) {
    copy(p);
    launch(p).buffers = {kMY, kMY};
  });
  expectTable("V25", "buffer 4 to be written before it is read", [&](TestProgram &p) {
    copy(p);
    launch(p).buffers = {kMY, kMLogits};
  });
  expectTable("V30", "a Fill of 1 buffers", [&](TestProgram &p) {
    launch(p).work.Set(FillT());
    launch(p).scalars.clear();
  });
  expectTable("V33", "states to be written by kernels alone", [&](TestProgram &p) {
    LaunchT &sgd = *p.table.targets[0]->plans[kTrain]->step[kSgd];
    sgd.work.Set(FillT());
    sgd.scalars.clear();
    sgd.buffers = {kTW};
    sgd.extents = {kColumns};
  });
}

TEST(Verify, GpuWork) {
  using namespace moe::fb;
  EXPECT_TRUE(verifyBytes(gpuProgram().encode()).ok()) << verifyBytes(gpuProgram().encode()).message();
  auto kernel = [](TestProgram &p) -> KernelT & { return *p.table.targets[0]->kernels[kDot]; };
  auto launch = [](TestProgram &p) -> LaunchT & { return *p.table.targets[0]->plans[kTrain]->step[0]; };
  auto work = [&](TestProgram &p) -> GpuKernelT & { return *launch(p).work.AsGpuKernel(); };
  expectGpuTable("V16", "a section of kind 2", [](TestProgram &p) { p.kind = SectionKind::emulator; });
  expectGpuTable("V18", "found 64 bytes and 64 threads", [&](TestProgram &p) { kernel(p).scratch = 64; });
  for (uint32_t threads : {0u, 1025u})
    expectGpuTable("V18", "blocks of at most 1 to 1024 threads",
                   [&](TestProgram &p) { kernel(p).threads = threads; });
  expectGpuTable("V18", "by value or in cells, found kind 2",
                 [&](TestProgram &p) { kernel(p).scalars[0] = ScalarParam(2); });
  expectGpuTable("V30", "expected a GpuKernel, Copy or Fill on a target of kind cuda, found CpuKernel",
                 [&](TestProgram &p) { launch(p).work.Set(CpuKernelT()); });
  expectGpuTable("V22", "kernel below 5", [&](TestProgram &p) { work(p).kernel = 5; });
  expectGpuTable("V22", "expression below", [&](TestProgram &p) { work(p).grid[1] = 99; });
  expectGpuTable("V22", "expression below", [&](TestProgram &p) { work(p).block[2] = 99; });
  expectGpuTable("V22", "expression below", [&](TestProgram &p) { work(p).shared = 99; });
  expectGpuTable("V30", "three axes, found 2", [&](TestProgram &p) { work(p).grid.pop_back(); });
  expectGpuTable("V30", "three axes, found 4", [&](TestProgram &p) { work(p).block.push_back(kOne); });
  expectGpuTable("V30", "found clusters", [&](TestProgram &p) { work(p).cluster = {kOne}; });
  expectGpuTable("V30", "resident blocks", [&](TestProgram &p) { work(p).resident = true; });
  expectGpuTable("V32", "expected scalar 0 by value, found it in a cell",
                 [&](TestProgram &p) { kernel(p).scalars[0] = ScalarParam::cell; });
  expectGpuTable("V32", "expected scalar 0 in a cell, found it by value",
                 [&](TestProgram &p) { launch(p).scalars[0] = Arg(ArgKind::step_i64, 0); });
  expectGpuTable("V30", "a fill of elements of 1 or 4 bytes, or of zeros, on a GPU, found elements of 8",
                 [&](TestProgram &p) {
                   PlanT &plan = *p.table.targets[0]->plans[kMain];
                   p.table.entries[kMain]->outputs[1]->type = plan.buffers[kMMark]->type = ElementType::i64;
                   LaunchT &mark = *plan.step.back();
                   mark.scalars.clear();
                   FillT fill;
                   fill.bits = 1;
                   mark.work.Set(std::move(fill));
                 });
  expectGpuTable("V33", "told of held updates", [&](TestProgram &p) {
    p.table.targets[0]->plans[kTrain]->step[kSgd]->scalars.back() = Arg(ArgKind::seed_i64, 0);
  });
  expectGpuTable("V33", "a launch that is given every predicate", [&](TestProgram &p) {
    p.table.targets[0]->kernels[kSquaredLoss]->scalars.pop_back();
    p.table.targets[0]->plans[kTrain]->step[kSquaredLoss]->scalars.pop_back();
  });
  expectTable("V22", "no word of held updates on the CPU",
              [&](TestProgram &p) { launch(p).scalars[0] = Arg(ArgKind::held_i64, 0); });
}

// A launch gives a GPU's kernel as many arguments as the table says, and the driver reads as many as the code has.
TEST(Verify, GpuCode) {
  namespace cubins = moe::cubins;
  auto code = [](const char *words, const std::function<void(cubins::ModuleT &)> &change) {
    expectGpuTable("V34", words, [&](TestProgram &p) {
      std::unique_ptr<cubins::ModuleT> module(cubins::GetSizePrefixedModule(p.sections[0].data())->UnPack());
      change(*module);
      flatbuffers::FlatBufferBuilder builder;
      cubins::FinishSizePrefixedModuleBuffer(builder, cubins::CreateModule(builder, module.get()));
      p.sections[0].assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
    });
  };
  auto dot = [](cubins::ModuleT &module) -> cubins::KernelT & { return *module.kernels[kDot]; };
  code("kernel 'dot': expected code of the kernel, found none",
       [&](cubins::ModuleT &module) { dot(module).name = "dots"; });
  code("expected code of each kernel once", [&](cubins::ModuleT &module) { dot(module).name = "scale"; });
  code("expected code of each kernel, found a kernel with none",
       [&](cubins::ModuleT &module) { dot(module).code.clear(); });
  code("code that takes 5 parameters (3 buffers and 2 scalars), found code that takes 4",
       [&](cubins::ModuleT &module) { dot(module).params.pop_back(); });
  code("parameter 0 of the code to be an address of 8 bytes, found a number of 8",
       [&](cubins::ModuleT &module) { dot(module).params[0]->kind = cubins::ParamKind::scalar; });
  code("parameter 3 of the code to be a number of 8 bytes, found an address of 8",
       [&](cubins::ModuleT &module) { dot(module).params[3]->kind = cubins::ParamKind::pointer; });
  code("parameter 4 of the code to be a number of 8 bytes, found a number of 4",
       [&](cubins::ModuleT &module) { dot(module).params[4]->bytes = 4; });
  code("parameter 4 of the code to be a number of 8 bytes, found one of an unknown kind",
       [&](cubins::ModuleT &module) { dot(module).params[4]->kind = cubins::ParamKind(7); });
  code("blocks of at most 64 threads, found code for 1024",
       [&](cubins::ModuleT &module) { dot(module).threads = 1024; });
  code("at most 49152 bytes of static shared memory, found 49153",
       [&](cubins::ModuleT &module) { dot(module).shared = 49153; });
  for (size_t bytes : {size_t(0), size_t(3), size_t(20)})
    expectGpuTable("V34", "expected code with a table of its kernels",
                   [&](TestProgram &p) { p.sections[0].resize(bytes); });
  // By a change to the program's own table.
  expectGpuTable("V34", "code for blocks of at most 128 threads, found code for 64",
                 [&](TestProgram &p) { p.table.targets[0]->kernels[kDot]->threads = 128; });
  expectGpuTable("V34", "code that takes 4 parameters (3 buffers and 1 scalars), found code that takes 5",
                 [&](TestProgram &p) {
                   p.table.targets[0]->kernels[kDot]->scalars.pop_back();
                   for (auto &plan : p.table.targets[0]->plans)
                     for (auto *launches : {&plan->prepare, &plan->step})
                       for (auto &launch : *launches)
                         if (launch->work.AsGpuKernel()->kernel == kDot)
                           launch->scalars.pop_back();
                 });
}

TEST(Verify, Updates) {
  expectTable("V31", "expected state 'fc.bias' of an update to be written", [](TestProgram &p) {
    p.table.states.push_back(std::make_unique<moe::fb::StateT>(*p.table.states[kW]));
    p.table.states.back()->path = "fc.bias";
    p.table.entries[kTrain]->updates[0]->states.push_back(2);
  });
  // What no update mentions changes whatever the predicates are.
  TestProgram more = testProgram();
  more.table.entries[kTrain]->updates[0]->states = {kW};
  EXPECT_TRUE(verifyBytes(more.encode()).ok()) << verifyBytes(more.encode()).message();
}

TEST(Verify, Lifetimes) {
  auto plan = [](TestProgram &p, EntryIndex i) -> moe::fb::PlanT & { return *p.table.targets[0]->plans[i]; };
  expectTable("V25", "before it is read",
              [&](TestProgram &p) { plan(p, kTrain).step.erase(plan(p, kTrain).step.begin()); });
  expectTable("V25", "before it is read", [&](TestProgram &p) { // in place, and the write is named first
    moe::fb::LaunchT &first = *plan(p, kTrain).step[0];
    auto &params = p.table.targets[0]->kernels[first.work.AsCpuKernel()->kernel]->params;
    params[0]->access = moe::fb::Access::write;
    params[0]->over = 2;
    params[2]->access = moe::fb::Access::read;
    first.buffers[0] = first.buffers[2];
  });
  expectTable("V26", "from launch 0 to 2", [&](TestProgram &p) { plan(p, kTrain).buffers[kTY]->last = 1; });
  expectTable("V26", "from launch 0 to 2", [&](TestProgram &p) { plan(p, kTrain).buffers[kTY]->first = 1; });
  expectTable("V26", "from launch 0 to 3",
              [&](TestProgram &p) { plan(p, kMain).buffers[kMPacked]->last = 1; });
  expectTable("V26", "from launch -1", [&](TestProgram &p) {
    plan(p, kTrain).buffers.push_back(std::make_unique<moe::fb::BufferT>(*plan(p, kTrain).buffers[kTY]));
  });
  expectTable("V29", "launch 4 (pack): expected a step to read buffer 2, which prepare made for all steps",
              [&](TestProgram &p) { // packed once more, behind its last use
                moe::fb::PlanT &main = plan(p, kMain);
                main.step.push_back(std::make_unique<moe::fb::LaunchT>(*main.prepare[0]));
                main.step.back()->buffers[0] = kMY;
                main.step.back()->extents[0] = kOne;
                main.buffers[kMPacked]->last = main.buffers[kMY]->last = 4;
              });
  expectTable("V29", "launch 1 (linear): expected a step to read buffer 2", [&](TestProgram &p) {
    p.table.targets[0]->kernels[kDot]->params[1]->access = moe::fb::Access::write;
  });
  expectTable("V27", "'mark' to be written", [&](TestProgram &p) {
    plan(p, kMain).step.pop_back();
    plan(p, kMain).buffers[kMPacked]->last = 2;
  });
}

// A change that every other rule lets pass, made without the compiler: the new table under the old header's
// trust.
TEST(Verify, Trust) {
  auto expectEdit = [](const std::function<void(TestProgram &)> &edit, bool refused) {
    TestProgram program = testProgram();
    std::vector<uint8_t> before = program.encode();
    edit(program);
    std::vector<uint8_t> after = program.encode();
    EXPECT_TRUE(verifyBytes(after).ok()) << verifyBytes(after).message();
    put(after, offsetof(Header, trust), get<uint64_t>(before, offsetof(Header, trust)));
    seal(after);
    if (refused)
      expectRule(verifyBytes(after), "V28", "compile it again");
    else
      EXPECT_TRUE(verifyBytes(after).ok()) << verifyBytes(after).message();
  };
  auto launch = [](TestProgram &p) -> moe::fb::LaunchT & {
    return *p.table.targets[0]->plans[kMain]->step[1];
  };
  expectEdit([&](TestProgram &p) { launch(p).work.AsCpuKernel()->units = kOne; }, true);
  expectEdit([&](TestProgram &p) { launch(p).extents[0] = kOne; }, true);
  expectEdit([&](TestProgram &p) { launch(p).scalars[0] = moe::fb::Arg(moe::fb::ArgKind::constant_f32, 0); },
             true);
  expectEdit(
      [&](TestProgram &p) { p.table.targets[0]->plans[kMain]->prepare[0]->scalars[0].mutate_value(1); },
      true);
  expectEdit([&](TestProgram &p) { p.table.targets[0]->kernels[kDot]->scratch = 0; }, true);
  expectEdit(
      [&](TestProgram &p) {
        p.table.exprs[kColumns]->ops = {moe::fb::ExprOp(moe::fb::ExprCode::constant, 2)};
      },
      true);
  expectEdit([&](TestProgram &p) { p.table.targets[0]->most_elements = 1 << 20; }, true);
  expectEdit([&](TestProgram &p) { p.sections[0].back() ^= 1; }, true);
  expectEdit([&](TestProgram &p) { p.table.states[kW]->init->b = 1; }, false);
  expectEdit([&](TestProgram &p) { p.table.config[0]->value = "3"; }, false);
  expectEdit([&](TestProgram &p) { launch(p).path = "head"; }, false);
}

Status layOutAt(TestProgram p, EntryIndex entry, Binding binding) {
  Result<std::shared_ptr<const Program>> program = Program::verify(p.encode(), "p.moe");
  if (!program)
    return program.status();
  const fb::Target &target = *(*program)->table().targets()->Get(0);
  return layOut(**program, target, *target.plans()->Get(entry), binding).status();
}

TEST(Bind, Grids) {
  EXPECT_TRUE(layOutAt(gpuProgram(), kTrain, {5, 64}).ok())
      << layOutAt(gpuProgram(), kTrain, {5, 64}).message();
  // One of the sizes of the first launch as a number.
  auto with = [](int64_t size, const std::function<uint32_t &(moe::fb::GpuKernelT &)> &field,
                 uint32_t threads = 64) {
    TestProgram p = gpuProgram();
    p.table.targets[0]->kernels[kDot]->threads = threads;
    p.sections = {cubinsOf(*p.table.targets[0])};
    field(*p.table.targets[0]->plans[kTrain]->step[0]->work.AsGpuKernel()) = uint32_t(p.table.exprs.size());
    p.table.exprs.push_back(std::make_unique<moe::fb::ExprT>());
    p.table.exprs.back()->ops = {moe::fb::ExprOp(moe::fb::ExprCode::constant, size)};
    return layOutAt(std::move(p), kTrain, {1, 1});
  };
  using Gpu = moe::fb::GpuKernelT;
  auto bound = [&](int64_t most, const char *words, const std::function<uint32_t &(Gpu &)> &field,
                   uint32_t threads = 1024) {
    EXPECT_TRUE(with(most, field, threads).ok()) << with(most, field, threads).message();
    expectRule(with(most + 1, field, threads), "B10", words);
  };
  bound(INT32_MAX, "1 to 2147483647 blocks", [](Gpu &gpu) -> uint32_t & { return gpu.grid[0]; });
  bound(65535, "1 to 65535 blocks", [](Gpu &gpu) -> uint32_t & { return gpu.grid[1]; });
  bound(65535, "1 to 65535 blocks", [](Gpu &gpu) -> uint32_t & { return gpu.grid[2]; });
  bound(64, "1 to 64 threads", [](Gpu &gpu) -> uint32_t & { return gpu.block[2]; });
  bound(227 * 1024, "0 to 232448 bytes", [](Gpu &gpu) -> uint32_t & { return gpu.shared; });
  // Blocks have three threads along their first axis.
  bound(
      21, "at most the 64 threads that the kernel was compiled for, found 66",
      [](Gpu &gpu) -> uint32_t & { return gpu.block[1]; }, 64);
  expectRule(with(0, [](Gpu &gpu) -> uint32_t & { return gpu.grid[0]; }), "B10", "found 0");
  expectRule(with(-1, [](Gpu &gpu) -> uint32_t & { return gpu.shared; }), "B10", "found -1");
}

// The most elements of a buffer are the target's.
TEST(Bind, IndexLimit) {
  TestProgram p = testProgram();
  p.table.targets[0]->most_elements = 6;
  EXPECT_TRUE(layOutAt(p, kTrain, {1, 2}).ok());
  expectRule(layOutAt(p, kTrain, {1, 3}), "B06", "expected at most 6 elements, found 9");
}

TEST(Bind, Rules) {
  using moe::fb::ExprCode;
  using Op = moe::fb::ExprOp;
  EXPECT_TRUE(layOutAt(testProgram(), kTrain, {5, 64}).ok());
  auto with = [](const std::function<void(TestProgram &)> &change) {
    TestProgram p = testProgram();
    change(p);
    return p;
  };
  expectRule(layOutAt(testProgram(), kTrain, {int64_t(1) << 40, int64_t(1) << 40}), "B01", "overflows");
  Op divide[] = {Op(ExprCode::constant, 1), Op(ExprCode::constant, 0), Op(ExprCode::floordiv, 0)};
  expectRule(
      layOutAt(with([&](TestProgram &p) { p.table.exprs[kB]->ops = {divide, divide + 3}; }), kTrain, {1, 1}),
      "B01", "divides by zero");
  Op least[] = {Op(ExprCode::constant, INT64_MIN), Op(ExprCode::constant, -1), Op(ExprCode::ceildiv, 0)};
  expectRule(
      layOutAt(with([&](TestProgram &p) { p.table.exprs[kB]->ops = {least, least + 3}; }), kTrain, {1, 1}),
      "B01", "divides by zero");
  Op negative[] = {Op(ExprCode::symbol, 0), Op(ExprCode::constant, 9), Op(ExprCode::sub, 0)};
  expectRule(layOutAt(with([&](TestProgram &p) { p.table.exprs[kB]->ops = {negative, negative + 3}; }),
                      kTrain, {1, 1}),
             "B01", "expected sizes of at least 1, found -8");
  negative[1] = Op(ExprCode::constant, 1);
  expectRule(layOutAt(with([&](TestProgram &p) { p.table.exprs[kB]->ops = {negative, negative + 3}; }),
                      kTrain, {1, 1}),
             "B07", "expected sizes of at least 1, found 0");
  expectRule(layOutAt(testProgram(), kTrain, {0, 4}), "B02", "at least one");
  expectRule(layOutAt(testProgram(), kTrain, {2, -1}), "B02", "at least one");
  expectRule(layOutAt(with([](TestProgram &p) { p.table.states[kW]->shape = {4}; }), kTrain, {1, 1}), "B03",
             "expected the 4 elements");
  expectRule(
      layOutAt(with([](TestProgram &p) { p.table.targets[0]->plans[0]->buffers[kTImage]->extent = kB; }),
               kTrain, {1, 2}),
      "B03", "expected the 6 elements");
  expectRule(
      layOutAt(with([](TestProgram &p) { p.table.targets[0]->plans[0]->step[0]->extents[2] = kImage; }),
               kTrain, {1, 2}),
      "B04", "at most the 2 elements");
  expectRule(layOutAt(testProgram(), kTrain, {int64_t(1) << 22, int64_t(1) << 22}), "B05", "fit in memory");
  Op many[] = {Op(ExprCode::constant, int64_t(INT32_MAX) + 1)};
  auto units = [&](int64_t count) {
    many[0] = Op(ExprCode::constant, count);
    return layOutAt(with([&](TestProgram &p) { // of one launch alone
                      p.table.targets[0]->plans[kTrain]->step[0]->work.AsCpuKernel()->units =
                          uint32_t(p.table.exprs.size());
                      p.table.exprs.push_back(std::make_unique<moe::fb::ExprT>());
                      p.table.exprs.back()->ops = {many, many + 1};
                    }),
                    kTrain, {1, 1});
  };
  EXPECT_TRUE(units(INT32_MAX).ok()) << units(INT32_MAX).message();
  for (int64_t count : {int64_t(INT32_MAX) + 1, INT64_MAX})
    expectRule(units(count), "B08",
               concat("launch 0 (linear of fc): expected at most 2147483647 units of work, found ", count,
                      " at 1 x 1 images"));
  // An image has three elements: this batch is the largest, and the next one is too large.
  EXPECT_TRUE(layOutAt(testProgram(), kTrain, {1, INT32_MAX / 3}).ok());
  expectRule(
      layOutAt(testProgram(), kTrain, {1, INT32_MAX / 3 + 1}), "B06",
      "buffer 0, input 'image': expected at most 2147483647 elements, found 2147483649 at 1 x 715827883 "
      "images; use at most 1 x 715827882");
}

TEST(Bind, RefusesABetterCpu) {
  TestProgram p = testProgram();
  p.table.targets[0]->features = {"sse2", "avx1024"};
  p.table.targets[0]->level = "x86-64-v9";
  Result<std::shared_ptr<const Program>> program = Program::verify(p.encode(), "p.moe");
  ASSERT_TRUE(program.ok()) << "a program for another CPU can be inspected: " << program.status().message();
  Status refused = chooseTarget(**program, {"sse2", "avx2", "fma", "bmi2"}).status();
  expectRule(refused, "B09", "avx1024");
  EXPECT_NE(refused.message().find("--target=cpu:x86-64-v3"), std::string::npos) << refused.message();
  EXPECT_TRUE(chooseTarget(**program, {"sse2", "avx1024"}).ok());
  EXPECT_FALSE(cpuFeatures().empty());
}

// FlatBuffers' own verifier takes a vector of structs at any multiple of 4.
TEST(Verify, VectorsOfLongElementsAreAligned) {
  std::vector<uint8_t> file = testProgram().encode();
  auto sections = verifyFile(file);
  ASSERT_TRUE(sections.ok());
  std::vector<uint64_t> aligned(((*sections)[0].bytes.size() + 7) / 8);
  std::memcpy(aligned.data(), (*sections)[0].bytes.data(), (*sections)[0].bytes.size());
  std::span<uint8_t> table(reinterpret_cast<uint8_t *>(aligned.data()), (*sections)[0].bytes.size());
  auto program = verifyStructure(table);
  ASSERT_TRUE(program.ok()) << program.status().message();
  for (const moe::fb::Expr *expr : *(*program)->exprs()) {
    if (expr->ops()->size() != 1 || expr->ops()->Get(0)->code() != moe::fb::ExprCode::symbol)
      continue;
    // Four bytes further on the code, 1, is a length, and an element that lies in the table follows it.
    uint8_t *field = table.data() + (reinterpret_cast<const uint8_t *>(expr) - table.data()) + 4;
    const auto *vector = reinterpret_cast<const uint8_t *>(expr->ops());
    while (field + flatbuffers::ReadScalar<uint32_t>(field) != vector)
      field += 4;
    flatbuffers::WriteScalar(field, flatbuffers::ReadScalar<uint32_t>(field) + 4);
    flatbuffers::Verifier own(table.data(), table.size());
    EXPECT_TRUE(moe::fb::VerifyProgramBuffer(own));
    auto moved = verifyStructure(table);
    ASSERT_FALSE(moved.ok());
    EXPECT_NE(moved.status().message().find("[V07]"), std::string::npos) << moved.status().message();
    return;
  }
  FAIL() << "expected an expression of one symbol";
}

TEST(Rules, EveryOneIsBrokenByATest) {
  std::set<std::string> named;
  for (const char *file : {"program/Verify.cpp", "program/VerifyFile.cpp", "program/Program.cpp",
                           "program/Capacity.cpp", "plan/Layout.cpp", "device/cpu/KernelCode.cpp"}) {
    std::ifstream stream(std::string(MOERT_SOURCE_DIR "/runtime/") + file);
    std::stringstream text;
    text << stream.rdbuf();
    std::string source = text.str();
    ASSERT_FALSE(source.empty()) << file;
    std::regex rule("(?:broken|index)\\(\\s*\"([VB][0-9][0-9])\"");
    for (std::sregex_iterator it(source.begin(), source.end(), rule), end; it != end; ++it)
      named.insert((*it)[1]);
  }
  EXPECT_GE(named.size(), 30u);
  if (broken().size() < 20)
    GTEST_SKIP() << "the tests that break rules ran in another process: run the whole suite in one";
  for (const std::string &rule : named)
    EXPECT_TRUE(broken().count(rule)) << "no test breaks rule " << rule;
}

} // namespace
} // namespace moert::test
