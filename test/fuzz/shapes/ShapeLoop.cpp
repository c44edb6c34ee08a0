// Random loop groups: the forms that networks are made of (softmax, norms, statistics, pooling, losses,
// updates) over any axes of any shape, and graphs of everything that a loop may hold, drawn op by op. What a
// graph asks for may be more than one kernel can do; then it is refused.
#include "test/fuzz/shapes/ShapeLoop.h"
#include <algorithm>

namespace moe::test {

std::string listOf(const std::vector<int64_t> &numbers) {
  std::string text;
  for (int64_t number : numbers)
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  return "[" + text + "]";
}

Sizes LoopDraw::shape(int64_t rank, int64_t budget) {
  Sizes sizes(rank, Size(1));
  std::vector<int64_t> order;
  for (int64_t axis = 0; axis < rank; ++axis)
    order.push_back(axis);
  draw.shuffle(order);
  // The batch comes first as a rule, and is drawn first, since its symbols are shared.
  int64_t dynamic = draw.chance(60) || !rank ? 0 : draw.chance(40) ? rank - 1 : rank;
  auto place = [&](int64_t axis) {
    int64_t most = std::min<int64_t>(budget, 4200);
    sizes[axis] = axis == dynamic ? draw.batchExtent(most) : Size(draw.extent(most));
    budget = std::max<int64_t>(1, budget / sizes[axis].value);
  };
  if (dynamic < rank)
    place(dynamic);
  for (int64_t axis : order)
    if (axis != dynamic)
      place(axis);
  return sizes;
}

Known LoopDraw::input(const Sizes &sizes, const std::string &element) {
  bool image = sizes.size() == 4 && element == "f32";
  return {image ? draw.image(sizes, channelsLast != draw.chance(5)) : draw.input(sizes, element), sizes,
          element};
}

void LoopDraw::output(const Known &x) {
  draw.output(x.name, x.type(), x.sizes.size() == 4 && channelsLast != draw.chance(5));
}

Known LoopDraw::unary(const std::string &name, const Known &x) {
  return {draw.same(name, {x.name}, x.type()), x.sizes, x.element};
}

Known LoopDraw::binary(const std::string &name, const Known &x, const Known &y) {
  std::string element = name.rfind("compare", 0) == 0 ? "i1" : x.element;
  return {draw.same(name, {x.name, y.name}, x.type()), x.sizes, element};
}

Known LoopDraw::constant(const std::string &value, const Known &like) {
  return {draw.op("constant " + value + " : " + typeOf(like.sizes)), like.sizes, "f32"};
}

Known LoopDraw::reduce(const std::string &kind, const Known &x, const std::vector<int64_t> &axes) {
  Sizes left;
  for (size_t axis = 0; axis < x.sizes.size(); ++axis)
    if (std::find(axes.begin(), axes.end(), int64_t(axis)) == axes.end())
      left.push_back(x.sizes[axis]);
  return {draw.op("reduce " + kind + " " + x.name + " over " + listOf(axes) + " : " + x.type() + " -> " +
                  typeOf(left)),
          left, "f32"};
}

Known LoopDraw::broadcast(const Known &x, const Sizes &to, const std::vector<int64_t> &dims) {
  return {draw.op("broadcast " + x.name + " to " + listOf(dims) + " : " + x.type() + " -> " +
                  typeOf(to, x.element)),
          to, x.element};
}

std::vector<int64_t> LoopDraw::otherAxes(const Known &x, const std::vector<int64_t> &axes) {
  std::vector<int64_t> others;
  for (size_t axis = 0; axis < x.sizes.size(); ++axis)
    if (std::find(axes.begin(), axes.end(), int64_t(axis)) == axes.end())
      others.push_back(int64_t(axis));
  return others;
}

std::vector<int64_t> LoopDraw::someAxes(int64_t rank) {
  std::vector<int64_t> axes;
  while (axes.empty())
    for (int64_t axis = 0; axis < rank; ++axis)
      if (draw.chance(45))
        axes.push_back(axis);
  return axes;
}

Known LoopDraw::mean(const Known &x, const std::vector<int64_t> &axes) {
  Known sum = reduce("sum", x, axes);
  // A mean's divisor is a size; of the batch it is only known when the kernel runs.
  std::string size;
  for (int64_t axis : axes)
    size += (size.empty() ? "" : " * ") + x.sizes[axis].text;
  Known count{draw.op("extent " + size + " : tensor<f32>"), {}, "f32"};
  return binary("div", sum, sum.sizes.empty() ? count : broadcast(count, sum.sizes, {}));
}

Known LoopDraw::softmax(const Known &x, const std::vector<int64_t> &axes, bool logarithm) {
  const std::vector<int64_t> kept = otherAxes(x, axes);
  auto back = [&](const Known &of) { return broadcast(of, x.sizes, kept); };
  Known shifted = binary("sub", x, back(reduce("max", x, axes)));
  Known raised = unary("exp", shifted), sum = reduce("sum", raised, axes);
  return logarithm ? binary("sub", shifted, back(unary("log", sum))) : binary("div", raised, back(sum));
}

Known LoopDraw::norm(const Known &x, const std::vector<int64_t> &axes, bool affine, Known *scale) {
  const std::vector<int64_t> kept = otherAxes(x, axes);
  auto back = [&](const Known &of) { return broadcast(of, x.sizes, kept); };
  Known centred = binary("sub", x, back(mean(x, axes)));
  Known variance = mean(binary("mul", centred, centred), axes);
  Known factor = unary("rsqrt", binary("add", variance, constant("1.000000e-03", variance)));
  Known y = binary("mul", centred, back(factor));
  if (affine) {
    Sizes few;
    for (int64_t axis : axes)
      few.push_back(x.sizes[axis]);
    y = binary("mul", y, broadcast(input(few), x.sizes, axes));
    y = binary("add", y, broadcast(input(few), x.sizes, axes));
  }
  if (scale)
    *scale = factor;
  return y;
}

Known LoopDraw::groupNorm(const Known &x, int64_t groups) {
  const int64_t channels = x.sizes[1].value, each = channels / groups,
                count = each * x.sizes[2].value * x.sizes[3].value;
  const Sizes grouped{x.sizes[0], groups, each}, flat{x.sizes[0], channels};
  auto reshape = [&](const Known &of, const Sizes &to) {
    return Known{draw.op("reshape " + of.name + " : " + of.type() + " -> " + typeOf(to)), to, "f32"};
  };
  auto statistics = [&](const Known &of) {
    Known total = reduce("sum", reshape(reduce("sum", of, {2, 3}), grouped), {2});
    return binary("mul", total, constant(std::to_string(1.0 / double(count)), total));
  };
  auto back = [&](const Known &of) {
    return broadcast(reshape(broadcast(of, grouped, {0, 1}), flat), x.sizes, {0, 1});
  };
  Known centred = binary("sub", x, back(statistics(x)));
  Known variance = statistics(binary("mul", centred, centred));
  Known y = binary("mul", centred,
                   back(unary("rsqrt", binary("add", variance, constant("1.000000e-03", variance)))));
  y = binary("mul", y, broadcast(input({channels}), x.sizes, {1}));
  return binary("add", y, broadcast(input({channels}), x.sizes, {1}));
}

/// Softmax, its logarithm, or a norm with statistics over some axes.
void LoopDraw::normalize() {
  Known x = input(shape(draw.number(1, 4), draw.power(4, 16.5)));
  if (draw.chance(30))
    x = binary("mul", x, constant("3.0", x));
  std::vector<int64_t> axes =
      draw.chance(60) ? std::vector<int64_t>{int64_t(x.sizes.size()) - 1} : someAxes(x.sizes.size());
  if (draw.chance(50))
    return output(softmax(x, axes, draw.chance(50)));
  Known scale, y = norm(x, axes, draw.chance(60), &scale);
  output(draw.chance(50) ? unary("relu", y) : y);
  if (draw.chance(20))
    output(scale);
}

/// A norm over groups of channels, as BuildNn has it: statistics alone are reshaped.
void LoopDraw::groups() {
  const int64_t groups = draw.pick<int64_t>({1, 2, 4, 8}), each = draw.extent(24);
  const int64_t channels = groups * each, side = draw.extent(20),
                other = draw.chance(80) ? side : draw.extent(20);
  Size batch = draw.batchExtent(std::max<int64_t>(1, draw.power(8, 16.5) / (channels * side * other)));
  Known y = groupNorm(input({batch, channels, side, other}), groups);
  output(unary(draw.pick<std::string>({"relu", "silu"}), y));
}

/// Windows of an image and what they are reduced to, or the way back.
void LoopDraw::pool() {
  int64_t size[2], stride[2], pads[4], image[2], result[2];
  for (int i = 0; i < 2; ++i) {
    size[i] = draw.number(1, draw.chance(80) ? 3 : 6);
    stride[i] = draw.number(1, 3);
    pads[i] = draw.chance(50) ? 0 : draw.number(0, size[i]);
    pads[i + 2] = draw.chance(50) ? pads[i] : draw.number(0, size[i]);
    image[i] = std::max(draw.extent(20), std::max<int64_t>(1, size[i] - pads[i] - pads[i + 2]));
    result[i] = (image[i] + pads[i] + pads[i + 2] - size[i]) / stride[i] + 1;
  }
  int64_t budget = std::max<int64_t>(1, draw.power(6, 16) / (result[0] * result[1] * size[0] * size[1]));
  Size batch = draw.chance(85) ? draw.batchExtent(budget) : Size(draw.extent(budget));
  int64_t channels = draw.extent(std::max<int64_t>(1, budget / batch.value));
  const Sizes x{batch, channels, image[0], image[1]}, y{batch, channels, result[0], result[1]},
      windows{batch, channels, result[0], result[1], size[0], size[1]};
  const std::string by =
      " by " + listOf({stride[0], stride[1]}) + " pads " + listOf({pads[0], pads[1], pads[2], pads[3]});
  auto windowsOf = [&](const Known &of) {
    std::string outside = draw.pick<std::string>({"0.0", "0.0", "-1.0"});
    return Known{draw.op("window " + of.name + " size " + listOf({size[0], size[1]}) + by + " with " +
                         outside + " : " + of.type() + " -> " + typeOf(windows)),
                 windows, "f32"};
  };
  auto sumOf = [&](const Known &of) {
    return Known{draw.op("window_sum " + of.name + by + " : " + of.type() + " -> " + typeOf(x)), x, "f32"};
  };
  switch (draw.number(0, 2)) {
  case 0:
    output(reduce(draw.pick<std::string>({"max", "sum", "min"}), windowsOf(input(x)), {4, 5}));
    break;
  case 1:
    output(sumOf(broadcast(input(y), windows, {0, 1, 2, 3})));
    break;
  default: {
    // The gradient of a maximum: to each window's largest.
    Known in = input(x), all = windowsOf(in), largest = input(y), dy = input(y);
    Known own = binary("compare eq", all, broadcast(largest, windows, {0, 1, 2, 3}));
    Known zero = constant("0.0", all), spread = broadcast(dy, windows, {0, 1, 2, 3});
    Known part{draw.op("select " + own.name + ", " + spread.name + ", " + zero.name + " : " + all.type()),
               windows, "f32"};
    output(sumOf(part));
  }
  }
}

/// The loss of rows of scores: minus the logarithm of the softmax at a label.
void LoopDraw::crossEntropy() {
  Known scores = input(shape(2, draw.power(3, 15)));
  draw.made.classes = scores.sizes[1].value;
  Known label = input({scores.sizes[0]}, "i32");
  Known shifted = binary("sub", scores, broadcast(reduce("max", scores, {1}), scores.sizes, {0}));
  Known sums = unary("log", reduce("sum", unary("exp", shifted), {1}));
  const std::string whole = typeOf(scores.sizes, "i32");
  Known index{draw.op("iota 1 : " + whole), scores.sizes, "i32"};
  Known mine = binary("compare eq", index, broadcast(label, scores.sizes, {0}));
  Known one{draw.op("select " + mine.name + ", " + shifted.name + ", " + constant("0.0", scores).name +
                    " : " + scores.type()),
            scores.sizes, "f32"};
  Known loss = binary("sub", sums, reduce("sum", one, {1}));
  if (draw.chance(50))
    output(loss);
  output(draw.chance(50) ? mean(loss, {0}) : binary("sub", unary("exp", shifted), scores));
}

/// Adam's step and the like: several results over the places of operands.
void LoopDraw::update() {
  Sizes sizes = shape(draw.number(1, 4), draw.power(0, 16.5));
  Known p = input(sizes), m = input(sizes), g = input(sizes), keep = input({}, "i1"), rate = input({});
  auto wide = [&](const Known &x) { return broadcast(x, sizes, {}); };
  Known next = binary("add", binary("mul", m, constant("9.000000e-01", m)),
                      binary("mul", g, constant("1.000000e-01", g)));
  Known moved = binary("sub", p, binary("mul", next, wide(rate)));
  auto choose = [&](const Known &x, const Known &y) {
    return Known{draw.op("select " + wide(keep).name + ", " + x.name + ", " + y.name + " : " + x.type()),
                 x.sizes, "f32"};
  };
  output(choose(moved, p));
  output(choose(next, m));
  if (draw.chance(40))
    output(reduce("sum", binary("mul", g, g), someAxes(sizes.size())));
}

/// Rows of a table by their numbers, and rows added up by them.
void LoopDraw::rowsByIndex() {
  int64_t budget = draw.power(2, 15);
  Sizes index, row;
  for (int64_t i = draw.number(1, 2); i > 0; --i) {
    index.push_back(draw.chance(60) ? draw.batchExtent(budget) : Size(draw.extent(budget)));
    budget = std::max<int64_t>(1, budget / index.back().value);
  }
  for (int64_t i = draw.number(0, 2); i > 0; --i) {
    row.push_back(draw.extent(budget));
    budget = std::max<int64_t>(1, budget / row.back().value);
  }
  draw.made.classes = draw.extent(70);
  Sizes table{draw.made.classes}, rows(index);
  table.insert(table.end(), row.begin(), row.end());
  rows.insert(rows.end(), row.begin(), row.end());
  const bool gathers = draw.chance(50);
  Known number = input(index, "i32"), x = input(gathers ? table : rows);
  if (gathers) {
    Known y{draw.op("gather " + x.name + ", " + number.name + " : " + x.type() + ", " + number.type() +
                    " -> " + typeOf(rows)),
            rows, "f32"};
    return output(draw.chance(50) ? y : unary("relu", y));
  }
  output({draw.op("scatter_add " + number.name + ", " + x.name + " : " + number.type() + ", " + x.type() +
                  " -> " + typeOf(table)),
          table, "f32"});
}

/// One or several reductions of one value or of products of two, over some axes or all.
void LoopDraw::reductions() {
  Known x = input(shape(draw.number(1, 4), draw.power(2, draw.chance(20) ? 18.3 : 16)));
  Known y = draw.chance(50) ? x : input(x.sizes);
  if (draw.chance(40))
    x = unary(draw.pick<std::string>({"neg", "abs", "tanh", "relu"}), x);
  std::vector<int64_t> axes = someAxes(x.sizes.size());
  Known product = draw.chance(60) ? binary("mul", x, y) : x;
  Known sum = reduce(draw.pick<std::string>({"sum", "sum", "sum", "max", "min"}), product, axes);
  output(draw.chance(30) ? binary("mul", sum, sum) : sum);
  if (draw.chance(30))
    output(reduce("sum", x, draw.chance(50) ? axes : someAxes(x.sizes.size())));
  if (draw.chance(25))
    output(binary("add", y, broadcast(sum, x.sizes, otherAxes(x, axes))));
  if (x.sizes.size() > 1 && draw.chance(15)) {
    int64_t axis = draw.number(0, int64_t(x.sizes.size()) - 1);
    Sizes left(x.sizes);
    left.erase(left.begin() + axis);
    output({draw.op("argmax " + y.name + " along " + std::to_string(axis) + " : " + y.type() + " -> " +
                    typeOf(left, "i32")),
            left, "i32"});
  }
}

void LoopDraw::elementwise() {
  Sizes sizes = shape(draw.number(0, 4), draw.power(0, 17));
  Known x = input(sizes);
  Known y = unary(draw.pick<std::string>({"neg", "abs", "tanh", "relu", "exp"}), x);
  if (draw.chance(25)) {
    Known noise{draw.op("random " + draw.pick<std::string>({"uniform", "normal"}) + " 12345 -> " + x.type()),
                sizes, "f32"};
    y = binary("mul", y, noise);
  }
  drawEpilogue(draw, y.name, sizes, channelsLast);
}

ShapeCase drawLoop(uint64_t seed) {
  Draw draw(seed);
  LoopDraw loop(draw);
  struct Form {
    const char *name;
    int weight;
    void (LoopDraw::*make)();
  };
  static const Form forms[] = {{"elementwise", 14, &LoopDraw::elementwise},
                               {"reductions", 20, &LoopDraw::reductions},
                               {"normalize", 16, &LoopDraw::normalize},
                               {"group norm", 8, &LoopDraw::groups},
                               {"pool", 12, &LoopDraw::pool},
                               {"cross entropy", 6, &LoopDraw::crossEntropy},
                               {"update", 6, &LoopDraw::update},
                               {"rows by index", 6, &LoopDraw::rowsByIndex},
                               {"graph", 12, &LoopDraw::graph}};
  int64_t at = draw.number(1, 100);
  draw.made.kind = "loop";
  // Intermediate values of a size that is bound late, or a large one, are not one kernel's.
  draw.made.mayRefuse = true;
  for (const Form &form : forms) {
    if ((at -= form.weight) > 0)
      continue;
    draw.made.about = form.name;
    (loop.*form.make)();
    break;
  }
  return std::move(draw.made);
}

} // namespace moe::test
