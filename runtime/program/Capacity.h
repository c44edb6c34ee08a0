// How many rows an expert takes where a routing limits them, computed in double as Tutel does (impls/fast_dispatch.py), so
// that the same rows are dropped. The compiler's evaluator, which is what kernels are compared with, and the runtime, which
// refuses a batch for which an expert would take no row, share this arithmetic.
#pragma once

#include "runtime/base/Status.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

namespace moert {

/// top * floor(|factor| * ceil(rows / experts)), rounded up to a multiple of `alignment`; at most what 32 bits hold, since
/// larger numbers than any number of rows need not be told apart.
inline double expertCapacity(double rows, int64_t experts, int64_t top, double factor, int64_t alignment) {
  const double share = std::ceil(rows / double(experts));
  const double taken = double(top) * std::floor(std::fabs(factor) * share);
  const double most = double(INT32_MAX / alignment * alignment);
  return std::min(std::ceil(taken / double(alignment)) * double(alignment), most);
}

/// The smallest factor with which an expert takes a row, of 1 row or more. It is 1 / ceil(rows / experts), or the number
/// above it where the product of that with the share rounds to less than 1.
inline double leastCapacityFactor(double rows, int64_t experts) {
  const double share = std::ceil(rows / double(experts));
  double factor = 1 / share;
  while (factor * share < 1)
    factor = std::nextafter(factor, INFINITY);
  for (double lower; lower = std::nextafter(factor, 0.0), lower * share >= 1;)
    factor = lower;
  return factor;
}

/// B11: that each expert of a routing takes a row; of no rows, other rules speak. `where` says what is run, and at which batch.
Status checkCapacity(const std::string &where, std::string_view routing, int64_t rows, int64_t experts,
                     double factor);

} // namespace moert
