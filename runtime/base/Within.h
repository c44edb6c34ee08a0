// Whether a computed number is as near to the right one as it has to be. Tests of compiled code use it, where the
// compiler is and where only the runtime is.
#pragma once

#include <cmath>

namespace moert {

/// Equal, both NaN, or at most `bound` apart.
inline bool within(double found, double wanted, double bound) {
  return found == wanted || (std::isnan(found) && std::isnan(wanted)) || std::fabs(found - wanted) <= bound;
}

} // namespace moert
