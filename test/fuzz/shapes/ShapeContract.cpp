// Random contractions with epilogues: any number of batch, row, column and summed axes in any order, extents
// of the batch among them, operands that are parameters, transposed in the group or of another layout.
#include "test/fuzz/shapes/ShapeCase.h"
#include <algorithm>

namespace moe::test {

void drawEpilogue(Draw &draw, const std::string &value, const Sizes &sizes, bool channelsLast) {
  const std::string type = typeOf(sizes), mask = typeOf(sizes, "i1");
  const int64_t rank = int64_t(sizes.size());
  std::vector<std::string> values{value}, masks, computed; // computed: masks that are not given
  auto last = [&] { return draw.chance(80) ? values.back() : draw.pick(values); };
  // An operand of the result's shape, or broadcast to it along some axes, old or new ones.
  auto other = [&](const std::string &element) {
    Sizes few;
    std::string dims;
    bool all = true;
    const int kept = draw.pick<int>({0, 30, 60, 100, 100});
    for (int64_t axis = 0; axis < rank; ++axis) {
      bool one = draw.chance(8);
      if (!draw.chance(kept) && !one) {
        all = false;
        continue;
      }
      few.push_back(one ? Size(1) : sizes[axis]);
      all &= !one;
      dims += (dims.empty() ? "" : ", ") + std::to_string(axis);
    }
    if (all) {
      bool permute = rank > 1 && draw.chance(10) && element == "f32";
      if (!permute)
        return element == "f32" && rank == 4 ? draw.image(sizes, channelsLast != draw.chance(10))
                                             : draw.input(sizes, element);
      Sizes moved(sizes);
      std::swap(moved.front(), moved.back());
      std::string perm;
      for (int64_t axis = 0; axis < rank; ++axis)
        perm += (axis ? ", " : "") + std::to_string(axis == 0 ? rank - 1 : axis == rank - 1 ? 0 : axis);
      std::string x = draw.input(moved);
      return draw.op("transpose " + x + " [" + perm + "] : " + typeOf(moved) + " -> " + type);
    }
    std::string x = draw.input(few, element);
    return draw.op("broadcast " + x + " to [" + dims + "] : " + typeOf(few, element) + " -> " +
                   typeOf(sizes, element));
  };
  const int64_t ops = draw.chance(35) ? 0 : draw.chance(70) ? draw.number(1, 4) : draw.number(5, 9);
  for (int64_t i = 0; i < ops; ++i) {
    switch (draw.number(0, 9)) {
    case 0:
    case 1:
    case 2:
      values.push_back(draw.same(draw.pick<std::string>({"add", "sub", "mul", "maximum", "minimum"}),
                                 {last(), other("f32")}, type));
      break;
    case 3:
      values.push_back(draw.same("relu", {last()}, type));
      break;
    case 4:
      values.push_back(draw.same(
          draw.pick<std::string>({"neg", "abs", "tanh", "sigmoid", "silu", "gelu", "gelu_slope", "erf"}),
          {last()}, type));
      break;
    case 5: {
      std::string number =
          draw.op("constant " + draw.pick<std::string>({"0.0", "5.000000e-01", "-2.0"}) + " : " + type);
      values.push_back(draw.same(draw.pick<std::string>({"add", "mul", "maximum"}), {last(), number}, type));
      break;
    }
    case 6: {
      std::string y = draw.chance(50) ? other("f32") : draw.op("constant 0.0 : " + type);
      masks.push_back(draw.same(draw.pick<std::string>({"compare gt", "compare le"}), {last(), y}, type));
      computed.push_back(masks.back());
      break;
    }
    case 7:
      if (masks.empty() || draw.chance(30))
        masks.push_back(other("i1"));
      values.push_back(
          draw.op("select " + draw.pick(masks) + ", " + last() + ", " + draw.pick(values) + " : " + type));
      break;
    default:
      values.push_back(draw.same(draw.pick<std::string>({"add", "mul"}), {last(), draw.pick(values)}, type));
    }
  }
  std::set<std::string> leave{values.back()};
  if (draw.chance(20))
    leave.insert(value);
  for (const std::string &one : leave)
    draw.output(one, type, channelsLast);
  if (!computed.empty() && draw.chance(40))
    draw.output(computed.back(), mask, channelsLast);
}

ShapeCase drawContract(uint64_t seed) {
  Draw draw(seed);
  struct Label {
    char part; ///< batch, rows, columns or sums: b, r, c, s
    Size size = 1;
  };
  std::vector<Label> labels;
  auto add = [&](char part, int none, int two) {
    int64_t count = draw.chance(none) ? 0 : draw.chance(two) ? 2 : 1;
    for (int64_t i = 0; i < count; ++i)
      labels.push_back({part});
  };
  add('b', 65, 20);
  add('r', 6, 15);
  add('c', 6, 15);
  add('s', 4, 15);
  if (labels.empty())
    labels.push_back({'s'});
  // Sizes one by one from a budget of products; those that follow the batch first, since it is drawn with
  // them.
  std::vector<size_t> order(labels.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  draw.shuffle(order);
  const bool skips = draw.chance(12),
             skipsB = skips && draw.chance(30); // kernels for small products take no notice
  int64_t budget = draw.chance(skips ? 80 : 20) ? draw.power(20, 23.5) : draw.power(6, 21.5);
  size_t dynamic = draw.chance(35) ? 0 : draw.chance(80) ? 1 : 2;
  for (size_t i = 0; i < order.size(); ++i) {
    int64_t most = std::min<int64_t>(budget, 1300);
    Size size = i < dynamic ? draw.batchExtent(most) : Size(draw.extent(most));
    labels[order[i]].size = size;
    budget = std::max<int64_t>(1, budget / size.value);
  }
  auto axesOf = [&](const std::string &parts) {
    std::vector<size_t> axes;
    for (size_t i = 0; i < labels.size(); ++i)
      if (parts.find(labels[i].part) != std::string::npos)
        axes.push_back(i);
    if (draw.chance(50))
      draw.shuffle(axes);
    return axes;
  };
  auto sizesOf = [&](const std::vector<size_t> &axes) {
    Sizes sizes;
    for (size_t axis : axes)
      sizes.push_back(labels[axis].size);
    return sizes;
  };
  auto list = [](const std::vector<size_t> &axes) {
    std::string text;
    for (size_t axis : axes)
      text += (text.empty() ? "" : ", ") + std::to_string(axis);
    return "[" + text + "]";
  };
  std::vector<size_t> a = axesOf("brs"), b = axesOf("bcs"), out = axesOf("brc");
  auto operand = [&](const std::vector<size_t> &axes, bool parameter) {
    Sizes sizes = sizesOf(axes);
    if (axes.size() == 4 && draw.chance(25))
      return draw.image(sizes, true);
    if (axes.size() < 2 || !draw.chance(15))
      return draw.input(sizes, "f32", parameter);
    // Result axis i is operand axis perm[i].
    std::vector<size_t> perm;
    for (size_t i = 0; i < axes.size(); ++i)
      perm.push_back(i);
    draw.shuffle(perm);
    Sizes moved(sizes);
    for (size_t i = 0; i < perm.size(); ++i)
      moved[perm[i]] = sizes[i];
    std::string x = draw.input(moved, "f32", parameter);
    return draw.op("transpose " + x + " " + list(perm) + " : " + typeOf(moved) + " -> " + typeOf(sizes));
  };
  auto isStatic = [&](const std::vector<size_t> &axes) {
    return std::all_of(axes.begin(), axes.end(), [&](size_t axis) { return labels[axis].size.isStatic(); });
  };
  const bool skipsA = skips && !(skipsB && draw.chance(60));
  std::string x = skipsA && !a.empty() ? draw.skippable(sizesOf(a))
                                       : operand(a, isStatic(a) && draw.chance(20)),
              w = skipsB && !b.empty() ? draw.skippable(sizesOf(b))
                                       : operand(b, isStatic(b) && draw.chance(50));
  Sizes y = sizesOf(out);
  std::string value =
      draw.op("contract " + x + " " + list(a) + ", " + w + " " + list(b) + " -> " + list(out) + " : " +
              typeOf(sizesOf(a)) + ", " + typeOf(sizesOf(b)) + " -> " + typeOf(y));
  drawEpilogue(draw, value, y, y.size() == 4 && draw.chance(25));
  draw.made.kind = "contract";
  for (const Label &label : labels)
    draw.made.about += std::string(1, label.part) + "=" + label.size.text + " ";
  return std::move(draw.made);
}

} // namespace moe::test
