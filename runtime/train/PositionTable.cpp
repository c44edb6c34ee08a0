#include "runtime/train/PositionTable.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moert {
namespace {

// Most models have one (the class token); with registers and a token for distillation there are a few more.
constexpr int64_t kMostPrefix = 8;

std::optional<int64_t> root(int64_t square) {
  int64_t guess = std::llround(std::sqrt(double(square)));
  return guess > 0 && guess * guess == square ? std::optional(guess) : std::nullopt;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/// Of one value of the result: the weights of neighbours from `first` on, which add up to 1.
struct Window {
  int64_t first;
  std::vector<double> weights;
};

std::vector<Window> windows(int64_t from, int64_t to) {
  const double scale = double(from) / double(to), stretch = std::max(scale, 1.0), support = 2 * stretch;
  std::vector<Window> all;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = scale * (double(i) + 0.5);
    const int64_t first = std::max(int64_t(centre - support + 0.5), int64_t(0));
    const int64_t end = std::min(int64_t(centre + support + 0.5), from);
    Window window{first, {}};
    for (int64_t j = first; j < end; ++j)
      window.weights.push_back(cubic((double(j) - centre + 0.5) / stretch));
    const double sum = std::accumulate(window.weights.begin(), window.weights.end(), 0.0);
    for (double &weight : window.weights)
      weight /= sum;
    all.push_back(std::move(window));
  }
  return all;
}

} // namespace

std::optional<TableResize> tableResize(int64_t from, int64_t to, int64_t height, int64_t width) {
  const int64_t common = std::gcd(height, width);
  if (common <= 0)
    return std::nullopt;
  const int64_t tall = height / common, wide = width / common; // the grid is a multiple of it
  for (int64_t prefix = 0; prefix <= std::min({kMostPrefix, from - 1, to - 1}); ++prefix) {
    auto side = root(from - prefix);
    if (!side || tall > to || wide > to || (to - prefix) % (tall * wide) != 0)
      continue;
    if (auto times = root((to - prefix) / (tall * wide)))
      return TableResize{prefix, {*side, *side}, {*times * tall, *times * wide}};
  }
  return std::nullopt;
}

void resizeTable(const TableResize &resize, int64_t features, std::span<const float> in,
                 std::span<float> out) {
  const size_t d = size_t(features), prefix = size_t(resize.prefix) * d;
  std::copy_n(in.begin(), prefix, out.begin());
  in = in.subspan(prefix);
  out = out.subspan(prefix);
  const std::vector<Window> across = windows(resize.from.columns, resize.to.columns),
                            down = windows(resize.from.rows, resize.to.rows);
  auto add = [&](double *sum, double weight, const auto *values) {
    for (size_t k = 0; k < d; ++k)
      sum[k] += weight * double(values[k]);
  };
  // One row of the result at a time, so that what is between holds as many rows as a window does.
  const size_t wide = size_t(resize.to.columns), source = size_t(resize.from.columns);
  std::vector<double> row(source * d), sum(d);
  for (size_t y = 0; y < size_t(resize.to.rows); ++y) {
    std::fill(row.begin(), row.end(), 0.0);
    for (size_t j = 0; j < down[y].weights.size(); ++j)
      for (size_t x = 0; x < source; ++x)
        add(&row[x * d], down[y].weights[j], &in[((size_t(down[y].first) + j) * source + x) * d]);
    for (size_t x = 0; x < wide; ++x) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t j = 0; j < across[x].weights.size(); ++j)
        add(sum.data(), across[x].weights[j], &row[(size_t(across[x].first) + j) * d]);
      std::transform(sum.begin(), sum.end(), &out[(y * wide + x) * d], [](double v) { return float(v); });
    }
  }
}

} // namespace moert
