// Each step draws an op that fits one of the latest values, or does nothing; sizes stay small and values
// tame, so that a program is evaluated in milliseconds and no difference is rounding's alone.
#include "test/unit/RandomProgram.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/BuildOptimizer.h"

using namespace mlir;
using flow::Extent;

namespace moe::test {
namespace {

class Generator {
public:
  Generator(FlowCase &one, uint64_t seed) : one(one), b(one.atEnd()), loc(b.getUnknownLoc()), random(seed) {}

  void run(unsigned ops, uint64_t seed) {
    Extent batch = Extent::batch(b.getContext());
    label = flow::InputOp::create(b, loc, flow::tensorType({batch}, b.getI32Type()), "label");
    add(flow::InputOp::create(b, loc, type({batch, size(3), size(number(4, 7)), size(number(4, 7))}),
                              "image"));
    add(flow::InputOp::create(b, loc, type({batch, size(number(1, 20))}), "rows"));
    add(flow::InputOp::create(b, loc,
                              type({Extent::symbol(b.getContext(), flow::Symbol::D),
                                    Extent::symbol(b.getContext(), flow::Symbol::N), size(number(1, 5))}),
                              "domains"));
    for (unsigned i = 0; i < ops; ++i)
      step();
    finish();
    std::mt19937_64 values(seed);
    flow::bindRandom(one.entry, one.bindings, values, 4);
  }

private:
  int64_t number(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }
  bool coin() { return random() & 1; }
  Extent size(int64_t value) { return Extent::constant(b.getContext(), value); }
  Type type(ArrayRef<Extent> extents) { return flow::tensorType(extents, b.getF32Type()); }
  Value pick() { return pool[random() % pool.size()]; }
  /// A late value, so that programs are deep.
  Value late() { return pool[pool.size() - 1 - random() % std::min<size_t>(pool.size(), 4)]; }
  void add(Value value) { pool.push_back(value); }
  Value parameter(ArrayRef<int64_t> shape) {
    std::string path = "p" + std::to_string(parameters.size());
    auto init = flow::InitAttr::get(b.getContext(), flow::InitKind::normal, 0, 1);
    parameters.push_back(flow::ParameterOp::create(b, loc, RankedTensorType::get(shape, b.getF32Type()), path,
                                                   init,
                                                   /*frozen=*/false));
    return parameters.back().getY();
  }
  std::optional<int64_t> constant(Value x, int64_t axis) { return Extent::of(x, axis).constantValue(); }
  /// Elements at the test's batch: programs stay small.
  int64_t elements(Value x) { return *flow::elementsOf(x.getType()).evaluate(one.bindings.setting.symbols); }

