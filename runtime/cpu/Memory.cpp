// Pages straight from the system: they come zeroed, aligned to any power of two we need, and go back when freed.
#include "runtime/cpu/Memory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
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

Status Memory::allocate(size_t bytes) {
  constexpr size_t page = 4096, huge = size_t(2) << 20;
  *this = Memory();
  if (bytes == 0)
    return {};
  if (bytes > SIZE_MAX / 2)
    return invalidInput("expected an amount of memory that a machine can have, found ", bytes, " bytes");
  size_t size = (bytes + page - 1) / page * page;
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return invalidInput("cannot allocate ", bytes >> 20, " MiB: ", strerror(errno), "; use a smaller batch");
  if (size >= 2 * huge)
    madvise(memory, size, MADV_HUGEPAGE); // advice only: a kernel without huge pages ignores it
  data_ = static_cast<std::byte *>(memory);
  size_ = size;
  return {};
}

} // namespace moert
