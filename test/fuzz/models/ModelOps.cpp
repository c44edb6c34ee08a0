// The ordinary ops of a random model's bodies; see ModelDraw.h.
#include "test/fuzz/models/ModelDraw.h"
#include <algorithm>
#include <cstdio>

namespace moe::test {
namespace {

constexpr int64_t kElements = 1500; // of a value a sample, experts included
constexpr int64_t kProducts = 60000;

int64_t productOf(const Shape &shape) {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

bool fits(const Drawn &value) { return value.elements() <= kElements; }

} // namespace

int64_t Drawn::elements() const { return productOf(shape) * std::max<int64_t>(1, experts ? count : 1); }

// Numbers and text.

int64_t ModelDraw::extent(int64_t most) {
  static const std::vector<int64_t> odd = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33};
  std::vector<int64_t> fit;
  for (int64_t value : odd)
    if (value <= most)
      fit.push_back(value);
  return chance(70) ? pick(fit) : number(1, std::max<int64_t>(1, std::min<int64_t>(most, 12)));
}

std::string ModelDraw::decimal(double low, double high) {
  char text[32];
  snprintf(text, sizeof text, "%.2f", low + (high - low) * double(number(0, 100)) / 100);
  return text;
}

/// A size as an author may write it: a number, a parameter, or arithmetic on them.
std::string ModelDraw::size(Body &body, int64_t value) {
  auto text = std::to_string(value);
  std::vector<Given> sizes;
  for (const Given &each : body.parameters)
    if (each.kind == "size")
      sizes.push_back(each);
  if (!sizes.empty() && chance(40)) {
    const Given &each = pick(sizes);
    const int64_t have = std::stoll(each.value);
    if (have == value)
      return note("size parameter"), each.name;
    if (have < value)
      return note("size arithmetic"), each.name + " + " + std::to_string(value - have);
    if (value > 0 && have % value == 0)
      return note("size arithmetic"), each.name + " / " + std::to_string(have / value);
    return note("size arithmetic"), each.name + " - " + std::to_string(have - value);
  }
  if (body.parameters.size() < 4 && value > 0 && !body.trunk && chance(30)) {
    Given given{fresh("n"), "size", text, body.model || chance(30)};
    body.parameters.push_back(given);
    return note("size parameter"), given.name;
  }
  if (value > 2 && chance(10))
    return note("size arithmetic"),
           "(" + std::to_string(value - 1) + " * 2 - " + std::to_string(value - 2) + ")";
  if (value > 0 && chance(5))
    return note("size arithmetic"),
           std::to_string(value + 3 * (value + 1)) + " mod " + std::to_string(value + 1);
  return text;
}

/// A number as an author may write it.
std::string ModelDraw::fraction(Body &body, double low, double high) {
  for (const Given &each : body.parameters)
    if (each.kind == "number" && std::stod(each.value) >= low && std::stod(each.value) <= high && chance(50))
      return each.name;
  std::string text = decimal(low, high);
  if (body.parameters.size() < 4 && chance(25)) {
    Given given{fresh("x"), "number", text, body.model || chance(30)};
    body.parameters.push_back(given);
    return note("number parameter"), given.name;
  }
  return text;
}

std::string ModelDraw::listOf(Body &body, const Shape &shape) {
  std::string text;
  for (int64_t value : shape)
    text += (text.empty() ? "" : ", ") + size(body, value);
  return "[" + text + "]";
}

std::string ModelDraw::initial(bool withBias) {
  if (!chance(25))
    return "";
  static const std::vector<std::string> rules = {
      "zeros",      "ones", "constant(0.5)", "uniform(-0.1, 0.2)", "normal(0.1)", "trunc_normal(0.02)",
      "fan_in(1.5)"};
  note("init");
  std::string text = " init " + pick(rules);
  return withBias && chance(50) ? text + ", " + pick(rules) : text;
}

Drawn &ModelDraw::emit(Body &body, const std::string &text, Drawn result) {
  result.name = "%" + fresh("v");
  result.used = false;
  body.text += body.indent + result.name + " = " + text + "\n";
  body.values.push_back(result);
  return body.values.back();
}

Drawn ModelDraw::derived(const Drawn &from, Shape shape) {
  Drawn made = from;
  made.shape = std::move(shape);
  return made;
}

// Values.

Drawn *ModelDraw::find(Body &body, const std::function<bool(const Drawn &)> &wanted) {
  std::vector<Drawn *> late, all;
  for (size_t i = 0; i < body.values.size(); ++i) {
    Drawn &value = body.values[i];
    if (!wanted(value))
      continue;
    all.push_back(&value);
    if (!value.used)
      late.push_back(&value);
  }
  Drawn *found = !late.empty() && chance(75) ? late[random() % late.size()]
                 : !all.empty()              ? all[random() % all.size()]
                                             : nullptr;
  if (found)
    found->used = true;
  return found;
}

Drawn *ModelDraw::any(Body &body) {
  return find(body, [](const Drawn &value) { return !value.routing; });
}

/// What windows may be cut from. Weights of rows' own experts convolve nothing.
Drawn *ModelDraw::image(Body &body, bool forWeights) {
  if (forWeights && body.rows)
    return nullptr;
  return find(body, [](const Drawn &value) {
    return !value.routing && value.rank() == 3 && value.batch && !value.experts;
  });
}

/// The value itself if it is bounded, else what `op` makes of it.
Drawn &ModelDraw::tamed(Body &body, Drawn &value, const std::string &op) {
  value.used = true;
  if (value.bounded && op == "tanh")
    return value;
  Drawn made = value;
  made.bounded = true;
  // The sigmoid of what is far below 0 is 0 in f32, which nothing can be divided by.
  if (!value.bounded && op == "sigmoid")
    return tamed(body, tamed(body, value, "tanh"), op);
  Drawn &result = emit(body, op + " " + value.name, made);
  result.used = true;
  return result;
}

/// A parameter, or random numbers of each sample.
Drawn ModelDraw::free(Body &body, const Shape &shape) {
  Drawn made;
  made.shape = shape;
  made.bounded = true;
  if (chance(25) && !body.trunk) {
    Drawn &value =
        chance(50) ? emit(body, "bernoulli " + listOf(body, shape) + ", " + fraction(body, 0.1, 0.9), made)
                   : emit(body, "uniform " + listOf(body, shape) + ", -1, " + fraction(body, 0.5, 2), made);
    value.used = true;
    return value;
  }
  static const std::vector<std::string> rules = {"normal(0.5)", "uniform(-1, 0.5)", "constant(0.25)", "ones",
                                                 "zeros",       "trunc_normal(0.3)"};
  made.batch = false;
  made.experts = body.experts > 0;
  made.count = body.experts;
  Drawn &value = emit(body, "param @" + fresh("p") + " " + listOf(body, shape) + " " + pick(rules), made);
  value.used = true;
  return value;
}

/// What an op of two values takes beside one: another that broadcasts with it, or a parameter.
Drawn ModelDraw::partner(Body &body, const Drawn &of) {
  const Drawn copy = of;
  auto broadcasts = [&](const Drawn &value) {
    if (value.routing || (value.experts && copy.experts && value.count != copy.count))
      return false;
    Shape shape(std::max(value.shape.size(), copy.shape.size()), 1);
    for (size_t i = 1; i <= shape.size(); ++i) {
      int64_t a = i <= value.shape.size() ? value.shape[value.shape.size() - i] : 1;
      int64_t b = i <= copy.shape.size() ? copy.shape[copy.shape.size() - i] : 1;
      if (a != 1 && b != 1 && a != b)
        return false;
      shape[shape.size() - i] = std::max(a, b);
    }
    // A leading axis of one on a value without a batch is taken for the batch's place.
    auto asBatch = [](const Drawn &a, const Drawn &b) {
      return b.batch && !a.batch && !a.experts && a.rank() == b.rank() + 1 && a.shape[0] == 1;
    };
    return !asBatch(value, copy) && !asBatch(copy, value) &&
           productOf(shape) * std::max<int64_t>(1, std::max(value.count, copy.count)) <= kElements;
  };
  if (chance(60))
    if (Drawn *found = find(body, broadcasts))
      return *found;
  Shape shape = copy.shape;
  if (!shape.empty() && chance(50))
    shape.erase(shape.begin(), shape.begin() + number(0, int64_t(shape.size())));
  for (int64_t &extent : shape)
    if (chance(25))
      extent = 1;
  return free(body, shape);
}

// Steps.

bool ModelDraw::elementwise(Body &body) {
  Drawn *x = any(body);
  if (!x)
    return false;
  switch (number(0, 8)) {
  case 3: { // of what has no gradient and is exact, for the sign of a sum near 0 is a matter of rounding
    Drawn value = free(body, x->shape);
    emit(body, "sign " + value.name, value);
    return true;
  }
  case 4: {
    Drawn made = *x;
    std::string low = decimal(-2, 0), high = decimal(0.1, 2);
    const bool both = chance(50), below = both || chance(50);
    made.bounded |= both;
    emit(body,
         "clamp " + x->name + (below ? " min = " + low : " max = " + high) + (both ? ", max = " + high : ""),
         made);
    return true;
  }
  case 5: {
    Drawn made = *x;
    Shape left;
    bool experts = false;
    if (x->rank() == 0)
      return false;
    // A floor that keeps the slope small: a row may be 0.
    std::string axes = chance(50) ? over(body, *x, left, experts) : "";
    made.bounded = true;
    emit(body, "normalize " + x->name + " eps = " + decimal(0.1, 1) + axes, made);
    return true;
  }
  case 0: {
    Drawn &low = tamed(body, *x, "tanh");
    Drawn made = low;
    emit(body, "exp " + low.name, made);
    return true;
  }
  case 1: {
    Drawn &positive = tamed(body, *x, "sigmoid");
    Drawn made = positive;
    emit(body, (chance(50) ? "log " : "sqrt ") + positive.name, made);
    return true;
  }
  case 2:
    if (x->rank() > 0) {
      Drawn made = *x;
      made.bounded = true;
      emit(body, "softmax " + x->name, made);
      return true;
    }
    [[fallthrough]];
  default: {
    std::string op =
        pick<std::string>({"neg", "abs", "tanh", "sigmoid", "relu", "silu", "gelu", "stop_gradient"});
    Drawn made = *x;
    made.bounded |= op == "tanh" || op == "sigmoid";
    emit(body, op + " " + x->name, made);
    return true;
  }
  }
}

/// A number in the place of a value, as an author may write it.
std::string ModelDraw::literal(Body &body, const Drawn &beside) {
  if (beside.rank() > 0 && chance(25)) {
    note("size of a value");
    return "1 / size(" + beside.name + ", " + (chance(50) ? "features" : "0") + ")";
  }
  return chance(50) ? fraction(body, 0.3, 1.5) : decimal(-1.5, 1.5) + " + 2";
}

/// An op of a value and a number.
bool ModelDraw::withNumber(Body &body) {
  Drawn *x = any(body);
  if (!x)
    return false;
  note("number in the place of a value");
  const std::string op = pick<std::string>({"add", "sub", "mul", "div", "where"});
  const std::string text = literal(body, *x);
  Drawn made = *x;
  if (op == "div") {
    emit(body, op + " " + x->name + ", " + text, made);
  } else if (op == "where") {
    Drawn mask = emit(body, "relu " + x->name, made);
    body.values.back().used = true;
    emit(body, "where " + mask.name + ", " + (chance(50) ? text + ", " + x->name : x->name + ", " + text),
         made);
  } else {
    emit(body, op + " " + (chance(50) ? text + ", " + x->name : x->name + ", " + text), made);
  }
  return true;
}

bool ModelDraw::binary(Body &body) {
  if (chance(20))
    return withNumber(body);
  Drawn *found = any(body);
  if (!found)
    return false;
  Drawn x = *found, y = partner(body, x);
  auto join = [](const Drawn &a, const Drawn &b) {
    Drawn made = a;
    made.shape.assign(std::max(a.shape.size(), b.shape.size()), 1);
    for (size_t i = 1; i <= made.shape.size(); ++i)
      made.shape[made.shape.size() - i] = std::max(i <= a.shape.size() ? a.shape[a.shape.size() - i] : 1,
                                                   i <= b.shape.size() ? b.shape[b.shape.size() - i] : 1);
    made.batch = a.batch || b.batch;
    made.experts = a.experts || b.experts;
    made.count = std::max(a.experts ? a.count : 0, b.experts ? b.count : 0);
    made.bounded = a.bounded && b.bounded;
    return made;
  };
  switch (number(0, 5)) {
  case 0:
    emit(body, "add " + x.name + ", " + y.name, join(x, y));
    return true;
  case 1:
    emit(body, "sub " + x.name + ", " + y.name, join(x, y));
    return true;
  case 2: {
    Drawn low = tamed(body, y, "tanh");
    emit(body, "mul " + x.name + ", " + low.name, join(x, low));
    return true;
  }
  case 3: {
    Drawn low = tamed(body, y, "sigmoid");
    emit(body, "div " + x.name + ", " + low.name, join(x, low));
    return true;
  }
  case 4: { // a mask, exact or nearly so
    Drawn mask;
    mask.shape = y.shape;
    if (body.trunk || chance(50)) {
      mask = y;
      mask = emit(body, "relu " + y.name, mask);
    } else {
      mask.bounded = true;
      mask = emit(body, "bernoulli " + listOf(body, y.shape) + ", 0.5", mask);
    }
    body.values.back().used = true;
    emit(body, "where " + mask.name + ", " + x.name + ", " + y.name, join(join(mask, x), y));
    return true;
  }
  default:
    if (x.shape != y.shape)
      return false;
    Drawn made = join(x, y);
    std::string rate = chance(60) ? " drop_path = " + fraction(body, 0, 0.6) : "";
    emit(body, "residual " + x.name + ", " + y.name + rate, made);
    return true;
  }
}

/// The axes of a reduction as text, and what they leave.
std::string ModelDraw::over(Body &body, const Drawn &x, Shape &left, bool &experts) {
  left = x.shape;
  experts = false;
  if (x.experts && chance(25)) {
    experts = true;
    note("over experts");
    return " over experts";
  }
  const int64_t rank = x.rank();
  if (rank == 0 || chance(15)) {
    left.clear();
    return "";
  }
  if (rank == 3 && chance(40)) {
    left.resize(1);
    note("over pixels");
    return " over pixels";
  }
  if (chance(25)) {
    left.pop_back();
    note("over features");
    return " over features";
  }
  if (rank >= 2 && chance(40)) {
    left.erase(left.begin());
    note("over tokens");
    return " over tokens";
  }
  if (chance(50)) {
    int64_t axis = number(0, rank - 1);
    left.erase(left.begin() + axis);
    note("over an axis");
    return " over " + (chance(40) ? std::to_string(axis - rank) : std::to_string(axis));
  }
  std::string list;
  Shape kept;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (chance(60))
      list += (list.empty() ? "" : ", ") + std::to_string(chance(30) ? axis - rank : axis);
    else
      kept.push_back(x.shape[axis]);
  if (list.empty()) {
    list = "0";
    kept.erase(kept.begin());
  }
  left = kept;
  note("over axes");
  return " over [" + list + "]";
}

bool ModelDraw::reduction(Body &body) {
  Drawn *x = any(body);
  if (!x)
    return false;
  std::string op = pick<std::string>({"mean", "sum", "variance", "max"});
  if (x->rank() == 0 && !x->experts && op == "variance")
    op = "mean";
  Shape left;
  bool experts;
  std::string axes = over(body, *x, left, experts);
  if (x->rank() == 0 && !experts)
    op = "mean";
  Drawn made = derived(*x, left);
  made.bounded = x->bounded && (op == "mean" || op == "max");
  if (experts)
    made.experts = false, made.count = 0;
  emit(body, op + " " + x->name + axes, made);
  return true;
}

bool ModelDraw::movement(Body &body) {
  Drawn *x = any(body);
  if (!x)
    return false;
  const int64_t rank = x->rank();
  switch (number(0, 4)) {
  case 0:
    emit(body, "flatten " + x->name, derived(*x, {productOf(x->shape)}));
    return true;
  case 1: {
    if (rank < 1)
      return false;
    int64_t axis = number(0, rank - 1), extent = x->shape[axis], start = number(0, extent - 1);
    int64_t step = chance(60) ? 1 : number(1, 3), most = (extent - 1 - start) / step + 1;
    Shape shape = x->shape;
    shape[axis] = number(1, most);
    std::string text =
        "slice " + x->name + " start = " + size(body, start) + ", size = " + size(body, shape[axis]);
    if (axis != rank - 1 || chance(20))
      text += ", axis = " + std::to_string(chance(50) ? axis - rank : axis);
    if (step != 1)
      text += ", step = " + std::to_string(step);
    emit(body, text, derived(*x, shape));
    return true;
  }
  case 2: { // other factors of the same count
    int64_t count = productOf(x->shape);
    Shape shape;
    for (int64_t rest = count; rest > 1 && shape.size() < 4;) {
      std::vector<int64_t> divisors;
      for (int64_t d = 1; d <= rest; ++d)
        if (rest % d == 0)
          divisors.push_back(d);
      shape.push_back(shape.size() == 3 ? rest : pick(divisors));
      rest /= shape.back();
      if (shape.size() == 4 && rest != 1)
        shape.back() *= rest;
    }
    if (productOf(shape) != count)
      shape = {count};
    if (shape.empty())
      shape = {1};
    std::string sizes = listOf(body, shape);
    if (chance(30)) { // the first axis is what the others leave
      note("size that is left over");
      sizes = "[-1" +
              (shape.size() == 1 ? "" : ", " + listOf(body, Shape(shape.begin() + 1, shape.end())).substr(1));
      sizes += shape.size() == 1 ? "]" : "";
    }
    emit(body, "reshape " + x->name + " to " + sizes, derived(*x, shape));
    return true;
  }
  case 3: {
    if (rank < 2)
      return false;
    std::vector<int64_t> order;
    for (int64_t axis = 0; axis < rank; ++axis)
      order.insert(order.begin() + number(0, axis), axis);
    Shape shape;
    std::string text;
    for (int64_t axis : order) {
      shape.push_back(x->shape[axis]);
      text += (text.empty() ? "" : ", ") + std::to_string(axis);
    }
    emit(body, "transpose " + x->name + " to [" + text + "]", derived(*x, shape));
    return true;
  }
  default: {
    if (rank < 2)
      return false;
    int64_t token = number(-x->shape[0], x->shape[0] - 1);
    emit(body, "take " + x->name + " token = " + std::to_string(token),
         derived(*x, Shape(x->shape.begin() + 1, x->shape.end())));
    return true;
  }
  }
}

bool ModelDraw::joining(Body &body) {
  Drawn *found = find(body, [](const Drawn &value) { return !value.routing && value.rank() > 0; });
  if (!found)
    return false;
  const Drawn x = *found;
  if (x.rank() == 2 && chance(40)) { // tokens before tokens
    const bool own = !x.batch || x.experts || body.experts;
    Shape token{number(1, 2), x.shape[1]};
    if (!own && chance(50))
      token.insert(token.begin(), 1), token[1] = 1;
    Drawn first = free(body, token);
    if (first.batch && token.size() == 3)
      return false;
    Drawn made = x;
    made.shape[0] += token.size() == 3 ? 1 : token[0];
    made.batch |= first.batch;
    made.experts |= first.experts;
    made.count = std::max(made.count, first.experts ? first.count : 0);
    made.bounded = x.bounded;
    if (!fits(made))
      return false;
    emit(body, "prepend " + first.name + ", " + x.name, made);
    return true;
  }
  const int64_t axis = number(0, x.rank() - 1);
  Drawn made = x;
  std::string text = "concat " + x.name;
  for (int64_t i = 0, count = number(1, 3); i < count; ++i) {
    Drawn *next = find(body, [&](const Drawn &value) {
      if (value.routing || value.rank() != x.rank() ||
          (made.experts && value.experts && value.count != made.count))
        return false;
      for (int64_t d = 0; d < x.rank(); ++d)
        if (d != axis && value.shape[d] != x.shape[d])
          return false;
      return true;
    });
    if (!next)
      break;
    made.shape[axis] += next->shape[axis];
    made.batch |= next->batch;
    made.experts |= next->experts;
    made.count = std::max(made.count, next->experts ? next->count : 0);
    made.bounded &= next->bounded;
    text += ", " + next->name;
  }
  if (!fits(made))
    return false;
  if (axis != x.rank() - 1 || chance(20))
    text += " axis = " + std::to_string(chance(50) ? axis - x.rank() : axis);
  emit(body, text, made);
  return true;
}

/// A vector times a matrix or a vector, or matrices whose axes before are broadcast.
bool ModelDraw::broadcastProduct(Body &body) {
  Drawn *found = find(body, [](const Drawn &value) { return !value.routing && value.rank() >= 1; });
  if (!found)
    return false;
  const Drawn x = *found;
  Shape before(x.shape.begin(), x.shape.end() - std::min<int64_t>(2, x.rank())), shape;
  const int64_t k = x.shape.back(), n = extent(9);
  Drawn made = x;
  made.bounded = false;
  made.shape.pop_back();
  switch (number(0, 2)) {
  case 0: // a column
    shape = {k};
    break;
  case 1: // a matrix for all of the axes before
    shape = {k, n};
    made.shape.push_back(n);
    break;
  default: // axes of 1 before it, or one more than x has; beside a batch that axis is taken for the batch's
    if (x.rank() < 3)
      return false;
    shape = before;
    for (int64_t &each : shape)
      each = chance(60) ? 1 : each;
    shape.insert(shape.end(), {k, n});
    made.shape.push_back(n);
  }
  note("matmul with broadcasting");
  Drawn y = free(body, shape);
  made.batch |= y.batch;
  made.experts |= y.experts;
  made.count = std::max(x.experts ? x.count : 0, y.experts ? y.count : 0);
  if (!fits(made) || made.elements() * k > kProducts)
    return false;
  emit(body, "matmul " + x.name + ", " + y.name, made);
  return true;
}

bool ModelDraw::product(Body &body) {
  if (chance(40))
    return broadcastProduct(body);
  Drawn *found = find(body, [](const Drawn &value) { return !value.routing && value.rank() >= 2; });
  if (!found)
    return false;
  const Drawn x = *found;
  const int64_t rank = x.rank(), k = x.shape[rank - 1];
  Drawn *other = find(body, [&](const Drawn &value) {
    return !value.routing && value.rank() == rank && value.shape[rank - 2] == k &&
           (!value.experts || !x.experts || value.count == x.count) &&
           std::equal(x.shape.begin(), x.shape.end() - 2, value.shape.begin());
  });
  Drawn y;
  if (other) {
    y = tamed(body, *other, "tanh");
  } else {
    Shape shape = x.shape;
    shape[rank - 2] = k;
    shape[rank - 1] = extent(9);
    y = free(body, shape);
  }
  Drawn made = x;
  made.shape[rank - 1] = y.shape[rank - 1];
  made.batch |= y.batch;
  made.experts |= y.experts;
  made.count = std::max(x.experts ? x.count : 0, y.experts ? y.count : 0);
  made.bounded = false;
  if (!fits(made) || made.elements() * k > kProducts)
    return false;
  emit(body, "matmul " + x.name + ", " + y.name, made);
  return true;
}

bool ModelDraw::attention(Body &body) {
  Drawn *found = find(body, [](const Drawn &value) { return !value.routing && value.rank() >= 2; });
  if (!found)
    return false;
  const Drawn x = *found;
  const int64_t features = x.shape.back(), tokens = x.shape[x.rank() - 2];
  auto headsOf = [&](int64_t width, int64_t other) {
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= std::min(width, other); ++d)
      if (width % d == 0 && other % d == 0)
        divisors.push_back(d);
    return pick(divisors);
  };
  Drawn made = x;
  made.bounded = false;
  if (chance(50)) {
    if (body.experts)
      made.experts = true, made.count = body.experts;
    if (!fits(made) || made.elements() * (4 * features + 2 * tokens) > kProducts)
      return false;
    const std::string name = fresh("a"), rest = " heads = " + size(body, headsOf(features, features)) +
                                                (chance(30) ? ", no_qkv_bias" : "");
    emit(body, "attention @" + name + "(" + x.name + ")" + rest, made);
    body.owners.push_back({"attention", name, rest, x, made});
    return true;
  }
  Drawn *other = find(body, [&](const Drawn &value) {
    return !value.routing && value.rank() == x.rank() && value.shape.back() == features &&
           (!value.experts || !x.experts || value.count == x.count) &&
           std::equal(x.shape.begin(), x.shape.end() - 2, value.shape.begin());
  });
  Drawn k;
  if (other && chance(70)) {
    k = tamed(body, *other, "tanh");
  } else {
    Shape shape = x.shape;
    shape[x.rank() - 2] = extent(9);
    k = free(body, shape);
  }
  Drawn v = k;
  if (chance(50)) {
    Shape shape = k.shape;
    shape.back() = extent(17);
    v = free(body, shape);
  }
  made.shape.back() = v.shape.back();
  for (const Drawn *part : {&k, &v}) {
    made.batch |= part->batch;
    made.experts |= part->experts;
    made.count = std::max(made.experts ? made.count : 0, part->experts ? part->count : 0);
  }
  made.bounded = v.bounded;
  const int64_t keys = k.shape[x.rank() - 2];
  if (!fits(made) || made.elements() / made.shape.back() * keys * (features + made.shape.back()) > kProducts)
    return false;
  emit(body,
       "attend " + x.name + ", " + k.name + ", " + v.name + " heads = " +
           size(body, headsOf(features, v.shape.back())) + (chance(30) ? ", scale = " + decimal(0.1, 1) : ""),
       made);
  return true;
}

