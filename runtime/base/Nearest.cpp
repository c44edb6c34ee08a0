#include "runtime/base/Nearest.h"

#include "runtime/base/NearestName.h"

#include <algorithm>

namespace moert {
std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates,
                                 size_t count) {
  std::vector<std::pair<size_t, size_t>> ranked; // distance, candidate
  for (size_t i = 0; i < candidates.size(); ++i) {
    size_t distance = editDistance(name, candidates[i]);
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
