// Random whole programs: a network of ops drawn one after another, a loss, and an optimiser's update. What a
// handwritten model would never combine, these do.
#pragma once
#include "test/unit/FlowCase.h"

namespace moe::test {

/// A training entry of about `ops` ops before differentiation, with parameters, states, labels and random
/// numbers bound.
FlowCase randomProgram(uint64_t seed, unsigned ops);

} // namespace moe::test
