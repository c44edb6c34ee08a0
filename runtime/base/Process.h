// How a process of ours starts, and how it ends where nothing else knows what to do: standard streams that
// were closed, memory that the system does not give. moec and moert call `startProcess` first; what nobody
// catches then ends with a line for the user and an exit status that means something. Here only, since moec
// takes the rest of the runtime from the compiler's library.
#pragma once

#include "runtime/base/Status.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <new>
#include <unistd.h>

namespace moert {

namespace detail {
inline const char *toolName = "", *memoryAdvice = "";
}

/// Says that memory ran out where no file or batch can be blamed, and ends the process at once with the
/// status of wrong input.
[[noreturn]] inline void outOfMemory() {
  static std::atomic_flag said;
  while (said.test_and_set()) // another thread's line is enough
    pause();
  fprintf(stderr, "%s: error: expected more free memory, found none left; %s\n", detail::toolName,
          detail::memoryAdvice);
  _exit(Status(Code::invalid_input, "").exitCode());
}

namespace detail {
[[noreturn]] inline void giveUp() {
  try {
    if (std::exception_ptr thrown = std::current_exception())
      std::rethrow_exception(thrown);
  } catch (const std::bad_alloc &) {
    outOfMemory();
  } catch (const std::exception &error) {
    fprintf(stderr, "%s: internal error: %s\n", toolName, error.what());
    _exit(Status(Code::internal, "").exitCode());
  } catch (...) {
  }
  abort();
}
} // namespace detail

/// `name` is the tool's; `advice` says how to need less memory. Takes the numbers 0 to 2 where the caller
/// closed those streams, so that no file of ours gets one of them and with it what is meant for a terminal;
/// to write there fails as before. Makes a limit of file sizes an error of write, like a full disk.
inline void startProcess(const char *name, const char *advice) {
  detail::toolName = name;
  detail::memoryAdvice = advice;
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) < 0 && errno == EBADF)
      (void)!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY); // gets the lowest free number
  std::signal(SIGXFSZ, SIG_IGN);
  std::set_terminate(detail::giveUp);
}

} // namespace moert
