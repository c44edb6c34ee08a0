// Two ranges of one reservation: the first is never made accessible, and pages of the second are as they are
// needed.
#include "runtime/device/ShadowMemory.h"
#include "runtime/base/Memory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace moert {

constexpr uint64_t kPage = 4096;

Result<std::unique_ptr<ShadowMemory>> ShadowMemory::create() {
  // As much as a limit of address space (ulimit -v) leaves.
  for (uint64_t half = uint64_t(1) << 40; half >= uint64_t(1) << 28; half /= 4) {
    void *base = mmap(nullptr, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base != MAP_FAILED)
      return std::unique_ptr<ShadowMemory>(new ShadowMemory(static_cast<std::byte *>(base), half));
  }
  return invalidInput("cannot reserve address space: ", strerror(errno), "; raise the limit (ulimit -v)");
}

ShadowMemory::~ShadowMemory() { munmap(base_, 2 * half_); }

Result<uint64_t> ShadowMemory::allocate(uint64_t bytes) {
  MOERT_TRY(fitsMachine(bytes));
  const uint64_t size = (bytes + kPage - 1) / kPage * kPage;
  const uint64_t first = reinterpret_cast<uint64_t>(base_);
  uint64_t at = first + kPage;
  for (auto [address, taken] : blocks_) {
    if (at + size + kPage <= address)
      break;
    at = address + taken + kPage;
  }
  if (at + size + kPage > first + half_)
    return invalidInput("cannot allocate ", bytes >> 20, " MiB: ", half_ >> 20,
                        " MiB of addresses are reserved; use a smaller batch");
  if (mprotect(this->bytes(at), size, PROT_READ | PROT_WRITE) != 0)
    return invalidInput("cannot allocate ", bytes >> 20, " MiB: ", strerror(errno), "; use a smaller batch");
  blocks_[at] = size;
  return at;
}

void ShadowMemory::release(uint64_t address) {
  auto block = blocks_.find(address);
  madvise(bytes(address), block->second, MADV_DONTNEED); // the next one that is allocated here is zeroed
  mprotect(bytes(address), block->second, PROT_NONE);
  blocks_.erase(block);
}

} // namespace moert
