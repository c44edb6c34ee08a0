// Noise and gradients that differ from their values. In inference dropout is the identity, and a random value
// is its mean.
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"

using namespace mlir;
using namespace moe;

static FailureOr<double> probability(Expander &in, Operation *op, ExprAttr e, bool one) {
  FailureOr<double> rate = in.env().number(op, e);
  if (succeeded(rate) && !(*rate >= 0 && (one ? *rate <= 1 : *rate < 1)))
    return op->emitError() << "expected a probability from 0 to " << (one ? "1" : "less than 1") << ", found "
                           << numberText(*rate);
  // Draws are compared with it in 32 bits, where nothing would be left to divide by 1 - rate.
  if (succeeded(rate) && !one && float(*rate) == 1)
    return op->emitError() << "expected a probability from 0 to less than 1, found " << numberText(*rate)
                           << ", which is 1 in 32-bit floating point; give at most 0.9999999";
  return rate;
}

FailureOr<Value> moe::drawRandom(Expander &in, Operation *op, flow::RandomKind kind,
                                 ArrayRef<flow::Extent> extents, bool experts, bool batch) {
  FailureOr<int64_t> stream = in.stream(op);
  if (failed(stream))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  RowSpace *rows = batch ? in.weights.rows.get() : nullptr;
  Value index;
  if (rows || (experts && batch)) {
    // One number for all axes but the columns, of which a number a row has none.
    const size_t lead = unsigned(experts) + unsigned(batch);
    SmallVector<flow::Extent> front(extents.take_front(std::max(lead, extents.size() - 1)));
    auto along = [&](Value vector, int64_t axis) { return flow::broadcast(b, loc, vector, front, {axis}); };
    auto numbered = [&](int64_t axis) { return flow::iota(b, loc, front, axis, b.getI32Type()); };
    Value row = rows ? along(rows->row, 0) : numbered(1),
          expert = rows ? along(rows->expert, 0) : numbered(0);
    const int64_t count = rows ? rows->experts : *extents[0].constantValue();
    auto join = [&](Value major, int64_t size, Value minor) {
      Value scale = flow::constant(b, loc, double(size), major.getType());
      return flow::add(b, loc, flow::mul(b, loc, major, scale), minor);
    };
    for (size_t axis = lead; axis < front.size(); ++axis)
      row = join(row, *front[axis].constantValue(), numbered(axis));
    index = join(row, count, expert);
  }
  return flow::random(b, loc, kind, uint32_t(*stream), extents, index);
}

/// Uniform numbers in [0, 1), of these extents, from the op's own stream.
static FailureOr<Value> draw(Expander &in, Operation *op, ArrayRef<flow::Extent> extents, bool experts,
                             bool batch) {
  return drawRandom(in, op, flow::RandomKind::uniform, extents, experts, batch);
}

/// 1 / (1 - rate) with probability 1 - rate, else 0; of these extents.
static FailureOr<Value> keep(Expander &in, Operation *op, double rate, ArrayRef<flow::Extent> extents,
                             bool experts, bool batch) {
  FailureOr<Value> drawn = draw(in, op, extents, experts, batch);
  if (failed(drawn))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  Value kept = flow::compare(b, loc, flow::Predicate::ge, *drawn, rate);
  return flow::mul(b, loc, flow::convert(b, loc, kept, b.getF32Type()), 1 / (1 - rate));
}

LogicalResult DropoutOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  FailureOr<double> rate = probability(in, *this, getRate(), false);
  if (failed(x) || failed(rate))
    return failure();
  if (in.training && *rate > 0) {
    FailureOr<Value> mask = keep(in, *this, *rate, flow::extentsOf(x->value), x->experts, x->batch);
    if (failed(mask))
      return failure();
    x->value = flow::mul(in.builder, in.loc(*this), x->value, *mask);
  }
  in.set(getY(), *x);
  return success();
}

