// One handler for all of the signals, which asks the runner of the calling thread.
#include "runtime/emulator/Faults.h"
#include "runtime/emulator/BlockRunner.h"

#include <mutex>

namespace moe::emu {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
constexpr size_t kStackBytes = 64 << 10;
struct sigaction previous[NSIG];

void onSignal(int signal, siginfo_t *info, void *context) {
  if (BlockRunner *runner = BlockRunner::current(); runner && runner->takeFault(signal, *info, context))
    return;
  const struct sigaction &action = previous[signal];
  if (action.sa_flags & SA_SIGINFO)
    return action.sa_sigaction(signal, info, context);
  if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
    return action.sa_handler(signal);
  sigaction(signal, &action,
            nullptr);     // the instruction is executed again, and the signal has its ordinary effect
  if (info->si_code <= 0) // sent by a process: there is no such instruction
    raise(signal);
}

} // namespace

void handleFaults() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = onSignal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int signal : kSignals)
      sigaction(signal, &action, &previous[signal]);
  });
}

HandlerStack::HandlerStack() {
  stack_t there = {};
  if (sigaltstack(nullptr, &there) == 0 && !(there.ss_flags & SS_DISABLE))
    return;
  memory_ = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  stack_t stack = {};
  stack.ss_sp = memory_.get();
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, nullptr);
}

HandlerStack::~HandlerStack() {
  if (!memory_)
    return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

} // namespace moe::emu
