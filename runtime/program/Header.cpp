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

std::vector<uint8_t> encodeProgram(std::span<const uint8_t> flatbuffer,
                                   std::span<const std::span<const uint8_t>> sections) {
  std::vector<SectionRange> table;
  uint64_t at = sizeof(Header) + sizeof(SectionRange) * (sections.size() + 1);
  at = alignUp(at, kFlatBufferAlignment);
  table.push_back({at, flatbuffer.size()});
  at += flatbuffer.size();
  for (std::span<const uint8_t> section : sections) {
    at = alignUp(at, kSectionAlignment);
    table.push_back({at, section.size()});
    at += section.size();
  }
  Header header = {};
  header.magic = kProgramMagic;
  header.major = kSchemaMajor;
  header.minor = kSchemaMinor;
  header.sections = uint32_t(table.size());
  header.fileSize = at;

  std::vector<std::span<const uint8_t>> all = {flatbuffer};
  all.insert(all.end(), sections.begin(), sections.end());
  header.trust = trustOf(*moe::fb::GetProgram(flatbuffer.data()), all);

  std::vector<uint8_t> file(at);
  memcpy(file.data(), &header, sizeof header);
  memcpy(file.data() + sizeof header, table.data(), table.size() * sizeof(SectionRange));
  auto put = [&](size_t index, std::span<const uint8_t> bytes) {
    if (!bytes.empty())
      memcpy(file.data() + table[index].offset, bytes.data(), bytes.size());
  };
  put(0, flatbuffer);
  for (size_t i = 0; i < sections.size(); ++i)
    put(i + 1, sections[i]);
  seal(file);
  return file;
}

} // namespace moert
