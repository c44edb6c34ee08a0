// Stacks from the system, and the switch in assembly.
#include "runtime/emulator/Fiber.h"

#include <sys/mman.h>

// moeEmulatorSwitch(void **from, void *to): six registers and the return address are all that a call preserves. The floating-point
// control words are preserved as well, but no kernel changes them.
asm(R"(
.text
.p2align 4
.globl moeEmulatorSwitch
.hidden moeEmulatorSwitch
.type moeEmulatorSwitch, @function
moeEmulatorSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmpq *%rcx
.size moeEmulatorSwitch, .-moeEmulatorSwitch

# The first return on a fresh stack: the body and its arguments are in registers that the switch restores.
.p2align 4
.hidden moeEmulatorBegin
.type moeEmulatorBegin, @function
moeEmulatorBegin:
  movq %r12, %rdi
  movq %r13, %rsi
  callq *%r14
  ud2
.size moeEmulatorBegin, .-moeEmulatorBegin
)");
extern "C" void moeEmulatorBegin();

namespace moe::emu {

Fiber::Fiber(void (*body)(void *, Fiber *), void *context, unsigned number)
    : body_(body), context_(context), number_(number) {
  void *memory =
      mmap(nullptr, kGuardBytes + kStackBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return;
  memory_ = static_cast<std::byte *>(memory);
  if (mprotect(memory_ + kGuardBytes, kStackBytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(memory_, kGuardBytes + kStackBytes);
    memory_ = nullptr;
    return;
  }
  restart();
}

Fiber::~Fiber() {
  if (memory_)
    munmap(memory_, kGuardBytes + kStackBytes);
}

void Fiber::restart() {
  std::byte *end = memory_ + kGuardBytes + kStackBytes - (number_ % 16) * 192 - 64;
  auto **top = reinterpret_cast<void **>(reinterpret_cast<uintptr_t>(end) & ~uintptr_t(63));
  *--top = reinterpret_cast<void *>(&moeEmulatorBegin);
  *--top = nullptr;                         // rbp: the end of a chain of frames
  *--top = nullptr;                         // rbx
  *--top = context_;                        // r12
  *--top = this;                            // r13
  *--top = reinterpret_cast<void *>(body_); // r14
  *--top = nullptr;                         // r15
  stack_ = top;
}

} // namespace moe::emu