bool ModelDraw::dense(Body &body) {
  Drawn *x = find(body, [](const Drawn &value) { return !value.routing && value.rank() > 0; });
  if (!x)
    return false;
  Drawn made = *x;
  made.shape.back() = extent(33);
  made.bounded = false;
  if (body.experts)
    made.experts = true, made.count = body.experts;
  if (!fits(made) || made.elements() * x->shape.back() > kProducts)
    return false;
  const bool frozen = chance(8);
  if (frozen)
    note("frozen");
  std::string name = fresh("l"), rest = " to " + size(body, made.shape.back()) + initial(true);
  if (chance(20))
    rest += " no_bias";
  const Drawn input = *x;
  emit(body, std::string("linear ") + (frozen ? "frozen " : "") + "@" + name + "(" + input.name + ")" + rest,
       made);
  body.owners.push_back({"linear", name, rest, input, made});
  return true;
}

bool ModelDraw::convolution(Body &body) {
  Drawn *x = image(body, true);
  if (!x)
    return false;
  const Drawn input = *x;
  const int64_t height = input.shape[1], width = input.shape[2];
  Drawn made = input;
  made.bounded = false;
  if (body.experts)
    made.experts = true, made.count = body.experts;
  if (chance(20)) {
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= std::min(height, width); ++d)
      if (height % d == 0 && width % d == 0)
        divisors.push_back(d);
    const int64_t cut = pick(divisors);
    made.shape = {height / cut * (width / cut), extent(9)};
    if (!fits(made) || made.elements() * input.shape[0] * cut * cut > kProducts)
      return false;
    emit(body,
         "patches @" + fresh("c") + "(" + input.name + ") size = " + size(body, cut) + " to " +
             size(body, made.shape[1]),
         made);
    return true;
  }
  int64_t kernel = pick<int64_t>({1, 2, 3, 3, 3, 4, 5, 7}), stride = pick<int64_t>({1, 1, 1, 2, 3});
  int64_t pad = chance(60) ? (kernel - 1) / 2 : number(0, kernel);
  if (std::min(height, width) + 2 * pad < kernel)
    kernel = 1, pad = number(0, 1);
  int64_t groups = 1;
  if (chance(35)) {
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= input.shape[0]; ++d)
      if (input.shape[0] % d == 0)
        divisors.push_back(d);
    groups = chance(50) ? input.shape[0] : pick(divisors);
  }
  made.shape = {groups > 1 ? groups * number(1, 3) : extent(17), (height + 2 * pad - kernel) / stride + 1,
                (width + 2 * pad - kernel) / stride + 1};
  if (!fits(made) || made.elements() * input.shape[0] * kernel * kernel > kProducts)
    return false;
  std::vector<std::string> options;
  if (kernel != 3 || chance(50))
    options.push_back("kernel = " + size(body, kernel));
  if (stride != 1 || chance(20))
    options.push_back("stride = " + std::to_string(stride));
  if (pad != (kernel - 1) / 2 || chance(20))
    options.push_back("pad = " + std::to_string(pad));
  if (groups > 1 || chance(10))
    options.push_back("groups = " + size(body, groups));
  if (chance(20))
    options.push_back("no_bias");
  std::shuffle(options.begin(), options.end(), random);
  std::string name = fresh("c"), rest;
  for (const std::string &option : options)
    rest += (rest.empty() ? " " : ", ") + option;
  rest += " to " + size(body, made.shape[0]) + initial(true);
  emit(body, "conv @" + name + "(" + input.name + ")" + rest, made);
  body.owners.push_back({"conv", name, rest, input, made});
  return true;
}

