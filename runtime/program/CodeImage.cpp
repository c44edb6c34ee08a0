// Reads the ELF image of kernels. Every offset is checked against the section before it is followed; tables
// are found through the dynamic segment, by addresses that must lie inside a loaded segment's file bytes.
#include "runtime/program/CodeImage.h"

#include <cstring>
#include <elf.h>

namespace moert {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMaxImageBytes = uint64_t(1) << 30;
constexpr uint64_t kMaxSymbols = 1 << 20;

class Reader {
public:
  explicit Reader(std::span<const uint8_t> elf) : elf_(elf) {}
  Result<CodeImage> read();

private:
  Status readSegments();
  Status addSegment(const Elf64_Phdr &header);
  Status readDynamic();
  Status readSymbols();

  template <typename T> bool get(uint64_t offset, T &value) const {
    if (offset > elf_.size() || elf_.size() - offset < sizeof(T))
      return false;
    memcpy(&value, elf_.data() + offset, sizeof(T));
    return true;
  }
  /// The bytes at a memory address that the file holds, to the end of their segment.
  std::span<const uint8_t> at(uint64_t address) const {
    for (const CodeImage::Segment &segment : image_.segments)
      if (address >= segment.address && address - segment.address < segment.fileBytes)
        return elf_.subspan(segment.offset + (address - segment.address),
                            segment.fileBytes - (address - segment.address));
    return {};
  }

  std::span<const uint8_t> elf_;
  CodeImage image_;
  uint64_t dynamicOffset_ = 0, dynamicBytes_ = 0;
  uint64_t symbols_ = 0, strings_ = 0, stringBytes_ = 0, hash_ = 0;
};

Status Reader::addSegment(const Elf64_Phdr &header) {
  if (header.p_offset > elf_.size() || header.p_filesz > elf_.size() - header.p_offset)
    return invalidInput("segment of ", header.p_filesz, " bytes at ", header.p_offset,
                        " ends after the section's ", elf_.size(), " bytes");
  if (header.p_memsz < header.p_filesz || header.p_memsz > kMaxImageBytes || header.p_vaddr > kMaxImageBytes)
    return invalidInput("segment of ", header.p_memsz, " bytes at address ", header.p_vaddr,
                        " has no sound size in memory");
  if (header.p_vaddr % kPage != header.p_offset % kPage)
    return invalidInput("segment at address ", header.p_vaddr, " does not match its file offset ",
                        header.p_offset, " modulo the page");
  bool executable = header.p_flags & PF_X;
  if (executable && (header.p_flags & PF_W))
    return invalidInput("segment at address ", header.p_vaddr, " is both writable and executable");
  if (header.p_vaddr / kPage * kPage < image_.bytes)
    return invalidInput("segment at address ", header.p_vaddr, " shares a page with the one before");
  image_.segments.push_back({header.p_offset, header.p_filesz, header.p_vaddr, header.p_memsz, executable});
  image_.bytes = (header.p_vaddr + header.p_memsz + kPage - 1) / kPage * kPage;
  return {};
}

Status Reader::readSegments() {
  Elf64_Ehdr header;
  if (!get(0, header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return invalidInput("expected an ELF image");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_ident[EI_VERSION] != EV_CURRENT || header.e_machine != EM_X86_64 || header.e_type != ET_DYN)
    return invalidInput("expected a 64-bit x86 shared object, found class ", int(header.e_ident[EI_CLASS]),
                        ", machine ", header.e_machine, ", type ", header.e_type);
  if (header.e_phentsize != sizeof(Elf64_Phdr))
    return invalidInput("expected program headers of ", sizeof(Elf64_Phdr), " bytes, found ",
                        header.e_phentsize);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    uint64_t step = uint64_t(i) * sizeof segment;
    if (header.e_phoff > elf_.size() || !get(header.e_phoff + step, segment))
      return invalidInput("program header ", i, " lies outside the section's ", elf_.size(), " bytes");
    switch (segment.p_type) {
    case PT_LOAD:
      MOERT_TRY(addSegment(segment));
      break;
    case PT_DYNAMIC:
      dynamicOffset_ = segment.p_offset;
      dynamicBytes_ = segment.p_filesz;
      break;
    case PT_INTERP:
    case PT_TLS:
      return invalidInput(
          "expected code without interpreter and thread-local storage, found a segment of type ",
          segment.p_type);
    default: // notes, stack flags and the like do not touch memory
      break;
    }
  }
  if (image_.segments.empty() || image_.bytes > kMaxImageBytes)
    return invalidInput("expected loaded segments of at most ", kMaxImageBytes, " bytes, found ",
                        image_.bytes);
  return {};
}

Status Reader::readDynamic() {
  for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamicBytes_; at += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    if (dynamicOffset_ > elf_.size() || !get(dynamicOffset_ + at, entry))
      return invalidInput("dynamic table ends after the section");
    switch (entry.d_tag) {
    case DT_NULL:
      return {};
    case DT_SYMTAB:
      symbols_ = entry.d_un.d_ptr;
      break;
    case DT_STRTAB:
      strings_ = entry.d_un.d_ptr;
      break;
    case DT_STRSZ:
      stringBytes_ = entry.d_un.d_val;
      break;
    case DT_HASH:
      hash_ = entry.d_un.d_ptr;
      break;
    case DT_SYMENT:
      if (entry.d_un.d_val != sizeof(Elf64_Sym))
        return invalidInput("expected symbols of ", sizeof(Elf64_Sym), " bytes, found ", entry.d_un.d_val);
      break;
    case DT_NEEDED:
    case DT_REL:
    case DT_RELA:
    case DT_RELR:
    case DT_JMPREL:
    case DT_TEXTREL:
    case DT_INIT:
    case DT_FINI:
    case DT_INIT_ARRAY:
    case DT_FINI_ARRAY:
    case DT_PREINIT_ARRAY:
      return invalidInput("expected code without libraries, relocations and initialisers, found dynamic tag ",
                          entry.d_tag);
    default: // sizes, flags, the soname: nothing that loading would act on
      break;
    }
  }
  return {};
}

