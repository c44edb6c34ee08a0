// The layout of a program file, and the functions that write and digest it. A file is a 64-byte header, a
// table of sections, and the sections. Section 0 is the FlatBuffer of program.fbs and starts at a multiple of
// 64; every other section (a target's code) starts at a multiple of 4096, so that it can be mapped. Sections
// lie in the order of the table without overlap, every byte between them is zero, and the last one ends the
// file. The digest is the SHA-256 of the file with the digest's own bytes as zero: it detects damage, not
// malice, since a program is code. A second, short digest covers what no rule of verification could tell
// right from wrong; see Trust.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace moert {

/// The first bytes of every program. The shape is PNG's: it shows a transfer that changed line ends or the
/// high bit.
inline constexpr std::array<uint8_t, 8> kProgramMagic = {0x89, 'M', 'O', 'E', '\r', '\n', 0x1a, '\n'};

/// The schema's version. A change that an older loader cannot read raises major; an added field raises minor.
inline constexpr uint16_t kSchemaMajor = 4;
inline constexpr uint16_t kSchemaMinor = 2;

/// FlatBuffers' own limit; weights are not in here.
inline constexpr uint64_t kMaxFileBytes = uint64_t(1) << 31;

inline constexpr size_t kDigestBytes = 32;
using Digest = std::array<uint8_t, kDigestBytes>;

/// All integers little-endian.
struct Header {
  std::array<uint8_t, 8> magic;
  uint16_t major;
  uint16_t minor;
  uint32_t sections; // entries of the section table that follows the header
  uint64_t fileSize;
  Digest digest;
  uint64_t trust; // of code, and of what it takes on trust
};
static_assert(sizeof(Header) == 64);

/// What a section holds.
enum class SectionKind : uint64_t {
  program,  ///< the FlatBuffer of program.fbs: section 0 and no other
  host,     ///< an ELF shared object for the host's CPU, without relocations or needs (CodeImage.h)
  cubin,    ///< machine code of GPUs, a file a kernel (cubins.fbs)
  emulator, ///< a module of the emulated driver's (emulator/module.fbs)
};
inline constexpr SectionKind kLastSectionKind = SectionKind::emulator;

/// An entry of the section table.
struct SectionEntry {
  SectionKind kind;
  uint64_t offset; // from the start of the file
  uint64_t size;
};
static_assert(sizeof(SectionEntry) == 24);

/// A section's kind and bytes.
struct Section {
  SectionKind kind;
  std::span<const uint8_t> bytes;
};

inline constexpr uint64_t kFlatBufferAlignment = 64;
inline constexpr uint64_t kSectionAlignment = 4096;
inline constexpr uint32_t kMaxSections = 64;

/// The digest that a file of these bytes must carry. The bytes must hold a whole header.
Digest digestOf(std::span<const uint8_t> file);

/// Writes the right digest into the header of a file. Leaves `trust` alone.
void seal(std::span<uint8_t> file);

/// Lays out and seals a file: `flatbuffer` (finished, of the program's schema) becomes section 0, and
/// sections[i] section i + 1.
std::vector<uint8_t> encodeProgram(std::span<const uint8_t> flatbuffer, std::span<const Section> sections);

} // namespace moert
