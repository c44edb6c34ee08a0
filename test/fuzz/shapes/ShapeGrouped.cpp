// Random grouped contractions with epilogues: the groups' matrices are either operand or the result; any number of other
// labels in any order, extents of the batch among them, and weights that are parameters. The groups' loads are equal,
// random, or all in one group; some groups are empty, and some rows are in none. Rows of either operand are
// often gathered from a table, and rows of the result multiplied by random numbers of their own.
#include "test/fuzz/shapes/ShapeCase.h"
#include <algorithm>

namespace moe::test {
namespace {

/// The groups' offsets into `rows` rows. They do not descend, but may begin before the first row and end behind the last.
std::vector<double> drawOffsets(Draw &draw, int64_t groups, int64_t rows) {
  std::vector<int64_t> offsets;
  const int64_t load = draw.number(0, 3), one = draw.number(0, groups - 1);
  for (int64_t i = 0; i <= groups; ++i)
    offsets.push_back(load == 0   ? rows * i / groups
                      : load == 1 ? (i <= one ? 0 : rows)
                                  : draw.number(0, rows));
  if (load == 3) // many empty ones
    for (size_t i = 1; i < offsets.size(); ++i)
      if (draw.chance(60))
        offsets[i] = offsets[i - 1];
  std::sort(offsets.begin(), offsets.end());
  if (load >= 2 && draw.chance(40))
    offsets.front() = draw.chance(30) ? -3 : 0;
  if (load >= 2 && draw.chance(40))
    offsets.back() = draw.chance(30) ? rows + 5 : rows;
  return {offsets.begin(), offsets.end()};
}

} // namespace

ShapeCase drawGrouped(uint64_t seed, bool draws) {
  Draw draw(seed);
  draw.made.kind = "grouped";
  // The label's part: the rows that groups have, the groups, or as a contraction's batch, rows, columns and sums.
  struct Label {
    char part;
    Size size = 1;
  };
  std::vector<Label> labels{{'p'}, {'g'}};
  auto add = [&](char part, int none, int two) {
    for (int64_t count = draw.chance(none) ? 0 : draw.chance(two) ? 2 : 1; count > 0; --count)
      labels.push_back({part});
  };
  add('b', 85, 10);
  add('r', 75, 10);
  add('c', 8, 10);
  add('s', 10, 10);
  const int64_t form =
      draw.number(0, 3); // the groups' label is in a, in b (twice as often), or in the result
  std::vector<size_t> order(labels.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  draw.shuffle(order);
  int64_t budget = draw.chance(20) ? draw.power(20, 22.5) : draw.power(6, 20.5);
  const size_t dynamic = draw.chance(35) ? 0 : draw.chance(80) ? 1 : 2;
  for (size_t i = 0; i < order.size(); ++i) {
    Label &label = labels[order[i]];
    const int64_t most = label.part == 'g' ? 12 : std::min<int64_t>(budget, 1300);
    label.size = i < dynamic ? draw.batchExtent(most) : Size(draw.extent(most));
    // Each row is in one group, so groups take none of the budget but for the result's or operand's size.
    budget = std::max<int64_t>(1, budget / (label.part == 'g' ? 1 : label.size.value));
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
  auto isStatic = [&](const std::vector<size_t> &axes) {
    return std::all_of(axes.begin(), axes.end(), [&](size_t axis) { return labels[axis].size.isStatic(); });
  };
  const bool inA = form == 0, inOut = form == 3, inB = !inA && !inOut;
  std::vector<size_t> a = axesOf(inA ? "bcsg" : "brsp"),
                      b = axesOf(inA   ? "brsp"
                                 : inB ? "bcsg"
                                       : "bcsp"),
                      out = axesOf(inOut ? "brcg" : "brcp");
  auto operand = [&](const std::vector<size_t> &axes, bool matrices) {
    return draw.input(sizesOf(axes), "f32", matrices && isStatic(axes) && draw.chance(60));
  };
  std::string x = operand(a, inA), w = operand(b, inB);
  const Size groups = labels[1].size;
  const Sizes count{groups.isStatic() ? Size(groups.value + 1)
                                      : Size(groups.text + " + 1", groups.value + 1)};
  const std::string offsets = draw.input(count, "i32");
  draw.made.given[offsets.substr(1)] = drawOffsets(draw, groups.value, labels[0].size.value);
  // Rows that are gathered from a table: read where they are, some of them often, and some that the table lacks.
  auto loads = [&](const std::vector<size_t> &axes, bool matrices) {
    const char other = inOut ? 's' : 'r';
    return !matrices && axes.front() == 0 &&
           std::none_of(axes.begin(), axes.end(), [&](size_t axis) { return labels[axis].part == other; });
  };
  const bool loadsX = loads(a, inA), loadsW = loads(b, inB);
  std::string loaded;
  if ((loadsX || loadsW) && draw.chance(50)) {
    const bool first = loadsX && (!loadsW || draw.chance(50));
    loaded = first ? "gathered rows of a, " : "gathered rows of b, ";
    std::string &value = first ? x : w;
    Sizes rows = sizesOf(first ? a : b), table(rows);
    table.front() = Size(draw.extent(40));
    const std::string from = draw.input(table), index = draw.input({rows.front()}, "i32");
    std::vector<double> &numbers = draw.made.given[index.substr(1)];
    for (int64_t i = 0; i < rows.front().value; ++i)
      numbers.push_back(double(draw.number(-1, table.front().value)));
    value = draw.op("gather " + from + ", " + index + " : " + typeOf(table) + ", " +
                    typeOf({rows.front()}, "i32") + " -> " + typeOf(rows));
  }
  const Sizes y = sizesOf(out);
  std::string value = draw.op("grouped_contract " + x + " " + list(a) + ", " + w + " " + list(b) + " -> " +
                              list(out) + " row 0 group 1 by " + offsets + " : " + typeOf(sizesOf(a)) + ", " +
                              typeOf(sizesOf(b)) + ", " + typeOf(count, "i32") + " -> " + typeOf(y));
  // A row of a table for each row: a bias or a scale of each group, or of any other choice.
  if (out.front() == 0 && !inOut && draw.chance(50)) {
    Sizes table(y);
    table.front() = Size(draw.extent(9));
    const std::string rows = draw.input(table), index = draw.input({y.front()}, "i32");
    std::vector<double> &numbers = draw.made.given[index.substr(1)];
    for (int64_t i = 0; i < y.front().value; ++i)
      numbers.push_back(double(draw.number(-1, table.front().value)));
    const std::string each = draw.op("gather " + rows + ", " + index + " : " + typeOf(table) + ", " +
                                     typeOf({y.front()}, "i32") + " -> " + typeOf(y));
    value = draw.same(draw.pick<std::string>({"add", "add", "mul"}), {value, each}, typeOf(y));
  }
  // Random numbers by the row that each row is, in any order.
  bool random = false;
  if (draws && out.front() == 0 && !inOut && draw.chance(50)) {
    random = true;
    const std::string index = draw.input({y.front()}, "i32");
    std::vector<double> &numbers = draw.made.given[index.substr(1)];
    for (int64_t i = 0; i < y.front().value; ++i)
      numbers.push_back(double(draw.number(0, 2 * y.front().value)));
    const std::string each =
        draw.op("random uniform 54321 at " + index + " : " + typeOf({y.front()}, "i32") + " -> " + typeOf(y));
    value = draw.same("mul", {value, each}, typeOf(y));
  }
  drawEpilogue(draw, value, y, false);
  draw.made.about = loaded + (random ? "random numbers, " : "");
  draw.made.about += inA ? "groups of a, " : inB ? "groups of b, " : "groups of the result, ";
  for (const Label &label : labels)
    draw.made.about += std::string(1, label.part) + "=" + label.size.text + " ";
  return std::move(draw.made);
}

} // namespace moe::test
