// What a damaged program may still do. Damage that keeps the digest right (re-sealed) must be refused, or
// leave a program that can be laid out and run.
#pragma once

#include "runtime/session/Session.h"

namespace moert::test {

enum class Outcome { refused, ran };

/// Verifies bytes, lays out what verifies at several batch sizes, and runs it. Anything but a clean refusal
/// or a clean run crashes or aborts.
Outcome probe(const std::vector<uint8_t> &bytes, std::shared_ptr<Device> device);

} // namespace moert::test
