// Sums that others already hold: see ShareReductions.cpp.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe {

/// Rewrites sums of an entry in terms of other sums of it. Whether anything changed.
bool shareReductions(flow::EntryOp entry);

} // namespace moe
