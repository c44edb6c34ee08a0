// What draws a model: bodies of ops over values whose shapes it keeps track of, and the layers that these apply. Each op
// is drawn for a value that it fits; sizes stay small, and values tame, so that a model is evaluated in milliseconds.
#pragma once
#include "test/fuzz/models/ModelCase.h"
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace moe::test {

using Shape = std::vector<int64_t>;

/// A value of a body.
struct Drawn {
  std::string name; ///< with its percent sign
  Shape shape;      ///< of a sample
  bool batch = true, experts = false;
  int64_t count = 0;    ///< of experts, for a value that differs by expert and for a routing
  bool routing = false; ///< a routing has no shape
  bool tokens = false;  ///< a routing of tokens, and not of samples
  std::vector<std::string> rules; ///< losses of a routing
  bool bounded = false; ///< at most a few
  bool used = false;

  int64_t rank() const { return int64_t(shape.size()); }
  int64_t elements() const;
};

/// A parameter of a layer or model: how it is declared, and what a use of the layer gives for it.
struct Given {
  std::string name, kind, value; ///< kind is "size", "number" or "layer"
  bool fallback = false;         ///< the value is its default
};

/// A layer that was written.
struct Layer {
  std::string name;
  std::vector<Given> parameters;
  std::vector<Drawn> inputs, yields;
  bool once = false; ///< holds an auxiliary loss, and so cannot be applied as `shared`
};

struct Body {
  std::string text, indent = "  ";
  std::deque<Drawn> values; // whose places stay
  std::vector<Given> parameters;
  /// Inside an expert's layer, the number of experts; weights differ by expert there.
  int64_t experts = 0;
  bool model = false, generated = false, trunk = false, once = false;
  bool rows = false; ///< an expert's layer on rows that were dispatched: each meets its own expert's weights
  int depth = 0;
  /// Ops whose parameters a later op may share: what they take, and the text behind the name.
  struct Owner {
    std::string op, name, rest;
    Drawn input, result;
  };
  std::vector<Owner> owners;
};

class ModelDraw {
public:
  explicit ModelDraw(uint64_t seed) : random(seed) {}
  ModelCase make();

private:
  // Numbers.
  int64_t number(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }
  bool chance(int percent) { return number(1, 100) <= percent; }
  template <typename T> const T &pick(const std::vector<T> &list) { return list[random() % list.size()]; }
  int64_t extent(int64_t most);
  std::string fresh(const std::string &stem) { return stem + std::to_string(names++); }
  std::string decimal(double low, double high);

  // Text.
  std::string size(Body &body, int64_t value);
  std::string fraction(Body &body, double low, double high);
  std::string initial(bool withBias);
  std::string listOf(Body &body, const Shape &shape);
  void note(const std::string &form) { made.used.insert(form); }
  Drawn &emit(Body &body, const std::string &text, Drawn result);
  Drawn derived(const Drawn &from, Shape shape);

  // Values.
  Drawn *find(Body &body, const std::function<bool(const Drawn &)> &fits);
  Drawn *any(Body &body);
  Drawn *image(Body &body, bool forWeights);
  Drawn &tamed(Body &body, Drawn &value, const std::string &op);
  Drawn partner(Body &body, const Drawn &of);
  Drawn free(Body &body, const Shape &shape);

  // Steps: each adds one op or a few, or returns false where none fits.
  void step(Body &body);
  bool elementwise(Body &body);
  bool binary(Body &body);
  bool withNumber(Body &body);
  bool broadcastProduct(Body &body);
  std::string literal(Body &body, const Drawn &beside);
  bool reduction(Body &body);
  bool movement(Body &body);
  bool joining(Body &body);
  bool product(Body &body);
  bool attention(Body &body);
  bool dense(Body &body);
  bool convolution(Body &body);
  bool windows(Body &body);
  bool norm(Body &body);
  bool noise(Body &body);
  bool applied(Body &body);
  bool chained(Body &body);
  bool mixture(Body &body);
  bool written(Body &body);
  bool dispatched(Body &body);
  Drawn chosen(Body &body, const std::string &from, int64_t experts, int64_t tokens);
  std::string expertsFor(Body &body, const Drawn &row, const Shape &to, int64_t experts, bool literal);
  bool annotation(Body &body);
  bool reused(Body &body);
  std::string over(Body &body, const Drawn &x, Shape &left, bool &experts);
  std::string weight(Body &body);

  // Layers.
  Layer layer(Body body, const std::vector<Drawn> &inputs, const Shape &to, bool several);
  Layer square(const Body &user, const Drawn &input, bool ramped);
  Layer wrapped(Body &user, const Layer &inner, std::string &use);
  Layer trunk(int64_t sets, int64_t width);
  static Body inside(const Body &user);
  void write(Layer &layer, Body &body);
  std::string use(Body &user, const Layer &layer, bool literal = false);
  static std::string declared(std::vector<Given> parameters);
  Drawn asVector(Body &body, Drawn value);
  Drawn gathered(Body &body);
  Drawn vectorToRoute(Body &body, int64_t features);
  Drawn routed(Body &body, int64_t experts, const Drawn *keys);
  void unusedToLosses(Body &body);

  std::mt19937_64 random;
  ModelCase made;
  std::string layers;
  unsigned names = 0;
  int64_t leftOver = 30;    ///< steps that layers may still have
  std::vector<Layer> plain; ///< of one input and one result, outside experts
};

} // namespace moe::test
