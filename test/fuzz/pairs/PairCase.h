// One op's value read by another, as small as the two allow: a random case of each (Truth interface), joined where a
// result of the one and an operand of the other have one type. Boundaries take part: a producer may be an input, a
// parameter, a state or a number, a consumer an output, an exposed value or an assignment.
#pragma once
#include "test/unit/FlowCase.h"
#include <optional>
#include <set>

namespace moe::test {

/// How the value between the two stands in the program.
enum class Stored {
  no,     ///< only the consumer reads it
  output, ///< it is an output as well
  exposed ///< it is exposed as well
};

struct Pair {
  std::string producer, consumer; ///< names of ops, or of boundaries
  Stored stored = Stored::no;
  std::string name() const;
};

/// All pairs that types allow, of every registered op that computes and every boundary, in a fixed order. What one op
/// gives and takes is found by drawing cases of it; `why` gathers the ops that have none, and so no pair.
std::vector<Pair> allPairs(std::string &why);

/// A case of the pair; nothing where none was found. Its outputs' and inputs' names begin with `prefix`.
std::optional<FlowCase> drawPair(const Pair &pair, uint64_t seed, const std::string &prefix);

/// Cases in one entry, which compiles faster than one after another.
FlowCase joined(llvm::ArrayRef<const FlowCase *> cases);

} // namespace moe::test
