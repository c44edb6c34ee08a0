// Two ranges of one reservation: the first is never made accessible, and pages of the second are as they are
// needed.
#include "runtime/device/ShadowMemory.h"
#include "runtime/base/Memory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace moert {

constexpr uint64_t kPage = 4096;

Result<std::unique_ptr<ShadowMemory>> ShadowMemory::create(Reuse reuse) {
  // As much as a limit of address space (ulimit -v) leaves.
  for (uint64_t half = uint64_t(1) << 40; half >= uint64_t(1) << 28; half /= 4) {
    void *base = mmap(nullptr, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base != MAP_FAILED)
      return std::unique_ptr<ShadowMemory>(new ShadowMemory(static_cast<std::byte *>(base), half, reuse));
  }
  return invalidInput("cannot reserve address space: ", strerror(errno), "; raise the limit (ulimit -v)");
}

ShadowMemory::~ShadowMemory() { munmap(base_, 2 * half_); }

uint64_t ShadowMemory::placeFrom(uint64_t from, uint64_t size, uint64_t alignment) const {
  auto aligned = [&](uint64_t at) { return (at + kPage + alignment - 1) / alignment * alignment; };
  uint64_t at = aligned(from);
  for (auto block = blocks_.lower_bound(from); block != blocks_.end(); ++block) {
    if (at + size + kPage <= block->first)
      break;
    at = aligned(block->first + block->second);
  }
  return at + size + kPage <= base() + half_ ? at : 0;
}

Result<uint64_t> ShadowMemory::place(uint64_t size, uint64_t alignment) {
  if (size > half_)
    return invalidInput("cannot allocate ", size >> 20, " MiB: ", half_ >> 20,
                        " MiB of addresses are reserved; use a smaller batch");
  uint64_t at = reuse_ == Reuse::late && next_ ? placeFrom(next_, size, alignment) : 0;
  if (!at)
    at = placeFrom(base(), size, alignment);
  if (!at)
    return invalidInput("cannot allocate ", size >> 20, " MiB: ", half_ >> 20,
                        " MiB of addresses are reserved; use a smaller batch");
  blocks_[at] = size;
  next_ = at + size;
  return at;
}

Result<uint64_t> ShadowMemory::allocate(uint64_t bytes) {
  MOERT_TRY(fitsMachine(bytes));
  const uint64_t size = (bytes + kPage - 1) / kPage * kPage;
  MOERT_ASSIGN(uint64_t at, place(size, kPage));
  if (mprotect(this->bytes(at), size, PROT_READ | PROT_WRITE) != 0) {
    blocks_.erase(at);
    return invalidInput("cannot allocate ", bytes >> 20, " MiB: ", strerror(errno), "; use a smaller batch");
  }
  return at;
}

Result<uint64_t> ShadowMemory::reserve(uint64_t bytes, uint64_t alignment) {
  return place((bytes + kPage - 1) / kPage * kPage, alignment);
}

Status ShadowMemory::map(uint64_t address, uint64_t bytes, int file, uint64_t offset) {
  if (mmap(this->bytes(address), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
           off_t(offset)) == MAP_FAILED)
    return invalidInput("cannot map ", bytes >> 20, " MiB: ", strerror(errno));
  return {};
}

void ShadowMemory::unmap(uint64_t address, uint64_t bytes) {
  // Fresh pages without access in place of what was there: the next ones that are given here are zeroed.
  mmap(this->bytes(address), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
       0);
}

void ShadowMemory::release(uint64_t address) {
  auto block = blocks_.find(address);
  unmap(address, block->second);
  blocks_.erase(block);
}

} // namespace moert