LogicalResult ResidualOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX()), branch = in.tensor(*this, getBranch());
  FailureOr<double> rate =
      getDropPath() ? probability(in, *this, *getDropPath(), false) : FailureOr<double>(0.0);
  if (failed(x) || failed(branch) || failed(rate))
    return failure();
  if (x->sample() != branch->sample()) {
    InFlightDiagnostic diag = emitError()
                              << "expected a branch of " << shapeText(*x)
                              << ", as the value that it is added to, found " << shapeText(*branch);
    in.noteMade(diag, getX());
    in.noteMade(diag, getBranch());
    return diag;
  }
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  if (in.training && *rate > 0 && branch->batch) {
    // One draw a sample.
    unsigned axis = branch->experts ? 1 : 0;
    SmallVector<flow::Extent> extents = flow::extentsOf(branch->value);
    FailureOr<Value> mask = keep(in, *this, *rate, {extents[axis]}, false, true);
    if (failed(mask))
      return failure();
    branch->value =
        flow::mul(b, loc, branch->value, flow::broadcast(b, loc, *mask, extents, {int64_t(axis)}));
  }
  Tensor both[] = {*x, *branch};
  if (failed(align(in, *this, both, {getX(), getBranch()})))
    return failure();
  in.set(getY(), joined(in, flow::add(b, loc, both[0].value, both[1].value), *x, *branch));
  return success();
}

/// [B, shape...].
static FailureOr<SmallVector<flow::Extent>> drawnShape(Expander &in, Operation *op, ExprAttr shape) {
  SmallVector<flow::Extent> extents{in.batch()};
  if (shape.getKind() != ExprKind::List)
    return op->emitError() << "expected the shape of a sample such as [dim] or [], found '" << shape.str()
                           << "'";
  for (ExprAttr e : shape.positional()) {
    FailureOr<int64_t> extent = in.env().positive(op, e, "an axis");
    if (failed(extent))
      return failure();
    extents.push_back(flow::Extent::constant(op->getContext(), *extent));
  }
  return extents;
}

/// Binds `result` to what `made` makes of a draw in training, and to the mean of that in inference.
static LogicalResult setRandom(Expander &in, Operation *op, Value result, ArrayRef<flow::Extent> extents,
                               double mean, llvm::function_ref<Value(Value)> made) {
  OpBuilder &b = in.builder;
  if (!in.training) {
    Value value = flow::constant(b, in.loc(op), mean, flow::tensorType(extents, b.getF32Type()));
    in.set(result, {value, false, true});
    return success();
  }
  FailureOr<Value> drawn = draw(in, op, extents, false, true);
  if (failed(drawn))
    return failure();
  in.set(result, {made(*drawn), false, true});
  return success();
}

LogicalResult BernoulliOp::expand(Expander &in) {
  FailureOr<double> p = probability(in, *this, getP(), true);
  FailureOr<SmallVector<flow::Extent>> extents = drawnShape(in, *this, getShape());
  if (failed(p) || failed(extents))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  return setRandom(in, *this, getY(), *extents, *p, [&](Value drawn) {
    return flow::convert(b, loc, flow::compare(b, loc, flow::Predicate::lt, drawn, *p), b.getF32Type());
  });
}

LogicalResult UniformOp::expand(Expander &in) {
  FailureOr<double> low = in.env().number(*this, getLow()), high = in.env().number(*this, getHigh());
  FailureOr<SmallVector<flow::Extent>> extents = drawnShape(in, *this, getShape());
  if (failed(low) || failed(high) || failed(extents))
    return failure();
  if (!(*low < *high) || !holdsInFloat(*high - *low))
    return emitError() << "expected a low end below the high end by what 32-bit floating point holds, found "
                       << numberText(*low) << " and " << numberText(*high);
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  return setRandom(in, *this, getY(), *extents, (*low + *high) / 2, [&](Value drawn) {
    return flow::add(b, loc, flow::mul(b, loc, drawn, *high - *low), *low);
  });
}

LogicalResult ReverseGradientOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (in.training) {
    OpBuilder &b = in.builder;
    Location loc = in.loc(*this);
    Value scale;
    if (getSchedule().isName("dann")) { // a word, whatever sizes are called
      // 2 / (1 + exp(-10 p)) - 1 = 2 sigmoid(10 p) - 1 (Ganin et al., 2016)
      Value s = flow::sigmoid(b, loc, flow::mul(b, loc, in.progress(), 10.0));
      scale = flow::sub(b, loc, flow::mul(b, loc, s, 2.0), 1.0);
    } else {
      FailureOr<Value> number = expandSchedule(in, *this, getSchedule());
      if (failed(number))
        return failure();
      scale = *number;
    }
    x->value = flow::reverseGradient(b, loc, x->value, scale);
  }
  in.set(getY(), *x);
  return success();
}
