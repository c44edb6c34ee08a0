// The file's part of verification: what can be said before a byte of the FlatBuffer is followed. The version
// is compared before the digest, so that a program of another version is told from a damaged one.
#include "runtime/program/Verify.h"

#include <cstring>

namespace moert {

Result<std::vector<Section>> verifyFile(std::span<const uint8_t> file) {
  if (file.empty())
    return broken("V01", "expected a program, found an empty file");
  size_t magicBytes = std::min(file.size(), kProgramMagic.size());
  if (memcmp(file.data(), kProgramMagic.data(), magicBytes) != 0)
    return broken("V02", "expected a program written by `moec compile`, found a file of another kind");
  if (file.size() < sizeof(Header) + sizeof(SectionEntry) || file.size() > kMaxFileBytes)
    return broken("V01", "expected a program of ", sizeof(Header) + sizeof(SectionEntry), " to ",
                  kMaxFileBytes, " bytes, found ", file.size(), "; copy or compile it again");
  Header header;
  memcpy(&header, file.data(), sizeof header);
  if (header.major != kSchemaMajor)
    return broken(
        "V03", "expected schema version ", kSchemaMajor, ", found ", header.major, ".", header.minor,
        header.major > kSchemaMajor ? "; this moert is too old: build the version that made the program"
                                    : "; compile it again with this version's moec");
  if (header.fileSize != file.size())
    return broken("V04", "expected ", header.fileSize, " bytes, found ", file.size(),
                  header.fileSize > file.size() ? "; the file is truncated: copy or compile it again"
                                                : "; something was appended: copy or compile it again");
  if (digestOf(file) != header.digest)
    return broken("V05", "the file is damaged: its digest does not match; copy or compile it again");

  if (header.sections == 0 || header.sections > kMaxSections)
    return broken("V06", "expected 1 to ", kMaxSections, " sections, found ", header.sections);
  uint64_t end = sizeof(Header) + uint64_t(header.sections) * sizeof(SectionEntry);
  if (end > file.size())
    return broken("V06", "the table of ", header.sections, " sections ends after the file");
  std::vector<Section> sections;
  for (uint32_t i = 0; i < header.sections; ++i) {
    SectionEntry entry;
    memcpy(&entry, file.data() + sizeof(Header) + i * sizeof entry, sizeof entry);
    uint64_t alignment = i == 0 ? kFlatBufferAlignment : kSectionAlignment;
    uint64_t expected = (end + alignment - 1) / alignment * alignment;
    if (entry.offset != expected || entry.offset > file.size() || entry.size > file.size() - entry.offset)
      return broken("V06", "expected section ", i, " at byte ", expected, " and inside the file, found ",
                    entry.size, " bytes at ", entry.offset);
    for (uint64_t at = end; at < entry.offset; ++at)
      if (file[at] != 0)
        return broken("V06", "expected zeros between sections, found ", int(file[at]), " at byte ", at);
    if (entry.kind > kLastSectionKind || (entry.kind == SectionKind::program) != (i == 0))
      return broken(
          "V06",
          "expected the program's tables as section 0 and code of a known kind behind them, found kind ",
          uint64_t(entry.kind), " as section ", i);
    sections.push_back({entry.kind, file.subspan(entry.offset, entry.size)});
    end = entry.offset + entry.size;
  }
  if (end != file.size())
    return broken("V06", "expected the last section to end the file's ", file.size(),
                  " bytes, found its end at ", end);
  return sections;
}

// FlatBuffers' verifier holds fields to their alignment, and the lengths of vectors, but not what follows a length:
// elements of 8 bytes need more.
static bool vectorsAreAligned(const moe::fb::Program &program) {
  auto aligned = [](const auto *vector) {
    return vector->size() == 0 || reinterpret_cast<uintptr_t>(vector->Data()) % 8 == 0;
  };
  for (const moe::fb::Expr *expr : *program.exprs())
    if (!aligned(expr->ops()))
      return false;
  for (const moe::fb::State *state : *program.states())
    if (!aligned(state->shape()))
      return false;
  for (const moe::fb::Target *target : *program.targets())
    for (const moe::fb::Plan *plan : *target->plans())
      for (const auto *launches : {plan->prepare(), plan->step()})
        for (const moe::fb::Launch *launch : *launches)
          if (!aligned(launch->scalars()))
            return false;
  return true;
}

Result<const moe::fb::Program *> verifyStructure(std::span<const uint8_t> flatbuffer) {
  flatbuffers::Verifier verifier(flatbuffer.data(), flatbuffer.size(), /*max_depth=*/16,
                                 /*max_tables=*/1 << 20);
  if (flatbuffer.size() < 16 || !moe::fb::VerifyProgramBuffer(verifier))
    return broken("V07", "section 0 is not a FlatBuffer of the program's schema; compile it again");
  const moe::fb::Program *program = moe::fb::GetProgram(flatbuffer.data());
  if (!vectorsAreAligned(*program))
    return broken("V07",
                  "section 0 has vectors of 8-byte elements at other places than multiples of 8; compile "
                  "it again");
  return program;
}

} // namespace moert
