// What a session can look for around each launch. Poison fills a temporary with NaN at its birth and at its
// death, so that a kernel which reads what it should not spoils the results for all to see. The NaN trap
// looks at everything a launch wrote and names the first one that made a NaN: the op, its path and line, and
// the step. Under the trap temporaries start as zeros, since what a kernel leaves unwritten in a padded
// buffer is no news.
#pragma once

#include "runtime/device/Device.h"

namespace moert {

class Checks {
public:
  Checks() = default;
  Checks(const fb::Target &target, const fb::Plan &plan, const Layout &layout, bool poison, bool trapNan);

  bool active() const { return poison_ || trapNan_; }
  /// `buffers` says where the plan's buffers are; of those in the arena, 0.
  Status before(size_t launch, std::span<const DeviceAddress> buffers, Device &device, BoundPlan &plan) const;
  Status after(size_t launch, std::span<const DeviceAddress> buffers, Device &device, uint64_t step) const;

private:
  struct Operand {
    uint32_t buffer;
    Place place;
    uint64_t offset, bytes; // the offset in the arena
    int64_t extent;
    fb::ElementType type;
    bool born, dies, written;
  };
  static DeviceAddress address(const Operand &operand, std::span<const DeviceAddress> buffers,
                               const Device &device);
  Status describe(size_t launch, const Operand &operand, int64_t element, uint64_t step) const;

  const fb::Plan *plan_ = nullptr;
  std::vector<std::vector<Operand>> operands_; // a launch
  bool poison_ = false, trapNan_ = false;
};

} // namespace moert
