// A stack of its own for each GPU thread that waits, and the switch between two stacks. A switch saves what a function may expect
// to find unchanged after a call (System V ABI, x86-64) and nothing else, since both sides are ordinary calls. Below each stack is
// a guard, so that a thread that needs too much of it faults and overwrites nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moe::emu {

/// Saves the current stack in *from, and continues on `to`.
extern "C" void moeEmulatorSwitch(void **from, void *to) __attribute__((visibility("hidden")));

class Fiber {
public:
  static constexpr size_t kStackBytes = 64 << 10, kGuardBytes = 64 << 10;

  /// `body(context, fiber)` never returns. `number` varies where the stack begins, so that stacks do not compete for the same
  /// lines of the cache. Check `ok` before use.
  Fiber(void (*body)(void *context, Fiber *), void *context, unsigned number);
  ~Fiber();
  Fiber(const Fiber &) = delete;

  bool ok() const { return memory_; }
  /// Back to the begin of the body, whatever it was doing.
  void restart();
  /// Continues the fiber until it switches to what it saved in `from`.
  void enter(void **from) { moeEmulatorSwitch(from, stack_); }
  /// Called on the fiber: continues what entered it.
  void leave(void *to) { moeEmulatorSwitch(&stack_, to); }

  /// Brings what `enter` needs to the cache.
  void prefetch() const { __builtin_prefetch(stack_); }

  bool inStack(const void *address) const { return within(address, memory_ + kGuardBytes, kStackBytes); }
  bool inGuard(const void *address) const { return within(address, memory_, kGuardBytes); }

private:
  static bool within(const void *address, const std::byte *begin, size_t bytes) {
    return size_t(static_cast<const std::byte *>(address) - begin) < bytes;
  }

  void (*body_)(void *, Fiber *);
  void *context_;
  unsigned number_;
  std::byte *memory_ = nullptr; // the guard, then the stack
  void *stack_ = nullptr;       // where it was left
};

} // namespace moe::emu
