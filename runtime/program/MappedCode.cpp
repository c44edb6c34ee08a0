// Copies segments to zeroed pages, and protects them.
#include "runtime/program/MappedCode.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace moert {

Result<Memory> mapCode(const CodeImage &image, std::span<const uint8_t> elf) {
  Memory memory;
  MOERT_TRY(memory.allocate(image.bytes));
  std::byte *base = memory.data();
  for (const CodeImage::Segment &segment : image.segments)
    memcpy(base + segment.address, elf.data() + segment.offset, segment.fileBytes);
  if (mprotect(base, memory.size(), PROT_READ) != 0)
    return invalidInput("cannot protect the program's code: ", strerror(errno));
  constexpr uint64_t page = 4096;
  for (const CodeImage::Segment &segment : image.segments) {
    if (!segment.executable)
      continue;
    uint64_t begin = segment.address / page * page;
    uint64_t end = (segment.address + segment.bytes + page - 1) / page * page;
    if (mprotect(base + begin, end - begin, PROT_READ | PROT_EXEC) != 0)
      return invalidInput("cannot make the program's code executable: ", strerror(errno),
                          "; the system forbids it to this process");
  }
  return memory;
}

} // namespace moert
