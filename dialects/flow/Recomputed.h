// The mark of an op that is computed again. A barrier keeps an op's clone apart from its original; where no
// barrier can (a generator has no operands), or where the clone must be known as one (a contraction's or
// convolution's ends no stage), the clone carries the stage of the backward part that reads it. The entry's
// verifier holds each mark to this.
#pragma once
#include "llvm/ADT/StringRef.h"

namespace flow {

/// An i64 attribute, 1 or more, of ops without operands and of contractions and convolutions.
inline constexpr llvm::StringLiteral markName = "flow.mark";

} // namespace flow
