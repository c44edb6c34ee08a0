// What a damaged program may still do. Damage that keeps the digest right (re-sealed) must be refused, or leave a program
// that can be laid out and run. One kind cannot be run blindly: code, and the numbers that code takes on trust (which
// kernel, how many units, its scalars, how much it may touch). No verifier can tell whether those are right, so a
// program in which they changed is verified and laid out only.
#pragma once

#include "runtime/session/Session.h"

namespace moert::test {

enum class Outcome { refused, laidOut, ran };

/// Verifies bytes; lays out what verifies at several batch sizes; runs it where all that its code takes on trust is the
/// same as in `original`. Anything but a clean refusal or a clean run crashes or aborts.
Outcome probe(std::vector<uint8_t> bytes, const Program &original, std::shared_ptr<Device> device);

} // namespace moert::test
