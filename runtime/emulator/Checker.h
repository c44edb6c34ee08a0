// The checked mode's view of global memory: a shadow page for each page of memory, found by one look-up in a table, and the order
// of pieces of work. Copies and fills are checked and recorded here; accesses of kernels in BlockChecks.cpp.
#pragma once

#include "runtime/emulator/DeviceMemory.h"
#include "runtime/emulator/Order.h"
#include "runtime/emulator/Shadow.h"

namespace moe::emu {

/// A kernel, copy or fill that is executed.
struct Piece {
  uint32_t firstRun = 0;
  uint32_t allBefore = 0;
  Clock clock;
};

class Checker final : public MemoryObserver {
public:
  static CUresult create(DeviceMemory &memory, Order &order, std::unique_ptr<Checker> &checker);
  ~Checker() override;

  void added(uint64_t address, uint64_t bytes) override;
  void removed(uint64_t address, uint64_t bytes) override;

  /// The page of an address; null where there is no memory or the address is not of the device.
  ShadowPage *page(uint64_t address) const {
    const uint64_t index = (address - base_) / ShadowPage::kBytes;
    return index < pages_ ? table_[index] : nullptr;
  }
  const Order &order() const { return order_; }
  /// How often runs have begun to be counted from 1 again: records from before mean nothing.
  uint64_t restarts() const { return restarts_; }

  Piece begin(uint32_t chain, uint64_t position, Clock clock, uint32_t runs, std::string what);
  /// Checks a range that a copy or fill reads or writes, all of which is memory.
  Findings touchRange(const Piece &piece, uint64_t address, uint64_t bytes, Mode mode,
                      const std::string &what);
  /// The range counts as never written.
  void forget(uint64_t address, uint64_t bytes);
  /// What was copied is as unwritten as what it was copied from.
  void copyWritten(uint64_t to, uint64_t from, uint64_t bytes);
  bool isWritten(uint64_t address, uint64_t bytes) const;
  /// The first byte of a range that is not written; the range's end where there is none.
  uint64_t firstUnwritten(uint64_t address, uint64_t bytes) const;

private:
  Checker(DeviceMemory &memory, Order &order) : memory_(memory), order_(order) {}

  DeviceMemory &memory_;
  Order &order_;
  uint64_t base_ = 0, pages_ = 0, restarts_ = 0;
  ShadowPage **table_ = nullptr; // zero pages until they are used
  std::map<uint64_t, std::unique_ptr<ShadowPage[]>> blocks_;
};

} // namespace moe::emu
