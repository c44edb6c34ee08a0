// The f64 evaluator once more, with a bound beside each value of how far compiled f32 code may be from it: an
// op adds its own stated error (Truth interface) to what the errors of its operands become. A comparison or a
// choice that an operand's error could turn is uncertain, and so is what follows from it. So a graph of many
// ops has a bound that is neither guessed nor tuned.
#pragma once
#include "dialects/flow/Evaluator.h"

namespace moe::test {

struct BoundedValue {
  flow::Array value, error; ///< error has no elements where the value is exact
};

/// The entry's outputs by name; nothing after a diagnostic.
std::optional<std::map<std::string, BoundedValue>> evaluateWithBounds(flow::EntryOp entry,
                                                                      const flow::Bindings &bindings);

} // namespace moe::test
