// The ELF image of a target's kernels, read without trusting a byte of it. It is a shared object that needs
// nothing: segments to copy, and a symbol table. Relocations, needed libraries, thread-local storage and
// initialisers are refused, so that loading is a copy and an mprotect, and no code runs before a kernel is
// called.
#pragma once

#include "runtime/base/Result.h"

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace moert {

struct CodeImage {
  struct Segment {
    uint64_t offset, fileBytes; // in the section
    uint64_t address, bytes;    // in memory, from the image's base
    bool executable;
  };
  std::vector<Segment> segments; // ascending, on pages of their own
  uint64_t bytes = 0;            // of memory, a multiple of the page
  std::map<std::string_view, uint64_t>
      functions; // name (in the section) to address, inside an executable segment

  static Result<CodeImage> read(std::span<const uint8_t> elf);
};

} // namespace moert