Status Reader::readSymbols() {
  std::span<const uint8_t> hash = at(hash_), strings = at(strings_), symbols = at(symbols_);
  uint32_t counts[2]; // buckets, chains; a chain a symbol
  if (hash.size() < sizeof counts)
    return invalidInput(
        "expected a symbol hash table (DT_HASH; link with --hash-style=sysv or both), found none");
  memcpy(counts, hash.data(), sizeof counts);
  if (counts[1] > kMaxSymbols || symbols.size() / sizeof(Elf64_Sym) < counts[1])
    return invalidInput("symbol table of ", counts[1], " symbols ends after its segment");
  if (stringBytes_ == 0 || strings.size() < stringBytes_ || strings[stringBytes_ - 1] != 0)
    return invalidInput("string table of ", stringBytes_, " bytes is not a terminated part of its segment");
  for (uint32_t i = 1; i < counts[1]; ++i) {
    Elf64_Sym symbol;
    memcpy(&symbol, symbols.data() + i * sizeof symbol, sizeof symbol);
    if (symbol.st_name >= stringBytes_)
      return invalidInput("symbol ", i, " has its name outside the string table");
    std::string_view name(reinterpret_cast<const char *>(strings.data()) + symbol.st_name);
    if (symbol.st_shndx == SHN_UNDEF)
      return invalidInput("symbol '", name, "' is undefined, and code may need nothing from outside");
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
      continue;
    for (const CodeImage::Segment &segment : image_.segments)
      if (segment.executable && symbol.st_value >= segment.address &&
          symbol.st_value - segment.address < segment.fileBytes &&
          symbol.st_size <= segment.fileBytes - (symbol.st_value - segment.address))
        image_.functions.emplace(name, symbol.st_value);
  }
  return {};
}

Result<CodeImage> Reader::read() {
  MOERT_TRY(readSegments());
  MOERT_TRY(readDynamic());
  MOERT_TRY(readSymbols());
  return std::move(image_);
}

} // namespace

Result<CodeImage> CodeImage::read(std::span<const uint8_t> elf) { return Reader(elf).read(); }

} // namespace moert
