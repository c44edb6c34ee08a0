// Names by edit distance: Damerau's and Levenshtein's in its restricted form (optimal string alignment).
#include "runtime/base/Nearest.h"

#include <algorithm>

namespace moert {

size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

// Of a name, in bytes: the time grows with the product of two lengths, and what is longer is no slip.
constexpr size_t kLongest = 512;

std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates,
                                 size_t count) {
  std::vector<std::pair<size_t, size_t>> ranked; // distance, candidate
  for (size_t i = 0; i < candidates.size(); ++i) {
    size_t shorter = std::min(name.size(), candidates[i].size());
    size_t longer = std::max(name.size(), candidates[i].size());
    if (longer > kLongest || 2 * (longer - shorter) > longer) // at least so many insertions
      continue;
    size_t distance = editDistance(name, candidates[i]);
    if (2 * distance <= longer)
      ranked.push_back({distance, i});
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(count, ranked.size()); ++i)
    names.push_back(candidates[ranked[i].second]);
  return names;
}

std::string suggestion(std::string_view name, std::span<const std::string> candidates) {
  if (auto found = nearest(name, candidates); !found.empty())
    return "; did you mean '" + found[0] + "'?";
  if (candidates.empty() || candidates.size() > 12)
    return "";
  std::string text = "; known: ";
  for (size_t i = 0; i < candidates.size(); ++i)
    text += (i ? ", " : "") + candidates[i];
  return text;
}

} // namespace moert
