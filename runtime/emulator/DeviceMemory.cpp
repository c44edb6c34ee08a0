// Tables of blocks, mapped parts and pinned memory, each by its first address.
#include "runtime/emulator/DeviceMemory.h"
#include "runtime/base/Memory.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace moe::emu {

namespace {
constexpr int kUnknownBytes = 0xFF;
constexpr uint64_t kPage = 4096;
} // namespace

CUresult DeviceMemory::create(uint64_t limit, std::unique_ptr<DeviceMemory> &memory) {
  auto shadow = moert::ShadowMemory::create(moert::ShadowMemory::Reuse::late);
  if (!shadow.ok())
    return CUDA_ERROR_OUT_OF_MEMORY;
  memory.reset(new DeviceMemory);
  memory->shadow_ = *std::move(shadow);
  memory->limit_ = limit;
  return CUDA_SUCCESS;
}

DeviceMemory::~DeviceMemory() {
  for (auto &[handle, entry] : handleTable_)
    close(entry.file);
  for (auto &[address, entry] : pinned_)
    munmap(const_cast<std::byte *>(address), entry.bytes);
}

CUresult DeviceMemory::allocate(uint64_t bytes, uint64_t &address) {
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > limit_ - used_)
    return CUDA_ERROR_OUT_OF_MEMORY;
  auto block = shadow_->allocate(bytes);
  if (!block.ok())
    return CUDA_ERROR_OUT_OF_MEMORY;
  address = *block;
  memset(this->bytes(address), kUnknownBytes, (bytes + kPage - 1) / kPage * kPage);
  blocks_[address] = {bytes, ++identities_, /*reserved=*/false};
  used_ += bytes;
  freed_.erase(freed_.lower_bound(address), freed_.lower_bound(address + bytes));
  if (observer_)
    observer_->added(address, bytes);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::free(uint64_t address) {
  if (address == 0) // as cuMemFree documents
    return CUDA_SUCCESS;
  auto block = blocks_.find(address);
  if (block == blocks_.end() || block->second.reserved)
    return CUDA_ERROR_INVALID_VALUE;
  if (observer_)
    observer_->removed(address, block->second.bytes);
  used_ -= block->second.bytes;
  freed_[address] = block->second.bytes;
  blocks_.erase(block);
  shadow_->release(address);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::reserve(uint64_t bytes, uint64_t alignment, uint64_t &address) {
  if (bytes == 0 || bytes % kGranularity || (alignment & (alignment - 1)))
    return CUDA_ERROR_INVALID_VALUE;
  auto range = shadow_->reserve(bytes, std::max(alignment, kGranularity));
  if (!range.ok())
    return CUDA_ERROR_OUT_OF_MEMORY;
  address = *range;
  blocks_[address] = {bytes, ++identities_, /*reserved=*/true};
  freed_.erase(freed_.lower_bound(address), freed_.lower_bound(address + bytes));
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::freeReserved(uint64_t address, uint64_t bytes) {
  auto range = blocks_.find(address);
  if (range == blocks_.end() || !range->second.reserved || range->second.bytes != bytes)
    return CUDA_ERROR_INVALID_VALUE;
  auto part = parts_.lower_bound(address);
  if (part != parts_.end() && part->first < address + bytes)
    return CUDA_ERROR_INVALID_VALUE; // unmap first
  freed_[address] = bytes;
  blocks_.erase(range);
  shadow_->release(address);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::createHandle(uint64_t bytes, uint64_t &handle) {
  if (bytes == 0 || bytes % kGranularity)
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > limit_ - used_ || !moert::fitsMachine(bytes).ok())
    return CUDA_ERROR_OUT_OF_MEMORY;
  int file = memfd_create("device memory", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, off_t(bytes)) != 0) {
    if (file >= 0)
      close(file);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  handle = ++handles_;
  handleTable_[handle] = {bytes, file};
  used_ += bytes;
  return CUDA_SUCCESS;
}

void DeviceMemory::drop(uint64_t handle) {
  auto entry = handleTable_.find(handle);
  if (!entry->second.released || entry->second.mapped)
    return;
  close(entry->second.file);
  used_ -= entry->second.bytes;
  handleTable_.erase(entry);
}

CUresult DeviceMemory::releaseHandle(uint64_t handle) {
  auto entry = handleTable_.find(handle);
  if (entry == handleTable_.end() || entry->second.released)
    return CUDA_ERROR_INVALID_VALUE;
  entry->second.released = true; // the memory lives until it is unmapped
  drop(handle);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::map(uint64_t address, uint64_t bytes, uint64_t offset, uint64_t handle) {
  auto range = before(address);
  auto entry = handleTable_.find(handle);
  if (entry == handleTable_.end() || entry->second.released || offset != 0 || bytes != entry->second.bytes ||
      address % kGranularity)
    return CUDA_ERROR_INVALID_VALUE;
  if (range == blocks_.end() || !range->second.reserved ||
      address + bytes > range->first + range->second.bytes)
    return CUDA_ERROR_INVALID_VALUE;
  if (entry->second.mapped)
    return CUDA_ERROR_NOT_SUPPORTED;
  auto next = parts_.lower_bound(address);
  if (next != parts_.end() && next->first < address + bytes)
    return CUDA_ERROR_INVALID_VALUE;
  if (next != parts_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > address)
    return CUDA_ERROR_INVALID_VALUE;
  parts_[address] = {bytes, handle, /*accessible=*/false};
  entry->second.mapped = true;
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::unmap(uint64_t address, uint64_t bytes) {
  // Whole parts: those that begin in the range must fill it.
  uint64_t at = address;
  for (auto part = parts_.find(address); at < address + bytes; part = parts_.find(at)) {
    if (part == parts_.end())
      return CUDA_ERROR_INVALID_VALUE;
    at += part->second.bytes;
  }
  if (at != address + bytes || bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  (void)setAccess(address, bytes, false);
  for (at = address; at < address + bytes;) {
    auto part = parts_.find(at);
    at += part->second.bytes;
    handleTable_.at(part->second.handle).mapped = false;
    drop(part->second.handle);
    parts_.erase(part);
  }
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::setAccess(uint64_t address, uint64_t bytes, bool access) {
  for (uint64_t at = address; at < address + bytes;) {
    auto part = parts_.find(at);
    if (part == parts_.end() || at + part->second.bytes > address + bytes)
      return CUDA_ERROR_INVALID_VALUE;
    at += part->second.bytes;
  }
  for (uint64_t at = address; at < address + bytes;) {
    auto &[first, part] = *parts_.find(at);
    at += part.bytes;
    if (part.accessible == access)
      continue;
    if (!access) {
      if (observer_)
        observer_->removed(first, part.bytes);
      shadow_->unmap(first, part.bytes);
      part.accessible = false;
      continue;
    }
    if (!shadow_->map(first, part.bytes, handleTable_.at(part.handle).file, 0).ok())
      return CUDA_ERROR_OUT_OF_MEMORY;
    part.accessible = true;
    if (bool &isNew = handleTable_.at(part.handle).isNew; isNew) {
      memset(this->bytes(first), kUnknownBytes, part.bytes);
      isNew = false;
    }
    if (observer_)
      observer_->added(first, part.bytes);
  }
  return CUDA_SUCCESS;
}

DeviceMemory::Blocks::const_iterator DeviceMemory::before(uint64_t address) const {
  auto block = blocks_.upper_bound(address);
  return block == blocks_.begin() ? blocks_.end() : std::prev(block);
}

bool DeviceMemory::contains(uint64_t address, uint64_t bytes) const {
  auto block = before(address);
  if (block == blocks_.end() || address + bytes < address ||
      address + bytes > block->first + block->second.bytes)
    return false;
  if (!block->second.reserved)
    return true;
  auto part = parts_.upper_bound(address);
  if (part == parts_.begin())
    return false;
  uint64_t end = std::prev(part)->first;
  for (--part; part != parts_.end() && part->first == end && part->second.accessible; ++part) {
    end = part->first + part->second.bytes;
    if (end >= address + bytes)
      return address < end;
  }
  return false;
}

uint64_t DeviceMemory::identity(uint64_t address) const {
  auto block = before(address);
  if (block == blocks_.end() || address > block->first + block->second.bytes)
    return 0;
  if (block->second.reserved && !contains(address, 0) && !contains(address - 1, 1))
    return 0;
  return block->second.identity;
}

std::string DeviceMemory::describe(uint64_t address) const {
  if (address < base() || address >= base() + size())
    return address < kPage ? "no address of the device, but null" : "no address of the device";
  auto block = before(address);
  auto freed = freed_.upper_bound(address);
  if (freed != freed_.begin() && address < std::prev(freed)->first + std::prev(freed)->second) {
    --freed;
    return concat(address - freed->first, " bytes into a block of ", freed->second, " bytes that was freed");
  }
  if (block != blocks_.end() && address < block->first + block->second.bytes) {
    std::string inside =
        concat(address - block->first, " bytes into ", block->second.reserved ? "a range" : "a block", " of ",
               block->second.bytes, " bytes");
    return block->second.reserved && !contains(address, 1) ? inside + ", where nothing is mapped" : inside;
  }
  auto next = blocks_.upper_bound(address);
  const bool follows =
      next != blocks_.end() &&
      (block == blocks_.end() || next->first - address < address - (block->first + block->second.bytes));
  if (follows)
    return concat(next->first - address, " bytes before a block of ", next->second.bytes, " bytes");
  if (block != blocks_.end())
    return concat(address - (block->first + block->second.bytes), " bytes behind a block of ",
                  block->second.bytes, " bytes");
  return "in no block";
}

CUresult DeviceMemory::allocateHost(uint64_t bytes, void *&memory) {
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (!moert::fitsMachine(bytes).ok())
    return CUDA_ERROR_OUT_OF_MEMORY;
  const uint64_t size = (bytes + kPage - 1) / kPage * kPage;
  void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return CUDA_ERROR_OUT_OF_MEMORY;
  memset(pages, kUnknownBytes, size);
  pinned_[static_cast<std::byte *>(pages)] = {bytes, 0};
  memory = pages;
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::freeHost(void *memory) {
  auto entry = pinned_.find(static_cast<std::byte *>(memory));
  if (entry == pinned_.end())
    return CUDA_ERROR_INVALID_VALUE;
  munmap(memory, entry->second.bytes);
  pinned_.erase(entry);
  return CUDA_SUCCESS;
}

bool DeviceMemory::isPinned(const void *memory, uint64_t bytes, bool &whole) const {
  const auto *address = static_cast<const std::byte *>(memory);
  auto entry = pinned_.upper_bound(address);
  whole = false;
  if (entry == pinned_.begin())
    return false;
  --entry;
  if (address >= entry->first + entry->second.bytes)
    return false;
  whole = bytes <= uint64_t(entry->first + entry->second.bytes - address);
  return true;
}

uint64_t DeviceMemory::deviceWrites(const void *memory) const {
  auto entry = pinned_.upper_bound(static_cast<const std::byte *>(memory));
  return entry == pinned_.begin() ? 0 : std::prev(entry)->second.deviceWrites;
}

void DeviceMemory::countDeviceWrite(const void *memory) {
  auto entry = pinned_.upper_bound(static_cast<const std::byte *>(memory));
  if (entry != pinned_.begin())
    ++std::prev(entry)->second.deviceWrites;
}

} // namespace moe::emu
