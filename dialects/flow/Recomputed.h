// The attribute of an op that rematerialisation has cloned, so that the backward part computes its value
// again. Most clones need no attribute: they read their operands through barriers, and so CSE does not merge
// them with their originals. Two kinds of clones carry the number of the backward segment that reads them
// (Rematerialize.cpp):
//   - those of generators, which have no operands that could pass through a barrier;
//   - those of contractions and convolutions, since a clone, unlike an original, does not begin a new
//     segment.
// The entry's verifier refuses the attribute on any other op.
#pragma once
#include "llvm/ADT/StringRef.h"

namespace flow {

/// An i64 attribute: the number of the backward segment that reads the clone, counted from 1.
inline constexpr llvm::StringLiteral recomputedName = "flow.recomputed";

} // namespace flow
