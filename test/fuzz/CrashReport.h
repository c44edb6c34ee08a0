// For tests that run what a random case compiled to: where a signal stops the process, what reproduces the case is
// printed first.
#pragma once
#include <string>

namespace moe::test {

/// Sets the handlers (the compiler sets its own while it runs, so this is called before each case) and what they print.
void reportCrashesOf(const std::string &repeat);

} // namespace moe::test
