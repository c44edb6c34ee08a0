// Layout and digest of a program file. The same bytes in give the same file out: nothing here reads a clock,
// a path or uninitialised memory.
#include "runtime/program/Header.h"
#include "runtime/program/Trust.h"

#include <cstring>
#include <sys/types.h>

extern "C" {
#include <sha2.h>
}

namespace moert {

Digest digestOf(std::span<const uint8_t> file) {
  constexpr size_t begin = offsetof(Header, digest), end = begin + kDigestBytes;
  const Digest zeros = {};
  SHA2_CTX context;
  SHA256Init(&context);
  SHA256Update(&context, file.data(), begin);
  SHA256Update(&context, zeros.data(), zeros.size());
  SHA256Update(&context, file.data() + end, file.size() - end);
  Digest digest;
  SHA256Final(digest.data(), &context);
  return digest;
}

void seal(std::span<uint8_t> file) {
  Digest digest = digestOf(file);
  memcpy(file.data() + offsetof(Header, digest), digest.data(), digest.size());
}

static uint64_t alignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

std::vector<uint8_t> encodeProgram(std::span<const uint8_t> flatbuffer, std::span<const Section> sections) {
  std::vector<Section> all = {{SectionKind::program, flatbuffer}};
  all.insert(all.end(), sections.begin(), sections.end());
  std::vector<SectionEntry> table;
  uint64_t at = sizeof(Header) + sizeof(SectionEntry) * all.size();
  for (const Section &section : all) {
    at = alignUp(at, table.empty() ? kFlatBufferAlignment : kSectionAlignment);
    table.push_back({section.kind, at, section.bytes.size()});
    at += section.bytes.size();
  }
  Header header = {};
  header.magic = kProgramMagic;
  header.major = kSchemaMajor;
  header.minor = kSchemaMinor;
  header.sections = uint32_t(table.size());
  header.fileSize = at;
  header.trust = trustOf(*moe::fb::GetProgram(flatbuffer.data()), all);

  std::vector<uint8_t> file(at);
  memcpy(file.data(), &header, sizeof header);
  memcpy(file.data() + sizeof header, table.data(), table.size() * sizeof(SectionEntry));
  for (size_t i = 0; i < all.size(); ++i)
    if (!all[i].bytes.empty())
      memcpy(file.data() + table[i].offset, all[i].bytes.data(), all[i].bytes.size());
  seal(file);
  return file;
}

} // namespace moert
