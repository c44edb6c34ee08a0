// The handlers print by what is safe in them: a buffer that is filled in advance, and write(2).
#include "test/fuzz/CrashReport.h"
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <ucontext.h>
#include <unistd.h>

namespace moe::test {
namespace {

char current[512];

void report(int signal, siginfo_t *info, void *context) {
  void *at = reinterpret_cast<void *>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
  Dl_info place{};
  dladdr(at, &place);
  char text[256];
  snprintf(text, sizeof text, ": signal %d in %s of %s at %p, memory at %p\n", signal,
           place.dli_sname ? place.dli_sname : "?", place.dli_fname ? place.dli_fname : "?", at,
           info->si_addr);
  (void)!write(2, current, strlen(current));
  (void)!write(2, text, strlen(text));
  _exit(1);
}

} // namespace

void reportCrashesOf(const std::string &repeat) {
  snprintf(current, sizeof current, "%s", repeat.c_str());
  struct sigaction action{};
  action.sa_sigaction = report;
  action.sa_flags = SA_SIGINFO;
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    sigaction(signal, &action, nullptr);
}

} // namespace moe::test
