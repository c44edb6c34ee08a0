// The message where an expert would take no row of a batch.
#include "runtime/program/Capacity.h"
#include "runtime/program/Verify.h"

#include <charconv>

namespace moert {

/// As few digits as tell the number from every other one.
static std::string numberText(double value) {
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

Status checkCapacity(const std::string &where, std::string_view routing, int64_t rows, int64_t experts,
                     double factor) {
  if (rows < 1 || expertCapacity(double(rows), experts, 1, factor, 1) >= 1)
    return {};
  return broken("B11", where, ": expected a capacity of routing '", routing,
                "' with which each expert takes a row, found 0: of ", rows, " rows, an even share for ",
                experts, " experts is ", (rows - 1) / experts + 1, ", times ", numberText(std::fabs(factor)),
                "; use a larger batch, or a capacity of at least ",
                numberText(leastCapacityFactor(double(rows), experts)));
}

} // namespace moert
