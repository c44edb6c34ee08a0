// What a session can look for around each launch. Poison fills a temporary with NaN at its birth and at its
// death, so that a kernel which reads what it should not spoils the results for all to see. The NaN trap
// looks at everything a launch wrote and names the first one that made a NaN: the op, its path and line, and
// the step. Under the trap temporaries start as zeros, since what a kernel leaves unwritten in a padded
// buffer is no news.
#pragma once

#include "runtime/cpu/Device.h"
#include "runtime/session/Layout.h"

namespace moert {

class Checks {
public:
  Checks() = default;
  Checks(const fb::Target &target, const fb::Plan &plan, const Layout &layout, bool poison, bool trapNan);

  bool active() const { return poison_ || trapNan_; }
  /// `pointers` are those of all launches, in order.
  void before(size_t launch, void *const *pointers, Device &device) const;
  Status after(size_t launch, void *const *pointers, uint64_t step) const;

private:
  struct Operand {
    uint32_t buffer;
    size_t pointer; // index into all launches' pointers
    uint64_t bytes;
    int64_t extent;
    fb::ElementType type;
    bool born, dies, written;
  };
  Status describe(size_t launch, const Operand &operand, int64_t element, uint64_t step) const;

  const fb::Plan *plan_ = nullptr;
  std::vector<std::vector<Operand>> operands_; // a launch
  uint64_t scratch_ = 0;
  bool poison_ = false, trapNan_ = false;
};

} // namespace moert
