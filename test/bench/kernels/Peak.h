// The vector units' limit; see Peak.cpp.
#pragma once

namespace moe::bench {

/// Does `turns` times twelve multiply-adds of vectors of 16 or 8 lanes; returns the floating-point
/// operations.
double runPeak(int lanes, long turns);

} // namespace moe::bench
