// Sorted as far as it is shown.
#include "runtime/session/TooLarge.h"
#include "runtime/base/Result.h"

#include <algorithm>
#include <functional>

namespace moert {

std::string mebibytes(uint64_t bytes) { return concat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

std::string largestOf(std::vector<std::pair<uint64_t, std::string>> buffers) {
  const size_t shown = std::min<size_t>(3, buffers.size());
  std::partial_sort(buffers.begin(), buffers.begin() + ptrdiff_t(shown), buffers.end(), std::greater<>());
  std::string text;
  for (size_t i = 0; i < shown; ++i)
    text += concat(i ? ", '" : "'", buffers[i].second, "' with ", mebibytes(buffers[i].first));
  return text;
}

} // namespace moert
