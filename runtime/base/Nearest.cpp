#include "runtime/base/Nearest.h"

#include <algorithm>

namespace moert {
namespace {

// Insertions, deletions, substitutions and swaps of neighbours that turn one name into the other.
size_t distanceOf(std::string_view a, std::string_view b) {
  size_t width = b.size() + 1;
  std::vector<size_t> rows(3 * width); // three rows of the table, reused in turn
  auto at = [&](size_t i, size_t j) -> size_t & { return rows[(i % 3) * width + j]; };
  for (size_t j = 0; j <= b.size(); ++j)
    at(0, j) = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    at(i, 0) = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t best = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = std::min(best, at(i - 2, j - 2) + 1);
      at(i, j) = best;
    }
  }
  return at(a.size(), b.size());
}

} // namespace

std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates, size_t count) {
  std::vector<std::pair<size_t, size_t>> ranked; // distance, candidate
  for (size_t i = 0; i < candidates.size(); ++i) {
    size_t distance = distanceOf(name, candidates[i]);
    if (2 * distance <= std::max(name.size(), candidates[i].size()))
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
