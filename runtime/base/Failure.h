// The last line of a program that failed, in one form for moert and the compiler's tools. Header only, as Printable.h is.
#pragma once

#include "runtime/base/Printable.h"
#include "runtime/base/Status.h"

#include <cstdio>
#include <string>

namespace moert {

/// Prints "moec: error: expected ..." on standard error, and "internal error" for a fault of the program's own.
inline void printFailure(const std::string &program, const Status &status) {
  const char *what = status.code() == Code::internal ? ": internal error: " : ": error: ";
  print(stderr, program + what + status.message() + "\n");
}

} // namespace moert
