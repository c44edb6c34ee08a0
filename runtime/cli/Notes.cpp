#include "runtime/cli/Notes.h"

#include "runtime/base/Printable.h"

#include <algorithm>
#include <cmath>

namespace moert {

size_t countNotFinite(std::span<const float> values) {
  return size_t(
      std::count_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); }));
}

Result<bool> noteParameters(const std::string &path, States &states) {
  MOERT_ASSIGN(HostStates host, states.host());
  size_t wrong = 0, all = 0;
  std::string first;
  for (size_t i = 0; i < states.size(); ++i) {
    Tensor tensor = host.tensor(i);
    if (!ofModel(states.row(i)) || tensor.type != fb::ElementType::f32)
      continue;
    std::span<const float> values = tensor.as<float>();
    size_t here = countNotFinite(values);
    if (here && !wrong)
      first = states.path(i);
    wrong += here;
    all += values.size();
  }
  if (wrong)
    print(stderr, concat("moert: note: ", path, ": expected finite parameters, found ", wrong, " of ", all,
                         " NaN or infinite, the first in '", first, "'\n"));
  return wrong > 0;
}

void noteScores(const std::string &output, const Tensor &scores) {
  size_t classes = size_t(scores.shape[1]), rows = size_t(scores.shape[0]), wrong = 0;
  for (size_t row = 0; row < rows; ++row)
    wrong += countNotFinite(scores.as<float>().subspan(row * classes, classes)) > 0;
  if (wrong)
    print(stderr,
          concat("moert: note: expected finite scores in '", output, "', found NaN or infinite ones in ",
                 wrong, " of ", rows, rows == 1 ? " row\n" : " rows\n"));
}

} // namespace moert