  void step() {
    Value x = late();
    int64_t rank = flow::rankOf(x), axis = rank ? number(0, rank - 1) : 0;
    switch (number(0, 17)) {
    case 0:
      return add(flow::tanh(b, loc, x));
    case 1:
      return add(coin() ? flow::relu(b, loc, x) : flow::silu(b, loc, x));
    case 2:
      return add(coin() ? flow::sigmoid(b, loc, x) : flow::gelu(b, loc, x));
    case 3: { // with any other value that broadcasts
      Value y = pick();
      auto both = flow::broadcastExtents(flow::extentsOf(x), flow::extentsOf(y));
      if (!both || *flow::productOf(*both, b.getContext()).evaluate(one.bindings.setting.symbols) > 4000)
        return;
      switch (number(0, 3)) {
      case 0:
        return add(flow::add(b, loc, x, y));
      case 1:
        return add(flow::sub(b, loc, x, flow::tanh(b, loc, y)));
      case 2:
        return add(flow::mul(b, loc, x, flow::tanh(b, loc, y)));
      default:
        return add(flow::div(b, loc, x, flow::add(b, loc, flow::exp(b, loc, flow::tanh(b, loc, y)), 1.0)));
      }
    }
    case 4: { // dropout
      Value keep = flow::compare(
          b, loc, flow::Predicate::ge,
          flow::random(b, loc, flow::RandomKind::uniform, uint32_t(random()), flow::extentsOf(x)), 0.3);
      return add(flow::select(b, loc, keep, flow::mul(b, loc, x, 1 / 0.7), flow::zerosLike(b, loc, x)));
    }
    case 5:
      if (rank < 2)
        return;
      return add(flow::mean(b, loc, x, {axis}));
    case 6:
      if (rank < 1 || !constant(x, axis))
        return;
      return add(flow::softmax(b, loc, x, axis));
    case 7: { // a linear layer with a bias
      if (rank < 2 || !constant(x, rank - 1))
        return;
      int64_t to = number(1, 17);
      Value w = parameter({to, *constant(x, rank - 1)}), bias = parameter({to});
      return add(flow::add(b, loc, flow::linear(b, loc, x, w), bias));
    }
    case 8: { // a convolution
      if (rank != 4 || !constant(x, 1) || !constant(x, 2) || !constant(x, 3))
        return;
      int64_t kernel = number(1, 3), stride = number(1, 2), pad = kernel == 1 ? 0 : number(0, 1);
      if (*constant(x, 2) + 2 * pad < kernel || *constant(x, 3) + 2 * pad < kernel)
        return;
      Value w = parameter({number(1, 9), *constant(x, 1), kernel, kernel});
      return add(flow::conv(b, loc, x, w, {stride, stride}, {pad, pad, pad, pad}));
    }
    case 9: { // max pooling
      if (rank != 4 || !constant(x, 2) || !constant(x, 3) || *constant(x, 2) < 2 || *constant(x, 3) < 2)
        return;
      Value windows = flow::window(b, loc, x, {2, 2}, {1, 2}, {0, 0, 0, 0}, 0);
      return add(flow::reduce(b, loc, flow::ReduceKind::max, windows, {4, 5}));
    }
    case 10: { // a norm
      if (rank == 4 && constant(x, 1) && coin()) {
        int64_t channels = *constant(x, 1), groups = channels % 2 ? 1 : 2;
        return add(flow::groupNorm(b, loc, x, parameter({channels}), parameter({channels}), groups, 1e-3));
      }
      if (rank < 1 || !constant(x, rank - 1))
        return;
      int64_t last = *constant(x, rank - 1);
      return add(flow::layerNorm(b, loc, x, parameter({last}), parameter({last}), 1e-3));
    }
    case 11: { // flatten from an axis on
      if (rank < 2)
        return;
      auto extents = flow::extentsOf(x);
      Extent rest = flow::productOf(ArrayRef(extents).drop_front(axis), b.getContext());
      extents.resize(axis);
      extents.push_back(rest);
      return add(flow::reshape(b, loc, x, extents));
    }
    case 12: {
      SmallVector<int64_t> perm;
      for (int64_t i = 0; i < rank; ++i)
        perm.push_back((i + axis) % rank);
      return add(flow::transpose(b, loc, x, perm));
    }
    case 13:
      if (rank < 1 || !constant(x, axis) || *constant(x, axis) < 2)
        return;
      return add(flow::slice(b, loc, x, axis, 1, Extent::of(x, axis) - 1));
    case 14:
      if (rank < 1 || !constant(x, axis) || elements(x) > 1000)
        return;
      return add(flow::concat(b, loc, {x, flow::tanh(b, loc, x)}, axis));
    case 15: { // the loss of a part of the rows, by a table
      Value table = parameter({4, number(1, 6)});
      return add(flow::gather(b, loc, table, label));
    }
    case 16: { // pairwise products of rows
      if (rank != 2 || !constant(x, 1))
        return;
      return add(flow::tanh(b, loc, flow::contract(b, loc, x, {0, 2}, x, {1, 2}, {0, 1})));
    }
    default:
      if (rank < 1)
        return;
      return add(flow::reduce(b, loc, flow::ReduceKind::max, x, {axis}));
    }
  }

  /// loss = mean of tanh of the last values, and a cross-entropy where one has the shape for it; then an
  /// update.
  void finish() {
    Value loss = flow::number(b, loc, 0);
    size_t last = std::min<size_t>(pool.size(), 5);
    for (Value value : ArrayRef(pool).take_back(last)) {
      SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, flow::rankOf(value)));
      loss = flow::add(b, loc, loss, flow::mean(b, loc, flow::tanh(b, loc, value), all));
      bool scores = flow::rankOf(value) == 2 && Extent::of(value, 0) == Extent::batch(b.getContext()) &&
                    constant(value, 1).value_or(0) >= 4;
      if (scores)
        loss = flow::add(b, loc, loss, flow::crossEntropy(b, loc, value, label));
    }
    // Always something to train.
    Value own = parameter({3});
    loss = flow::add(b, loc, loss, flow::sumAll(b, loc, flow::mul(b, loc, own, own)));
    flow::OutputOp::create(b, loc, "loss", loss);
    SmallVector<Value> wrt;
    for (flow::ParameterOp parameter : parameters)
      wrt.push_back(parameter.getY());
    auto grad = flow::GradOp::create(b, loc, TypeRange(ValueRange(wrt)), loss, wrt);
    for (auto [i, gradient] : llvm::enumerate(grad.getGradients()))
      flow::OutputOp::create(b, loc, "grad." + std::to_string(i), gradient);
    flow::OptimizerKind kinds[] = {flow::OptimizerKind::sgd, flow::OptimizerKind::adam,
                                   flow::OptimizerKind::adamw};
    flow::buildUpdate(b, loc, kinds[random() % 3], loss, parameters, grad.getGradients());
  }

  FlowCase &one;
  OpBuilder b;
  Location loc;
  std::mt19937_64 random;
  std::vector<Value> pool;
  SmallVector<flow::ParameterOp> parameters;
  Value label;
};

} // namespace

FlowCase randomProgram(uint64_t seed, unsigned ops) {
  FlowCase one(flow::EntryKind::train);
  one.bindings.setting.symbols = {int64_t(1 + seed % 3), int64_t(1 + seed / 3 % 4)};
  one.bindings.setting.seed = seed * 7919 + 1;
  one.bindings.setting.step = uint32_t(seed);
  one.bindings.progress = 0.5;
  Generator(one, seed).run(ops, seed);
  return one;
}

} // namespace moe::test