bool ModelDraw::windows(Body &body) {
  Drawn *x = image(body, false);
  if (!x)
    return false;
  std::string op = pick<std::string>({"unfold", "max_pool", "mean_pool"});
  const int64_t height = x->shape[1], width = x->shape[2], kernel = number(1, 3);
  const bool pool = op != "unfold";
  int64_t stride = pool ? kernel : 1, pad = 0;
  std::string text = op + " " + x->name + " kernel = " + size(body, kernel);
  if (chance(50))
    text += ", stride = " + std::to_string(stride = number(1, 3));
  if (chance(50))
    text += ", pad = " + std::to_string(pad = number(0, pool ? kernel - 1 : kernel));
  if (std::min(height, width) + 2 * pad < kernel)
    return false;
  Shape shape{x->shape[0], (height + 2 * pad - kernel) / stride + 1, (width + 2 * pad - kernel) / stride + 1};
  if (!pool)
    shape.insert(shape.end(), {kernel, kernel});
  Drawn made = derived(*x, shape);
  if (!fits(made))
    return false;
  emit(body, text, made);
  return true;
}

bool ModelDraw::norm(Body &body) {
  if (chance(25)) {
    Drawn *x = find(body, [](const Drawn &value) { return !value.routing && value.rank() >= 1; });
    if (!x)
      return false;
    Drawn made = *x;
    if (body.experts)
      made.experts = true, made.count = body.experts;
    if (!fits(made))
      return false;
    emit(body,
         "layer_scale @" + fresh("s") + "(" + x->name + ")" +
             (chance(70) ? " init " + std::string("normal(0.7)") : ""),
         made);
    return true;
  }
  if (!body.experts && !body.rows && chance(50)) {
    Drawn *x = find(body, [](const Drawn &value) {
      return !value.routing && value.rank() >= 1 && value.batch && !value.experts;
    });
    if (!x)
      return false;
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= x->shape[0]; ++d)
      if (x->shape[0] % d == 0)
        divisors.push_back(d);
    // One number a group has no deviation to divide by.
    const int64_t groups = pick(divisors);
    if (productOf(x->shape) / groups < 2)
      return false;
    Drawn made = *x;
    made.bounded = false;
    emit(body,
         "group_norm @" + fresh("g") + "(" + x->name + ") groups = " + size(body, groups) +
             (chance(50) ? ", eps = 1e-3" : ""),
         made);
    return true;
  }
  Drawn *x = find(
      body, [](const Drawn &value) { return !value.routing && value.rank() >= 1 && value.shape.back() > 1; });
  if (!x)
    return false;
  Drawn made = *x;
  made.bounded = false;
  if (body.experts)
    made.experts = true, made.count = body.experts;
  if (!fits(made))
    return false;
  emit(body, "layer_norm @" + fresh("n") + "(" + x->name + ")" + (chance(50) ? " eps = 1e-3" : ""), made);
  return true;
}

bool ModelDraw::noise(Body &body) {
  if (body.trunk)
    return false;
  Drawn *x = any(body);
  if (!x)
    return false;
  Drawn made = *x;
  switch (number(0, 2)) {
  case 0:
    emit(body, "dropout " + x->name + ", " + fraction(body, 0, 0.7), made);
    return true;
  case 1: {
    std::string by = chance(50)   ? "dann"
                     : chance(50) ? decimal(0.1, 2)
                                  : "ramp(0, " + decimal(0.5, 2) + ", until = 0.7)";
    note(by == "dann" ? "by dann" : "by a schedule");
    emit(body, "reverse_gradient " + x->name + " by " + by, made);
    return true;
  }
  default: {
    Drawn y = free(body, x->shape);
    made.batch |= y.batch;
    made.experts |= y.experts;
    made.count = std::max(made.experts ? made.count : 0, y.experts ? y.count : 0);
    emit(body, "mul " + x->name + ", " + y.name, made);
    return true;
  }
  }
}

} // namespace moe::test
