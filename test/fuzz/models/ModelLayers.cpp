// The layers, mixtures, losses and the whole of a random model; see ModelDraw.h.
#include "test/fuzz/models/ModelDraw.h"
#include <algorithm>

namespace moe::test {
namespace {

bool isVector(const Drawn &value) {
  return !value.routing && value.rank() == 1 && value.batch && !value.experts;
}

std::string parenthesised(const std::string &text) {
  return text.find(' ') == std::string::npos ? text : "(" + text + ")";
}

} // namespace

// Layers.

/// A body in which a layer's ops for `user` stand.
Body ModelDraw::inside(const Body &user) {
  Body body;
  body.experts = user.experts;
  body.generated = user.generated;
  body.rows = user.rows;
  body.depth = user.depth + 1;
  return body;
}

std::string ModelDraw::declared(std::vector<Given> parameters) {
  std::stable_sort(parameters.begin(), parameters.end(),
                   [](const Given &a, const Given &b) { return a.fallback < b.fallback; });
  std::string text;
  for (const Given &each : parameters) {
    text += text.empty() ? "<" : ", ";
    text += (each.kind == "layer" ? "@" : "") + each.name + (each.kind == "number" ? ": number" : "");
    if (each.fallback)
      text += " = " + each.value;
  }
  return text.empty() ? text : text + ">";
}

/// Ends a layer whose inputs and yields are known, and adds its text.
void ModelDraw::write(Layer &layer, Body &body) {
  layer.name = "@" + fresh("Layer");
  layer.parameters = body.parameters;
  layer.once = body.once;
  std::string inputs, yields;
  for (const Drawn &each : layer.inputs) {
    inputs += (inputs.empty() ? "" : ", ") + each.name;
    if (each.routing || !chance(40))
      continue;
    note("pattern of a layer's value");
    std::string sizes;
    for (int64_t extent : each.shape) {
      sizes += sizes.empty() ? "" : ", ";
      sizes += chance(50) ? fresh("s") : chance(50) ? "_" : std::to_string(extent);
    }
    inputs += ": [" + sizes + "]";
  }
  for (const Drawn &each : layer.yields)
    yields += (yields.empty() ? "" : ", ") + each.name;
  layers += "moe.layer " + layer.name + declared(layer.parameters) + "(" + inputs + ") {\n" + body.text +
            "  yield " + yields + "\n}\n";
}

/// A layer as it is named where it is used, with its arguments.
std::string ModelDraw::use(Body &user, const Layer &layer, bool literal) {
  std::string positional, named;
  // What is given by position fills the first parameters, so nothing may where one of them is left open.
  bool byName = false;
  for (const Given &each : layer.parameters)
    byName |= each.name == "rate";
  for (const Given &each : layer.parameters) {
    if (each.name == "rate" || (each.fallback && chance(60)))
      continue; // open, or its default
    std::string value = each.kind == "size" && !literal ? size(user, std::stoll(each.value)) : each.value;
    if (!byName && !each.fallback && named.empty() && chance(70)) {
      positional += (positional.empty() ? "" : ", ") + value;
    } else {
      note("argument by name");
      named += (named.empty() ? "" : ", ") + std::string(each.kind == "layer" ? "@" : "") + each.name +
               " = " + value;
    }
  }
  std::string all = positional + (positional.empty() || named.empty() ? "" : ", ") + named;
  return all.empty() ? layer.name : layer.name + "<" + all + ">";
}

/// A layer of some steps; its first result has the shape `to` where one is given.
Layer ModelDraw::layer(Body body, const std::vector<Drawn> &inputs, const Shape &to, bool several) {
  Layer made;
  for (const Drawn &input : inputs) {
    Drawn own = input;
    own.name = "%" + fresh("in");
    own.used = false;
    made.inputs.push_back(own);
    body.values.push_back(own);
  }
  for (int64_t i = 0, count = number(1, 4); i < count && leftOver > 0; ++i, --leftOver)
    step(body);
  Drawn y = gathered(body);
  if (!to.empty() && (y.shape != to || (body.experts && !y.experts))) {
    y = asVector(body, y);
    int64_t count = 1;
    for (int64_t extent : to)
      count *= extent;
    Drawn flat = y;
    flat.shape = {count};
    flat.bounded = false;
    if (body.experts)
      flat.experts = true, flat.count = body.experts;
    y = emit(body, "linear @" + fresh("l") + "(" + y.name + ") to " + size(body, count) + initial(true),
             flat);
    if (to.size() > 1) {
      flat.shape = to;
      y = emit(body, "reshape " + y.name + " to " + listOf(body, to), flat);
    }
  }
  made.yields.push_back(y);
  if (several && chance(25))
    if (Drawn *other = any(body)) {
      note("several results");
      made.yields.push_back(*other);
    }
  write(made, body);
  return made;
}

/// A layer that gives back the shape it takes; `ramped` ones have an open parameter `rate`.
Layer ModelDraw::square(const Body &user, const Drawn &input, bool ramped) {
  Body body = inside(user);
  if (ramped)
    body.parameters.push_back({"rate", "number", "0.0", false});
  return layer(body, {input}, input.shape, false);
}

/// A layer that applies a layer parameter; `text` is set to its use with `inner` as the argument.
Layer ModelDraw::wrapped(Body &user, const Layer &inner, std::string &text) {
  Body body = inside(user);
  Layer made;
  Drawn x = inner.inputs.front();
  x.name = "%" + fresh("in");
  made.inputs = {x};
  const bool open = chance(50), fallback = !open && chance(40);
  std::string parameter = fresh("f"), arguments;
  if (open)
    for (const Given &each : inner.parameters)
      if (!each.fallback)
        arguments += (arguments.empty() ? "<" : ", ") + each.name + " = " + each.value;
  if (!arguments.empty())
    arguments += ">";
  std::string given = open ? inner.name : use(user, inner, fallback);
  body.parameters.push_back({parameter, "layer", given, fallback});
  Drawn y = emit(body, "apply @" + fresh("a") + "(" + x.name + ") layer @" + parameter + arguments,
                 inner.yields.front());
  made.yields = {y};
  body.once = inner.once;
  write(made, body);
  text = made.name + (fallback ? "" : "<" + given + ">");
  note(open       ? "layer parameter with open arguments"
       : fallback ? "layer parameter by default"
                  : "layer parameter");
  return made;
}

/// A hypernetwork's trunk: rows [sets, ...] to rows [sets, width].
Layer ModelDraw::trunk(int64_t sets, int64_t width) {
  Body body;
  body.trunk = true;
  Layer made;
  Drawn x;
  x.name = "%" + fresh("in");
  x.shape = {sets, width};
  x.batch = false;
  made.inputs = {x};
  for (int64_t i = 0, count = number(1, 2); i < count; ++i) {
    x.shape[1] = extent(9);
    x = emit(body,
             "linear @" + fresh("l") + "(" + x.name + ") to " + std::to_string(x.shape[1]) + initial(true),
             x);
    x = emit(body, pick<std::string>({"silu ", "tanh ", "relu ", "gelu "}) + x.name, x);
    if (x.shape[1] > 1 && chance(30))
      x = emit(body, "layer_norm @" + fresh("n") + "(" + x.name + ") eps = 1e-3", x);
  }
  made.yields = {x};
  write(made, body);
  return made;
}

// Steps that apply layers.

bool ModelDraw::applied(Body &body) {
  if (body.depth > 2 || body.trunk || leftOver <= 0)
    return false;
  auto takes = [](const Layer &layer, const Drawn &value) {
    const Drawn &input = layer.inputs[0];
    return !value.routing && input.shape == value.shape && input.batch == value.batch &&
           input.experts == value.experts && input.count == value.count;
  };
  Drawn *found = nullptr;
  if (!plain.empty() && !body.experts && !body.rows && chance(50)) {
    const Layer &known = pick(plain);
    found = find(body, [&](const Drawn &value) { return takes(known, value); });
  }
  if (!found)
    found = any(body);
  if (!found)
    return false;
  const Drawn x = *found;
  std::vector<Drawn> inputs{x};
  Layer made;
  std::string text;
  std::vector<const Layer *> again;
  for (const Layer &each : plain)
    if (!body.experts && !body.rows && takes(each, x))
      again.push_back(&each);
  if (!again.empty() && chance(40)) {
    made = *pick(again);
    text = use(body, made);
    note("a layer applied again");
  } else {
    const bool second = chance(20);
    if (second)
      if (Drawn *other = any(body))
        inputs.push_back(*other);
    made = layer(inside(body), inputs, {}, true);
    if (inputs.size() == 1 && made.yields.size() == 1) {
      if (!body.experts && !body.rows)
        plain.push_back(made);
      if (chance(30))
        made = wrapped(body, made, text);
    }
    if (text.empty())
      text = use(body, made);
  }
  body.once |= made.once;
  std::string names, arguments, name = fresh("a");
  for (const Drawn &input : inputs)
    arguments += (arguments.empty() ? "" : ", ") + input.name;
  const bool frozen = chance(8);
  if (frozen)
    note("frozen layer");
  std::string head =
      std::string("apply ") + (frozen ? "frozen " : "") + "@" + name + "(" + arguments + ") layer " + text;
  if (made.yields.size() == 1) {
    const Drawn result = emit(body, head, made.yields[0]);
    if (inputs.size() == 1 && !made.once)
      body.owners.push_back({"apply", name, " layer " + text, x, result});
    return true;
  }
  for (Drawn result : made.yields) {
    result.name = "%" + fresh("v");
    result.used = false;
    names += (names.empty() ? "" : ", ") + result.name;
    body.values.push_back(result);
  }
  body.text += body.indent + names + " = " + head + "\n";
  return true;
}

bool ModelDraw::chained(Body &body) {
  if (body.depth > 1 || body.trunk || leftOver <= 0)
    return false;
  Drawn *found = find(
      body, [](const Drawn &value) { return !value.routing && value.rank() > 0 && value.elements() <= 64; });
  if (!found)
    return false;
  const Drawn x = *found;
  Drawn now = x;
  std::string list, ramp;
  if (chance(50)) {
    Layer first = layer(inside(body), {now}, {extent(9)}, false);
    now = first.yields[0];
    list = use(body, first);
    body.once |= first.once;
  }
  const bool ramped = chance(50);
  Layer one = square(body, now, ramped), other = square(body, one.yields[0], false);
  body.once |= one.once || other.once;
  list += list.empty() ? "" : ", ";
  // What a layer makes differ by sample or by expert, it cannot take again.
  auto same = [&](const Layer &made) {
    const Drawn &y = made.yields[0];
    return y.batch == now.batch && y.experts == now.experts;
  };
  switch (same(one) && same(other) ? number(0, 3) : 0) {
  case 0:
    list += use(body, one) + ", 0 * " + use(body, other);
    break;
  case 1:
    list += parenthesised(size(body, 2)) + " * " + use(body, one);
    break;
  case 2:
    list += parenthesised(size(body, 2)) + " * [" + use(body, one) + ", " + use(body, other) + "]";
    break;
  default:
    list += use(body, other) + ", 3 * " + use(body, one);
    break;
  }
  if (ramped) {
    ramp = " ramp rate from 0.0 to " + decimal(0.1, 0.6);
    note("chain with a ramp");
  }
  Drawn result = one.yields[0];
  emit(body, "chain @" + fresh("b") + "(" + x.name + ") [" + list + "]" + ramp, result);
  return true;
}

/// A use of an earlier op's parameters.
bool ModelDraw::reused(Body &body) {
  if (body.owners.empty())
    return false;
  const Body::Owner owner = pick(body.owners);
  Drawn *x = find(body, [&](const Drawn &value) {
    return !value.routing && value.shape == owner.input.shape && value.batch == owner.input.batch &&
           value.experts == owner.input.experts && value.count == owner.input.count;
  });
  if (!x)
    return false;
  const bool frozen = chance(30);
  note(frozen ? "frozen reuse" : "shared");
  emit(body, owner.op + (frozen ? " frozen @" : " shared @") + owner.name + "(" + x->name + ")" + owner.rest,
       owner.result);
  return true;
}

// Mixtures.

/// A vector of so many features (any number if 0) of each sample, for a router.
Drawn ModelDraw::vectorToRoute(Body &body, int64_t features) {
  Drawn *x = find(body, [&](const Drawn &value) {
    return isVector(value) && value.elements() <= 64 && (!features || value.shape[0] == features);
  });
  if (x)
    return *x;
  Drawn *other = find(body, [](const Drawn &value) {
    return !value.routing && value.batch && !value.experts && value.elements() <= 600;
  });
  if (!other)
    return {};
  Drawn flat = *other;
  if (flat.rank() != 1)
    flat = emit(body, "flatten " + other->name, derived(*other, {other->elements()}));
  flat.bounded = false;
  flat.shape = {features ? features : extent(5)};
  Drawn &made =
      emit(body, "linear @" + fresh("l") + "(" + flat.name + ") to " + size(body, flat.shape[0]), flat);
  made.used = true;
  return made;
}

Drawn ModelDraw::routed(Body &body, int64_t experts, const Drawn *keys) {
  Drawn own;
  if (!keys && chance(40)) {
    own.batch = false;
    own.shape = {experts, extent(5)};
    own = emit(body, "param @" + fresh("p") + " " + listOf(body, own.shape) + " normal(1.0)", own);
    keys = &own;
  }
  Drawn x = vectorToRoute(body, keys ? keys->shape[1] : 0);
  if (x.name.empty())
    return x;
  Drawn route;
  route.routing = true;
  route.count = experts;
  route.rules = {"entropy", "balance_kl", "z_loss"};
  std::string text = "route @" + fresh("r") + "(" + x.name + ") ";
  if (keys) {
    note("route distance");
    text += "distance, keys = " + keys->name + (chance(60) ? ", eps = 1e-2" : "");
  } else {
    note("route linear");
    text += "linear, experts = " + size(body, experts);
  }
  return emit(body, text, route);
}

bool ModelDraw::mixture(Body &body) {
  if (body.experts || body.rows || body.trunk || body.depth > 1 || leftOver <= 0)
    return false;
  const int64_t experts = number(1, 5);
  Drawn route = routed(body, experts, nullptr);
  if (route.name.empty())
    return false;
  Drawn *z = find(body, [](const Drawn &value) {
    return !value.routing && !value.experts && value.rank() > 0 && value.elements() <= 300;
  });
  if (!z)
    return false;
  Body own = inside(body);
  own.experts = experts;
  const Drawn input = *z;
  Layer expert = layer(own, {input}, chance(70) ? Shape{extent(7)} : Shape{number(1, 3), extent(4)}, false);
  const Drawn each = emit(body,
                          "experts @" + fresh("e") + "(" + input.name + ") layer " + use(body, expert) +
                              " count = " + size(body, experts),
                          expert.yields[0]);
  body.values.back().used = true;
  Drawn mixed = each;
  mixed.experts = false;
  mixed.count = 0;
  mixed.batch = true;
  emit(body, "combine " + route.name + ", " + each.name, mixed);
  return true;
}

/// Experts whose weights a hypernetwork writes.
bool ModelDraw::written(Body &body) {
  if (body.experts || body.rows || body.trunk || body.depth > 1 || leftOver <= 0)
    return false;
  Drawn *z = find(body, [](const Drawn &value) {
    return !value.routing && !value.experts && value.rank() > 0 && value.elements() <= 64;
  });
  if (!z)
    return false;
  const Drawn input = *z;
  Drawn keys;
  keys.batch = false;
  keys.shape = {number(1, 4), extent(5)};
  keys = emit(body, "param @" + fresh("p") + " " + listOf(body, keys.shape) + " normal(1.0)", keys);
  Drawn route = routed(body, keys.shape[0], chance(70) ? &keys : nullptr);
  if (route.name.empty())
    return false;
  Body own = inside(body);
  own.experts = keys.shape[0];
  own.generated = true;
  Layer expert = layer(own, {input}, {extent(5)}, false), rows = trunk(keys.shape[0], keys.shape[1]);
  std::string target = use(body, expert), theta = "%" + fresh("v");
  static const std::vector<std::string> rules = {"", " init hyperfan_in", " init hyperfan_in(1.7)"};
  body.text += body.indent + theta + " = hyper @" + fresh("h") + "(" + keys.name + ") trunk " +
               use(body, rows) + " for " + target + pick(rules) + "\n";
  const Drawn each =
      emit(body, "experts @" + fresh("e") + "(" + input.name + ") layer " + target + " weights " + theta,
           expert.yields[0]);
  body.values.back().used = true;
  Drawn mixed = each;
  mixed.experts = false;
  mixed.count = 0;
  mixed.batch = true;
  emit(body, "combine " + route.name + ", " + each.name, mixed);
  return true;
}

// Annotations.

std::string ModelDraw::weight(Body &body) {
  std::string ramp =
      "ramp(" + decimal(0, 0.5) + ", " + decimal(0.5, 2) + (chance(50) ? ", until = 0.6)" : ")");
  switch (number(0, 3)) {
  case 0:
    note("aux with a ramp");
    return ramp;
  case 1:
    note("aux with a ramp");
    return fraction(body, 0.1, 2) + " * " + ramp;
  case 2:
    if (chance(10))
      return note("aux of weight 0"), "0.0";
    [[fallthrough]];
  default:
    return fraction(body, 0.1, 2);
  }
}

/// A loss or an exposed value.
bool ModelDraw::annotation(Body &body) {
  if (body.trunk || body.rows)
    return false;
  if (chance(50)) {
    Drawn *x = find(body, [](const Drawn &) { return true; });
    if (!x)
      return false;
    note(x->routing ? "expose of a routing" : "expose of a value");
    x->used = x->routing;
    body.text += body.indent + "expose @" + fresh("seen") + " " + x->name + "\n";
    body.once = true;
    return true;
  }
  if (body.experts)
    return false;
  Drawn *route = find(body, [](const Drawn &value) { return value.routing; });
  if (route && chance(60)) {
    std::string rule = pick(route->rules);
    note("aux " + rule);
    const bool corrected = rule == "importance_load" && chance(50);
    body.text += body.indent + "aux @" + fresh("loss") + " " + rule + " " + route->name +
                 (corrected ? ", corrected, " : ", ") + weight(body) + "\n";
    body.once = true;
    return true;
  }
  if (chance(60)) {
    Drawn *scores = route && !route->tokens && chance(50) ? route : find(body, isVector);
    if (!scores)
      return false;
    const bool label = chance(50);
    int64_t &most = label ? made.classes : made.domains;
    most = std::min(most, scores->routing ? scores->count : scores->shape[0]);
    note(std::string("aux cross_entropy of ") + (label ? "label" : "domain"));
    if (scores->routing)
      note("aux cross_entropy of a routing");
    body.text += body.indent + "aux @" + fresh("loss") + " cross_entropy " + scores->name + ", " +
                 (label ? "label" : "domain") + ", " + weight(body) + "\n";
    body.once = true;
    return true;
  }
  Drawn *x = find(body, [](const Drawn &value) { return !value.routing && !value.experts; });
  if (!x)
    return false;
  Drawn value = *x;
  if (value.rank())
    value = emit(body, "mean " + value.name, derived(value, {}));
  value = tamed(body, value, "tanh");
  body.values.back().used = true;
  note("aux of a value");
  body.text += body.indent + "aux @" + fresh("loss") + " " + value.name + ", " + weight(body) + "\n";
  body.once = true;
  return true;
}

// Wholes.

void ModelDraw::step(Body &body) {
  using Step = bool (ModelDraw::*)(Body &);
  static const std::vector<Step> steps = {
      &ModelDraw::elementwise, &ModelDraw::elementwise, &ModelDraw::binary,     &ModelDraw::binary,
      &ModelDraw::reduction,   &ModelDraw::movement,    &ModelDraw::movement,   &ModelDraw::joining,
      &ModelDraw::product,     &ModelDraw::attention,   &ModelDraw::dense,      &ModelDraw::dense,
      &ModelDraw::convolution, &ModelDraw::convolution, &ModelDraw::windows,    &ModelDraw::norm,
      &ModelDraw::noise,       &ModelDraw::applied,     &ModelDraw::chained,    &ModelDraw::mixture,
      &ModelDraw::written,     &ModelDraw::annotation,  &ModelDraw::annotation, &ModelDraw::reused,
      &ModelDraw::dispatched,  &ModelDraw::dispatched};
  for (int tries = 0; tries < 20; ++tries) {
    // A layer's parameter that is left open is a rate of dropout.
    if (!body.parameters.empty() && body.parameters[0].name == "rate" && !body.owners.size() && tries == 0)
      if (Drawn *x = any(body)) {
        const Drawn made = *x;
        emit(body, "dropout " + x->name + ", rate", made);
        return;
      }
    if ((this->*pick(steps))(body))
      return;
  }
}

/// A value as a vector of few numbers.
Drawn ModelDraw::asVector(Body &body, Drawn value) {
  if (value.rank() == 0)
    value = emit(body, "reshape " + value.name + " to [1]", derived(value, {1}));
  if (value.rank() > 1 && value.elements() > 40) {
    std::string axes;
    for (int64_t axis = 1; axis < value.rank(); ++axis)
      axes += (axes.empty() ? "" : ", ") + std::to_string(axis);
    value = emit(body, pick<std::string>({"mean ", "max "}) + value.name + " over [" + axes + "]",
                 derived(value, {value.shape[0]}));
  }
  if (value.rank() > 1) {
    int64_t count = 1;
    for (int64_t extent : value.shape)
      count *= extent;
    value = emit(body, "flatten " + value.name, derived(value, {count}));
  }
  body.values.back().used = true;
  return value;
}

/// One value that everything unused goes into.
Drawn ModelDraw::gathered(Body &body) {
  std::vector<Drawn> unused;
  for (Drawn &value : body.values)
    if (!value.used && !value.routing) {
      unused.push_back(value);
      value.used = true;
    }
  if (unused.empty())
    unused.push_back(body.values.front());
  if (unused.size() == 1 && !body.model)
    return unused[0];
  std::string text;
  Drawn made;
  made.batch = false;
  made.shape = {0};
  for (Drawn value : unused) {
    if (value.experts && (body.model || !body.experts)) {
      Drawn one = value;
      one.experts = false;
      one.count = 0;
      value = emit(body, "mean " + value.name + " over experts", one);
      body.values.back().used = true;
    }
    value = asVector(body, value);
    if (value.shape[0] > 64) {
      Drawn less = value;
      less.shape = {extent(9)};
      less.bounded = false;
      if (body.experts)
        less.experts = true, less.count = body.experts;
      value =
          emit(body, "linear @" + fresh("l") + "(" + value.name + ") to " + size(body, less.shape[0]), less);
      body.values.back().used = true;
    }
    made.batch |= value.batch;
    made.experts |= value.experts;
    made.count = std::max(made.count, value.experts ? value.count : 0);
    made.shape[0] += value.shape[0];
    text += (text.empty() ? "" : ", ") + value.name;
  }
  if (unused.size() == 1 && made.batch) // the vector itself
    return body.values.back().name == text ? body.values.back() : (made.name = text, made);
  return emit(body, "concat " + text, made);
}

/// Some of what nothing uses becomes losses.
void ModelDraw::unusedToLosses(Body &body) {
  std::vector<Drawn *> unused;
  for (Drawn &value : body.values)
    if (!value.used && !value.routing && !value.experts)
      unused.push_back(&value);
  for (Drawn *each : unused) {
    if (!chance(20))
      continue;
    each->used = true;
    Drawn value = *each;
    if (value.rank())
      value = emit(body, "mean " + value.name, derived(value, {}));
    value = tamed(body, value, "tanh");
    body.values.back().used = true;
    note("aux of a value");
    body.text += body.indent + "aux @" + fresh("loss") + " " + value.name + ", " + weight(body) + "\n";
  }
}

ModelCase ModelDraw::make() {
  made.classes = made.domains = 1000;
  leftOver = number(4, 30);
  made.optimizer = pick<std::string>({"adam", "adamw", "sgd"});
  Body body;
  body.model = true;
  std::string inputs;
  if (chance(85)) {
    Drawn image;
    image.name = "%image";
    image.shape = {pick<int64_t>({1, 1, 2, 3, 5}), extent(9), extent(9)};
    image.bounded = true;
    std::string dims;
    for (int64_t value : image.shape)
      dims += (dims.empty() ? "" : ", ") + size(body, value);
    inputs = "%image: image[" + dims + "]";
    body.values.push_back(image);
  }
  if (inputs.empty() || chance(30)) {
    Drawn vector;
    vector.name = "%rows";
    vector.shape = {extent(33)};
    vector.bounded = true;
    inputs += (inputs.empty() ? "%rows: vector[" : ", %rows: vector[") + size(body, vector.shape[0]) + "]";
    body.values.push_back(vector);
    note("vector input");
  }
  if (chance(15)) {
    note("default");
    body.text += "  default " + pick<std::string>({"linear", "conv"}) + " trunc_normal(0.2)" +
                 (chance(50) ? ", zeros" : "") + "\n";
  }
  for (int64_t i = 0, count = chance(60) ? number(2, 6) : number(6, 16); i < count; ++i)
    step(body);
  unusedToLosses(body);
  Drawn all = gathered(body);
  if (!all.batch) { // scores are of each sample
    const Drawn input = asVector(body, body.values.front());
    all.batch = true;
    all.shape[0] += input.shape[0];
    all = emit(body, "concat " + all.name + ", " + input.name, all);
  }
  Drawn scores = all;
  scores.shape = {extent(12)};
  made.classes = std::min(made.classes, scores.shape[0]);
  scores = emit(body, "linear @head(" + all.name + ") to " + size(body, scores.shape[0]), scores);
  if (made.domains == 1000)
    made.domains = 3;
  std::string results = "logits = " + scores.name;
  for (int64_t i = 0, count = chance(40) ? number(1, 3) : 0; i < count; ++i)
    if (Drawn *other = find(body, [](const Drawn &value) { return !value.routing && !value.experts; })) {
      note("several results of the model");
      results += ", " + fresh("out") + " = " + other->name;
    }
  made.text = layers + "moe.model @net" + declared(body.parameters) + "(" + inputs + ") {\n" + body.text +
              "  return " + results + "\n}\n";
  return std::move(made);
}

ModelCase drawModel(uint64_t seed, uint64_t number) {
  return ModelDraw(seed * 0x9e3779b97f4a7c15 + number * 0xbf58476d1ce4e5b9 + 1).make();
}

} // namespace moe::test
