// Random cases of attention and of its gradient: q, k and v in one value or in three, of which two may be the same;
// any axes in front of the tokens; any number of tokens, which may follow the batch; heads of any size, that of v its
// own; and results that nothing reads.
#include "test/fuzz/shapes/ShapeCase.h"
#include <algorithm>
#include <cmath>

namespace moe::test {

ShapeCase drawAttention(uint64_t seed) {
  Draw draw(seed);
  draw.made.kind = "attention";
  // Sizes one after another from a budget of products; the batch's first, since it is drawn with them.
  int64_t budget = draw.chance(20) ? draw.power(20, 22.5) : draw.power(6, 20.5);
  auto take = [&](int64_t most, bool ofBatch) {
    most = std::max<int64_t>(1, std::min(most, budget));
    Size size = ofBatch ? draw.batchExtent(most) : Size(draw.extent(most));
    budget = std::max<int64_t>(1, budget / size.value);
    return size;
  };
  // Heads first in some cases, so that there are large ones as well.
  const bool early = draw.chance(60);
  int64_t size = 0, heads = 0;
  auto takeHeads = [&] {
    size = take(150, false).value;
    heads = draw.chance(30) ? 1 : take(5, false).value;
  };
  if (early)
    takeHeads();
  // An axis in front, the rows, the keys, or no axis follows the batch.
  const int64_t batch = draw.number(0, 3);
  Sizes lead;
  if (batch == 0)
    lead.push_back(take(9, true));
  Size rows = take(1100, batch == 1), keys = batch == 2 ? take(1100, true) : rows;
  const bool gradient = draw.chance(50), packed = draw.chance(50) && batch != 2;
  if (!packed && batch != 2 && draw.chance(60))
    keys = take(1100, false);
  else
    budget = std::max<int64_t>(1, budget / keys.value);
  if (!early)
    takeHeads();
  const int64_t other = packed || draw.chance(50) ? size : std::min<int64_t>(draw.extent(150), 2 * size + 3);
  for (int64_t i = draw.chance(50) ? 0 : draw.number(1, 2); i > 0; --i)
    lead.insert(lead.begin() + draw.number(0, int64_t(lead.size())), take(4, false));

  auto of = [&](const Size &tokens, int64_t last) {
    Sizes sizes(lead);
    sizes.insert(sizes.end(), {tokens, last});
    return sizes;
  };
  // Samples that can be skipped: the results are those of zeros in all inputs, or in dy and delta.
  const bool skips = draw.chance(15);
  std::vector<std::string> inputs, types;
  auto input = [&](const Sizes &sizes) {
    inputs.push_back(skips && packed && !gradient ? draw.skippable(sizes) : draw.input(sizes));
    types.push_back(typeOf(sizes));
  };
  if (packed) {
    input(of(rows, 3 * heads * size));
  } else {
    input(of(rows, heads * size));
    input(of(keys, heads * size));
    input(of(keys, heads * other));
    const bool same = types[0] == types[1];
    if (same && draw.chance(20))
      inputs[1] = inputs[0];
    if (types[1] == types[2] && draw.chance(20))
      inputs[2] = inputs[1];
  }
  const std::vector<std::string> attended = types;
  const std::string y = typeOf(of(rows, heads * other)), sums = typeOf(of(rows, heads));
  auto list = [](const std::vector<std::string> &of) {
    std::string text;
    for (const std::string &each : of)
      text += (text.empty() ? "" : ", ") + each;
    return text;
  };
  std::string text = gradient ? "attention_grad " : "attention ";
  text += list(inputs);
  if (gradient) {
    const std::string logSum = draw.input(of(rows, heads)),
                      dy = skips ? draw.skippable(of(rows, heads * other))
                                 : draw.input(of(rows, heads * other)),
                      delta = draw.input(of(rows, heads));
    if (skips)
      draw.made.given[delta.substr(1)].assign(countOf(of(rows, heads)), 0);
    text += " from " + logSum + ", " + dy + ", " + delta;
    types.insert(types.end(), {sums, y, sums});
  }
  char scale[32];
  snprintf(scale, sizeof scale, "%.8f", 1 / std::sqrt(double(size)));
  text += " heads " + std::to_string(heads) + " scale " + scale + " : (" + list(types) + ") -> ";
  const std::vector<std::string> results = gradient ? attended : std::vector<std::string>{y, sums};
  text += results.size() == 1 ? results[0] : "(" + list(results) + ")";
  const std::string value = draw.several(text, results.size());
  bool any = false;
  for (size_t i = 0; i < results.size(); ++i)
    if (draw.chance(75) || (!any && i + 1 == results.size())) {
      draw.output(results.size() == 1 ? value : value + "#" + std::to_string(i), results[i]);
      any = true;
    }
  draw.made.about = std::string(gradient ? "gradient of attention, " : "attention, ") +
                    std::to_string(rows.value) + " rows, " + std::to_string(keys.value) + " keys, " +
                    std::to_string(heads) + " heads of " + std::to_string(size) + " and " +
                    std::to_string(other);
  return draw.made;
}

} // namespace moe::test
