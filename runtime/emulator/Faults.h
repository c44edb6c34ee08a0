// Signals of the host that a kernel causes: an access without memory behind it, a division by zero, a trap, a stack that is too
// small. They end the kernel with a finding; all other signals go to whoever handled them before.
#pragma once

#include <csignal>
#include <memory>

namespace moe::emu {

/// Handles the signals from now on, for the whole process. Only the first call does anything.
void handleFaults();

/// Gives the calling thread of the host a stack for handlers of signals, unless it has one, as long as this lives. A kernel's own
/// stack may be what has ended.
class HandlerStack {
public:
  HandlerStack();
  ~HandlerStack();
  HandlerStack(const HandlerStack &) = delete;

private:
  std::unique_ptr<std::byte[]> memory_;
};

} // namespace moe::emu
