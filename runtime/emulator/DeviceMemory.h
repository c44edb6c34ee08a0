// The memory of the emulated GPU: blocks as cuMemAlloc gives them, reserved address space that grows by mapping, and pinned memory
// of the host. Addresses of the device lie where nothing can be accessed (runtime/device/ShadowMemory.h), and those that were
// given back are given again as late as possible, so that whoever follows one in the wrong place, or after its end, is noticed.
#pragma once

#include "runtime/device/ShadowMemory.h"
#include "runtime/emulator/Finding.h"

#include <map>
#include <memory>
#include <span>
#include <string>

namespace moe::emu {

/// Told where memory begins and ends to exist: by it the checked mode keeps a shadow of each byte.
class MemoryObserver {
public:
  virtual ~MemoryObserver() = default;
  virtual void added(uint64_t address, uint64_t bytes) = 0;
  virtual void removed(uint64_t address, uint64_t bytes) = 0;
};

class DeviceMemory {
public:
  static constexpr uint64_t kGranularity = 2 << 20;

  /// `limit`: bytes that the GPU has.
  static CUresult create(uint64_t limit, std::unique_ptr<DeviceMemory> &memory);
  ~DeviceMemory();
  void observe(MemoryObserver *observer) { observer_ = observer; }

  uint64_t limit() const { return limit_; }
  uint64_t used() const { return used_; }
  uint64_t base() const { return shadow_->base(); }
  uint64_t size() const { return shadow_->size(); }
  int64_t distance() const { return shadow_->distance(); }
  std::byte *bytes(uint64_t address) const { return shadow_->bytes(address); }

  // Blocks. Their bytes are all ones at first, as those of mapped memory are, which are NaNs to most kernels: a real GPU gives
  // what was there before.
  CUresult allocate(uint64_t bytes, uint64_t &address);
  CUresult free(uint64_t address);

  // Virtual memory. A handle is mapped at one place at a time.
  CUresult reserve(uint64_t bytes, uint64_t alignment, uint64_t &address);
  CUresult freeReserved(uint64_t address, uint64_t bytes);
  CUresult createHandle(uint64_t bytes, uint64_t &handle);
  CUresult releaseHandle(uint64_t handle);
  CUresult map(uint64_t address, uint64_t bytes, uint64_t offset, uint64_t handle);
  CUresult unmap(uint64_t address, uint64_t bytes);
  CUresult setAccess(uint64_t address, uint64_t bytes, bool access);

  /// Whether all of the bytes lie in one live block, or in mapped and accessible parts of one range.
  bool contains(uint64_t address, uint64_t bytes) const;
  /// The number of the live block or mapped range that an address points into (or at the end of), which no other one ever gets; 0
  /// where there is none.
  uint64_t identity(uint64_t address) const;
  /// Where an address is, in words: "4 bytes behind a block of 400 bytes".
  std::string describe(uint64_t address) const;

  // Pinned memory of the host.
  CUresult allocateHost(uint64_t bytes, void *&memory);
  CUresult freeHost(void *memory);
  /// Whether `memory` is pinned; `whole`: with all of the bytes.
  bool isPinned(const void *memory, uint64_t bytes, bool &whole) const;
  /// Copies from the device to pinned memory are counted, so that one can tell them from what the host writes.
  uint64_t deviceWrites(const void *memory) const;
  void countDeviceWrite(const void *memory);

private:
  struct Block {
    uint64_t bytes, identity;
    bool reserved; // address space; what is mapped is in parts_
  };
  struct Part {
    uint64_t bytes, handle;
    bool accessible;
  };
  struct Handle {
    uint64_t bytes;
    int file;
    bool released = false, mapped = false;
    bool isNew = true; // it was never accessible
  };
  struct Pinned {
    uint64_t bytes, deviceWrites;
  };

  DeviceMemory() = default;
  using Blocks = std::map<uint64_t, Block>;
  /// The last block that begins at or before an address.
  Blocks::const_iterator before(uint64_t address) const;
  void drop(uint64_t handle);

  std::unique_ptr<moert::ShadowMemory> shadow_;
  MemoryObserver *observer_ = nullptr;
  uint64_t limit_ = 0, used_ = 0, identities_ = 0, handles_ = 0;
  Blocks blocks_;
  std::map<uint64_t, Part> parts_;
  std::map<uint64_t, Handle> handleTable_;
  std::map<uint64_t, uint64_t> freed_; // address and bytes of what was given back, for messages
  std::map<const std::byte *, Pinned> pinned_;
};

} // namespace moe::emu
