// Graphs of loop ops, drawn one after another over the values that are there: elementwise ops, reductions,
// broadcasts, and views of every kind; see ShapeLoop.h.
#include "test/fuzz/shapes/ShapeLoop.h"
#include <algorithm>

namespace moe::test {

static bool sameShape(const Sizes &x, const Sizes &y) {
  return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                    [](auto &a, auto &b) { return a.text == b.text; });
}

Known LoopDraw::view(const Known &x) {
  const int64_t rank = int64_t(x.sizes.size());
  if (!rank)
    return x;
  const int64_t axis = draw.number(0, rank - 1);
  const Size size = x.sizes[axis];
  std::vector<int64_t> zeros(rank, 0), ones(rank, 1);
  Sizes to(x.sizes);
  switch (draw.number(0, 5)) {
  case 0: {
    std::vector<int64_t> perm;
    for (int64_t i = 0; i < rank; ++i)
      perm.push_back(i);
    draw.shuffle(perm);
    for (int64_t i = 0; i < rank; ++i)
      to[i] = x.sizes[perm[i]];
    return {draw.op("transpose " + x.name + " " + listOf(perm) + " : " + x.type() + " -> " + typeOf(to)), to,
            "f32"};
  }
  case 1: { // the last axes as one
    int64_t rest = 1;
    for (int64_t i = axis; i < rank; ++i)
      rest *= x.sizes[i].isStatic() ? x.sizes[i].value : 0;
    if (!rest)
      return x;
    to.resize(axis, Size(1));
    to.push_back(rest);
    return {draw.op("reshape " + x.name + " : " + x.type() + " -> " + typeOf(to)), to, "f32"};
  }
  case 2: { // one axis as two
    if (!size.isStatic() || rank > 4)
      return x;
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= size.value; ++d)
      if (size.value % d == 0)
        divisors.push_back(d);
    int64_t outer = draw.pick(divisors);
    to[axis] = outer;
    to.insert(to.begin() + axis + 1, Size(size.value / outer));
    return {draw.op("reshape " + x.name + " : " + x.type() + " -> " + typeOf(to)), to, "f32"};
  }
  case 3: { // a part of an axis
    if (!size.isStatic() || size.value < 2)
      return x;
    zeros[axis] = draw.number(0, std::min<int64_t>(size.value - 1, 5));
    ones[axis] = draw.number(1, 3);
    to[axis] = draw.number(1, (size.value - zeros[axis] - 1) / ones[axis] + 1);
    return {draw.op("slice " + x.name + " from " + listOf(zeros) + " by " + listOf(ones) + " : " + x.type() +
                    " -> " + typeOf(to)),
            to, "f32"};
  }
  case 4: { // something around an axis and between
    if (!size.isStatic())
      return x;
    std::vector<int64_t> low(zeros), interior(zeros);
    low[axis] = draw.number(0, 3);
    interior[axis] = draw.chance(30) ? draw.number(1, 2) : 0;
    to[axis] = low[axis] + size.value + (size.value - 1) * interior[axis] + draw.number(0, 3);
    return {draw.op("pad " + x.name + " low " + listOf(low) + " interior " + listOf(interior) + " with " +
                    draw.pick<std::string>({"0.0", "3.0"}) + " : " + x.type() + " -> " + typeOf(to)),
            to, "f32"};
  }
  default: { // something before it
    Sizes before(x.sizes);
    before[axis] = draw.number(1, 20);
    Known first = input(before);
    to[axis] = size.isStatic() ? Size(size.value + before[axis].value)
                               : Size(size.text + " + " + before[axis].text, size.value + before[axis].value);
    if (!size.isStatic() && size.text.find('+') != std::string::npos)
      return x;
    return {draw.op("concat " + first.name + ", " + x.name + " along " + std::to_string(axis) + " : " +
                    first.type() + ", " + x.type() + " -> " + typeOf(to)),
            to, "f32"};
  }
  }
}

/// A value broadcast to a shape that has its extents in order, somewhere.
Known LoopDraw::spread(const Known &x, const Sizes &to) {
  std::vector<int64_t> dims;
  size_t at = 0;
  for (const Size &size : x.sizes) {
    while (at < to.size() && to[at].text != size.text)
      ++at;
    if (at == to.size())
      return x;
    dims.push_back(int64_t(at++));
  }
  return broadcast(x, to, dims);
}

void LoopDraw::graph() {
  Known x = input(shape(draw.number(1, 4), draw.power(2, 14)));
  std::vector<Known> values{x, input(x.sizes)};
  if (draw.chance(50)) {
    Sizes few;
    for (const Size &size : x.sizes)
      if (draw.chance(50))
        few.push_back(size);
    values.push_back(input(few));
  }
  const size_t given = values.size();
  auto pick = [&]() -> Known {
    size_t back = std::min<size_t>(draw.number(0, values.size() - 1), draw.number(0, values.size() - 1));
    return values[values.size() - 1 - back];
  };
  const int64_t ops = draw.number(3, 12);
  for (int64_t i = 0; i < ops; ++i) {
    Known of = pick();
    const int64_t rank = int64_t(of.sizes.size());
    switch (draw.number(0, 9)) {
    case 0:
    case 1:
      values.push_back(unary(draw.pick<std::string>({"tanh", "relu", "neg", "sigmoid"}), of));
      break;
    case 2:
    case 3:
    case 4:
      for (size_t k = values.size(); k-- > 0;)
        if (sameShape(values[k].sizes, of.sizes) && draw.chance(60)) {
          values.push_back(binary(draw.pick<std::string>({"sub", "add", "maximum", "mul"}), of, values[k]));
          break;
        }
      break;
    case 5:
    case 6:
      if (rank)
        values.push_back(reduce(draw.pick<std::string>({"sum", "max"}), of, someAxes(rank)));
      break;
    case 7: {
      const Sizes to = pick().sizes;
      if (Known wide = spread(of, to); !sameShape(to, of.sizes) && wide.name != of.name)
        values.push_back(wide);
      break;
    }
    default:
      if (Known seen = view(of); seen.name != of.name)
        values.push_back(seen);
    }
    // Values of large squares would be the evaluator's time.
    if (countOf(values.back().sizes) > (1 << 17))
      values.pop_back();
  }
  if (values.size() == given)
    values.push_back(unary("tanh", values.front()));
  std::set<std::string> leave{values.back().name};
  if (draw.chance(40) && values.size() > given + 1)
    leave.insert(values[draw.number(given, values.size() - 1)].name);
  for (const Known &value : values)
    if (leave.erase(value.name))
      output(value);
}

} // namespace moe::test
