// Edit distance of Damerau and Levenshtein in its restricted form (optimal string alignment).
#include "runtime/base/NearestName.h"

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

std::string_view nearestName(std::string_view name, const std::vector<std::string_view> &names) {
  std::string_view best;
  size_t distance = std::max<size_t>(2, name.size() / 3) + 1; // farther is another word, not a slip
  for (std::string_view each : names)
    if (size_t found = editDistance(name, each); found < distance && found < each.size()) {
      best = each;
      distance = found;
    }
  return best;
}

std::string describeNames(std::string_view name, const std::vector<std::string_view> &names) {
  std::string out;
  if (std::string_view nearest = nearestName(name, names); !nearest.empty())
    out.append("did you mean '").append(nearest).append("'? ");
  out += names.empty() ? "there are none" : "there are: ";
  constexpr size_t shown = 20;
  for (size_t i = 0; i < std::min(names.size(), shown); ++i)
    out.append(i == 0 ? "" : ", ").append(names[i]);
  if (names.size() > shown)
    out.append(", and ").append(std::to_string(names.size() - shown)).append(" more");
  return out;
}

} // namespace moert
