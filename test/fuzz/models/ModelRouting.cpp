// Routing to some experts in a random model: the routing, the experts on dispatched rows, buffers that balance them, and one routing
// in the blocks of a chain. See ModelDraw.h.
#include "test/fuzz/models/ModelDraw.h"
#include <algorithm>

namespace moe::test {

/// A routing of the value `from` to some of its experts; `tokens` is how many it has, 0 where samples are routed. Its name is empty
/// where nothing fits.
Drawn ModelDraw::chosen(Body &body, const std::string &from, int64_t experts, int64_t tokens) {
  Drawn route;
  route.routing = true;
  route.count = experts;
  route.tokens = tokens > 0;
  route.rules = {"entropy", "balance_kl", "z_loss"};
  std::string text = "route @" + fresh("r") + "(" + from + ") ";
  const bool cosine = chance(40);
  note(cosine ? "route cosine" : "route linear");
  text += (cosine ? "cosine, experts = " : "linear, experts = ") + size(body, experts);
  if (cosine)
    text += ", proj = " + size(body, number(1, 5));
  const int64_t top = number(1, std::min<int64_t>(experts, 3));
  if (chance(20)) {
    const Drawn all = emit(body, text + (chance(30) ? ", sigmoid" : ""), route);
    body.values.back().used = true;
    return emit(body, "select " + all.name + " top = " + size(body, top) + (chance(50) ? ", unscaled" : ""),
                route);
  }
  const bool noise = chance(50), sigmoid = chance(30), choose = tokens && chance(40);
  Drawn bias;
  if (choose) {
    note("experts choose rows");
    // A quarter more than a whole number, which rounds down to it.
    const int64_t each = number(1, tokens);
    text += ", choose = rows by image, capacity = " +
            std::to_string((double(each) + 0.25) * double(experts) / double(tokens));
  } else {
    text += ", top = " + size(body, top);
    if (chance(50)) {
      note("route with a capacity");
      // A step in which an expert would take no row is refused: with half of an even share, one that has a single row.
      text += ", capacity = " +
              pick<std::string>({tokens > experts ? "0.5" : "2.0", "1.0", "1.5", "-1.25"});
      text += chance(50) ? ", prioritized" : "";
      text += chance(20) ? ", alignment = 2" : "";
    }
    if (top > 1 && chance(30))
      text += ", unnormalized";
    route.rules.push_back("gshard");
    if (noise && !sigmoid && experts > 1)
      route.rules.push_back("importance_load");
    if (chance(40)) {
      note("select_bias");
      bias.name = "%" + fresh("v");
      bias.used = true;
      body.text += body.indent + bias.name + " = state @" + fresh("s") + " [" + size(body, experts) +
                   "] normal(0.1)\n";
      text += ", select_bias = " + bias.name;
    }
  }
  if (noise)
    note("route with noise"), text += ", noise = 1.5";
  text += sigmoid ? ", sigmoid" : "";
  text += chance(25) ? ", prescore" : "";
  const Drawn made = emit(body, text, route);
  // Of all losses this one fits the fewest routings, so it is drawn where it does.
  if (std::count(made.rules.begin(), made.rules.end(), "importance_load") && chance(40)) {
    note("aux importance_load");
    body.text += body.indent + "aux @" + fresh("loss") + " importance_load " + made.name +
                 (chance(50) ? ", corrected, " : ", ") + weight(body) + "\n";
    body.once = true;
  }
  if (!bias.name.empty() && chance(70)) {
    const std::string counts = "%" + fresh("v"), next = "%" + fresh("v"),
                      state = body.text.substr(body.text.find(bias.name + " = state @"));
    body.text += body.indent + counts + " = counts " + made.name + "\n";
    body.text += body.indent + next + " = add " + counts + ", " + bias.name + "\n";
    body.text += body.indent + "assign " + state.substr(state.find('@'), state.find(" [") - state.find('@')) +
                 " " + next + "\n";
    body.once = true;
  }
  return made;
}

/// The layer, or the layers, of so many experts that make `to` of a row.
std::string ModelDraw::expertsFor(Body &body, const Drawn &row, const Shape &to, int64_t experts,
                                  bool literal) {
  Body own = inside(body);
  own.rows = true;
  const Layer first = layer(own, {row}, to, false);
  if (experts < 2 || chance(60))
    return "layer " + use(body, first, literal);
  note("experts of several layers");
  const Layer second = layer(own, {row}, to, false);
  const int64_t less = number(1, experts - 1);
  auto item = [&](int64_t count, const Layer &of) {
    return (count == 1 ? "" : std::to_string(count) + " * ") + use(body, of, literal);
  };
  return "layers [" + item(less, first) + ", " + item(experts - less, second) + "]";
}

bool ModelDraw::dispatched(Body &body) {
  if (body.experts || body.rows || body.trunk || body.depth > 1 || leftOver <= 0)
    return false;
  const int64_t experts = number(1, 4);
  const bool tokens = chance(50);
  Drawn *found = find(body, [&](const Drawn &value) {
    return !value.routing && value.batch && !value.experts && value.elements() <= 200 &&
           (tokens ? value.rank() == 2 : value.rank() > 0);
  });
  if (!found)
    return false;
  const Drawn input = *found;
  std::string from = input.name;
  if (!tokens)
    from = vectorToRoute(body, 0).name;
  if (from.empty())
    return false;
  const Drawn route = chosen(body, from, experts, tokens ? input.shape[0] : 0);
  body.values.back().used = true;
  Drawn row = input;
  row.bounded = false;
  if (tokens)
    row.shape.erase(row.shape.begin());
  Drawn back = input;
  back.bounded = false;
  if (chance(25)) { // the blocks of a chain share the routing
    note("a routing of several blocks");
    const std::string block = "@" + fresh("L"), inner = expertsFor(body, row, row.shape, experts, true);
    layers += "moe.layer " + block + "(%x, %r) {\n  %s = dispatch %r, %x\n  %e = experts @e(%s) " + inner +
              "\n  %y = combine %r, %e\n  yield %y\n}\n\n";
    emit(body, "chain @" + fresh("c") + "(" + input.name + ") [2 * " + block + "] with " + route.name, back);
    return true;
  }
  const Shape to = chance(70) ? Shape{extent(6)} : Shape{number(1, 3), extent(3)};
  const std::string sent = "%" + fresh("v"), done = "%" + fresh("v");
  const std::string inner = expertsFor(body, row, to, experts, false);
  body.text += body.indent + sent + " = dispatch " + route.name + ", " + input.name + "\n";
  body.text += body.indent + done + " = experts @" + fresh("e") + "(" + sent + ") " + inner + "\n";
  back.shape = to;
  if (tokens)
    back.shape.insert(back.shape.begin(), input.shape[0]);
  emit(body, "combine " + route.name + ", " + done, back);
  return true;
}

} // namespace moe::test
