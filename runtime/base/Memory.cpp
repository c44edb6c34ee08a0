// Pages straight from the system: they come zeroed, aligned to any power of two we need, and go back when
// freed.
#include "runtime/base/Memory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace moert {

Memory::Memory(Memory &&other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory &Memory::operator=(Memory &&other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Memory::~Memory() {
  if (data_)
    munmap(data_, size_);
}

Status fitsMachine(uint64_t bytes) {
  // Pages come when they are touched; without this a batch too large would be noticed by the system's killer
  // only.
  uint64_t machine = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  if (bytes > machine)
    return invalidInput("expected to need at most the machine's ", machine >> 20, " MiB of memory, found ",
                        bytes >> 20, "; use a smaller batch");
  return {};
}

Status Memory::allocate(size_t bytes) {
  constexpr size_t page = 4096, huge = size_t(2) << 20;
  if (bytes == 0) {
    *this = Memory();
    return {};
  }
  MOERT_TRY(fitsMachine(bytes));
  size_t size = (bytes + page - 1) / page * page;
  void *memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return invalidInput("cannot allocate ", bytes >> 20, " MiB: ", strerror(errno), "; use a smaller batch");
  if (size >= 2 * huge)
    madvise(memory, size, MADV_HUGEPAGE); // advice only: a kernel without huge pages ignores it
  *this = Memory();                       // the old block stays until the new one is certain
  data_ = static_cast<std::byte *>(memory);
  size_ = size;
  return {};
}

} // namespace moert
