// Elementwise ops, broadcasting between samples, batch and experts, and reductions.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Words.h"

using namespace mlir;
using namespace moe;

void moe::giveUpOwnBatch(Expander &in, Operation *at, MutableArrayRef<Tensor> tensors) {
  for (Tensor &t : tensors)
    if (!t.batch && !t.experts)
      for (Tensor &other : tensors)
        if (other.batch && t.rank() == other.rank() + 1 && t.sample().front() == 1) {
          auto extents = flow::extentsOf(t.value);
          extents.erase(extents.begin());
          t.value = flow::reshape(in.builder, in.loc(at), t.value, extents);
          break;
        }
}

Tensor moe::joined(Expander &in, Value value, const Tensor &a, const Tensor &b) {
  const bool batch = a.batch || b.batch;
  return {value, (a.experts || b.experts) && !(in.weights.rows && batch), batch};
}

Tensor moe::byRow(Expander &in, Operation *at, const Tensor &t) {
  if (!in.weights.rows || !t.experts || t.batch)
    return t;
  const RowSpace &rows = *in.weights.rows;
  return {flow::segmentRows(in.builder, in.loc(at), t.value, rows.offsets, rows.count), false, true};
}

LogicalResult moe::align(Expander &in, Operation *at, MutableArrayRef<Tensor> tensors, ValueRange sources) {
  OpBuilder &b = in.builder;
  Location loc = in.loc(at);
  bool experts = false, batch = false;
  unsigned rank = 0;
  if (in.weights.rows && llvm::any_of(tensors, [](const Tensor &t) { return t.batch; }))
    for (Tensor &t : tensors)
      t = byRow(in, at, t);
  for (Tensor &t : tensors) {
    experts |= t.experts;
    batch |= t.batch;
  }
  giveUpOwnBatch(in, at, tensors);
  for (Tensor &t : tensors)
    rank = std::max(rank, t.rank());
  for (unsigned axis = 1; axis <= rank; ++axis) {
    int64_t extent = 1;
    size_t from = 0;
    for (auto [i, t] : llvm::enumerate(tensors)) {
      if (axis > t.rank())
        continue;
      int64_t mine = t.sample()[t.rank() - axis];
      if (mine != 1 && extent != 1 && mine != extent) {
        InFlightDiagnostic diag = at->emitError()
                                  << "expected equal sizes, or 1, in every axis counted from the last, found "
                                  << shapeText(tensors[from]) << " and " << shapeText(t);
        for (Value source : sources)
          in.noteMade(diag, source);
        return diag;
      }
      if (mine != 1)
        extent = mine, from = i;
    }
  }
  int64_t count = -1;
  for (Tensor &t : tensors)
    if (t.experts) {
      int64_t mine = t.type().getDimSize(0);
      if (count >= 0 && mine != count) {
        InFlightDiagnostic diag = at->emitError()
                                  << "expected values of as many experts, found " << count << " and " << mine;
        for (Value source : sources)
          in.noteMade(diag, source);
        return diag;
      }
      count = mine;
    }
  // Axes that a tensor lacks behind one that it has become axes of extent 1; what is missing in front is
  // implied.
  for (Tensor &t : tensors) {
    SmallVector<int64_t> missing;
    bool before = t.experts;
    unsigned axis = experts ? 1 : 0;
    if (batch) {
      if (!t.batch && before)
        missing.push_back(axis);
      before |= t.batch;
      ++axis;
    }
    if (before)
      for (unsigned i = t.rank(); i < rank; ++i)
        missing.push_back(axis++);
    if (!t.experts)
      for (int64_t &m : missing)
        m -= experts ? 1 : 0;
    if (!missing.empty())
      t.value = flow::expandAxes(b, loc, t.value, missing);
  }
  return success();
}

using UnaryBuilder = Value (*)(OpBuilder &, Location, Value);

static LogicalResult unary(Expander &in, Operation *op, UnaryBuilder build) {
  FailureOr<Tensor> x = in.tensor(op, op->getOperand(0));
  if (failed(x))
    return failure();
  in.set(op->getResult(0), {build(in.builder, in.loc(op), x->value), x->experts, x->batch});
  return success();
}

LogicalResult NegOp::expand(Expander &in) { return unary(in, *this, flow::neg); }
LogicalResult ExpOp::expand(Expander &in) { return unary(in, *this, flow::exp); }
LogicalResult LogOp::expand(Expander &in) { return unary(in, *this, flow::log); }
LogicalResult SqrtOp::expand(Expander &in) { return unary(in, *this, flow::sqrt); }
LogicalResult AbsOp::expand(Expander &in) { return unary(in, *this, flow::abs); }
LogicalResult TanhOp::expand(Expander &in) { return unary(in, *this, flow::tanh); }
LogicalResult SigmoidOp::expand(Expander &in) { return unary(in, *this, flow::sigmoid); }
LogicalResult ReluOp::expand(Expander &in) { return unary(in, *this, flow::relu); }
LogicalResult SiluOp::expand(Expander &in) { return unary(in, *this, flow::silu); }
LogicalResult GeluOp::expand(Expander &in) { return unary(in, *this, flow::gelu); }
LogicalResult StopGradientOp::expand(Expander &in) { return unary(in, *this, flow::stopGradient); }

/// Where nothing is compared, as with a NaN, the result is 0.
static Value signOf(OpBuilder &b, Location loc, Value x) {
  Value zero = flow::zerosLike(b, loc, x), one = flow::onesLike(b, loc, x);
  Value above = flow::compare(b, loc, flow::Predicate::gt, x, 0.0),
        below = flow::compare(b, loc, flow::Predicate::lt, x, 0.0);
  return flow::select(b, loc, above, one,
                      flow::select(b, loc, below, flow::constant(b, loc, -1, x.getType()), zero));
}
LogicalResult SignOp::expand(Expander &in) { return unary(in, *this, signOf); }

LogicalResult ClampOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (!getMin() && !getMax())
    return emitError() << "expected 'min', 'max' or both, found neither: write 'clamp %x min = 0'";
  FailureOr<double> min = getMin() ? in.env().number(*this, *getMin()) : FailureOr<double>(0.0);
  FailureOr<double> max = getMax() ? in.env().number(*this, *getMax()) : FailureOr<double>(0.0);
  if (failed(min) || failed(max))
    return failure();
  if (getMin() && getMax() && *min > *max)
    return emitError() << "expected 'min' of at most 'max', found " << numberText(*min) << " and "
                       << numberText(*max);
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  // A choice, not a minimum: at a bound the gradient passes whole, as torch's does, and a NaN stays one.
  Value y = x->value;
  auto cut = [&](flow::Predicate beyond, double bound) {
    Value limit = flow::constant(b, loc, bound, y.getType());
    y = flow::select(b, loc, flow::compare(b, loc, beyond, y, limit), limit, y);
  };
  if (getMin())
    cut(flow::Predicate::lt, *min);
  if (getMax())
    cut(flow::Predicate::gt, *max);
  in.set(getY(), {y, x->experts, x->batch});
  return success();
}

using BinaryBuilder = Value (*)(OpBuilder &, Location, Value, Value);

template <typename Op> static LogicalResult binary(Expander &in, Op op, BinaryBuilder build) {
  FailureOr<SmallVector<Tensor>> both = in.tensors(op, op.getValues(), op.getNumbersAttr());
  if (failed(both))
    return failure();
  Tensor y = joined(in, {}, (*both)[0], (*both)[1]);
  if (failed(align(in, op, *both, op.getValues())))
    return failure();
  y.value = build(in.builder, in.loc(op), (*both)[0].value, (*both)[1].value);
  in.set(op.getY(), y);
  return success();
}

LogicalResult AddOp::expand(Expander &in) { return binary(in, *this, flow::add); }
LogicalResult SubOp::expand(Expander &in) { return binary(in, *this, flow::sub); }
LogicalResult MulOp::expand(Expander &in) { return binary(in, *this, flow::mul); }
LogicalResult DivOp::expand(Expander &in) { return binary(in, *this, flow::div); }

LogicalResult WhereOp::expand(Expander &in) {
  FailureOr<SmallVector<Tensor>> found = in.tensors(*this, getValues(), getNumbersAttr());
  if (failed(found))
    return failure();
  SmallVector<Tensor> all = *found;
  Tensor y = joined(in, {}, all[0], joined(in, {}, all[1], all[2]));
  if (failed(align(in, *this, all, getValues())))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  // Each is brought to the common shape: select broadcasts nothing by itself.
  SmallVector<flow::Extent> shape = flow::extentsOf(all[0].value);
  for (Tensor &t : all)
    shape = *flow::broadcastExtents(shape, flow::extentsOf(t.value));
  for (Tensor &t : all)
    t.value = flow::broadcastTo(b, loc, t.value, shape);
  Value chosen = flow::compare(b, loc, flow::Predicate::ne, all[0].value, 0.0);
  y.value = flow::select(b, loc, chosen, all[1].value, all[2].value);
  in.set(getY(), y);
  return success();
}

LogicalResult SoftmaxOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() == 0) {
    InFlightDiagnostic diag = emitError() << "expected at least one axis, found a number a sample";
    in.noteMade(diag, getX());
    return diag;
  }
  int64_t axis = flow::rankOf(x->value) - 1;
  in.set(getY(), {flow::softmax(in.builder, in.loc(*this), x->value, axis), x->experts, x->batch});
  return success();
}

/// The sample's axes that `over` names, ascending; `experts` is told apart.
static FailureOr<SmallVector<int64_t>> reducedAxes(Expander &in, Operation *op, Value source, const Tensor &x,
                                                   ExprAttr over, bool &experts) {
  SmallVector<int64_t> axes;
  int64_t rank = x.rank();
  if (!over) {
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
    return axes;
  }
  auto wrong = [&](const Twine &expected) -> InFlightDiagnostic {
    InFlightDiagnostic diag = op->emitError() << "expected " << expected << " for 'over " << over.str()
                                              << "', found " << shapeText(x);
    in.noteMade(diag, source);
    return diag;
  };
  if (isWord("axes", over, true)) {
    StringRef word = over.getText();
    if (word == "rows" || word == "domains")
      return op->emitError() << "'over " << word << "' belongs to objectives: a model speaks of one sample";
    if (word == "experts") {
      if (!x.experts)
        return wrong("a value that differs by expert");
      experts = true;
      return axes;
    }
    if (word == "pixels") {
      if (rank != 3)
        return wrong("an image [channels, height, width]");
      return SmallVector<int64_t>{1, 2};
    }
    if (word == "tokens" && rank < 2)
      return wrong("tokens [tokens, features]");
    if (rank < 1)
      return wrong("at least one axis");
    return SmallVector<int64_t>{word == "tokens" ? 0 : rank - 1};
  }
  std::vector<ExprAttr> items =
      over.getKind() == ExprKind::List ? over.positional() : std::vector<ExprAttr>{over};
  for (ExprAttr item : items) {
    FailureOr<int64_t> axis = in.env().size(op, item);
    if (failed(axis))
      return failure();
    int64_t from = *axis < 0 ? *axis + rank : *axis;
    if (from < 0 || from >= rank)
      return wrong("axes from " + Twine(-rank) + " to " + Twine(rank - 1));
    if (llvm::is_contained(axes, from))
      return op->emitError() << "expected each axis once, found " << *axis << " again in 'over " << over.str()
                             << "'";
    axes.push_back(from);
  }
  llvm::sort(axes);
  return axes;
}

/// x / max(|x|, eps). The norm is taken from squares that are at least eps^2, so that its slope is finite at 0.
LogicalResult NormalizeOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  FailureOr<double> eps = getEps() ? in.env().number(*this, *getEps()) : FailureOr<double>(1e-12);
  if (failed(x) || failed(eps))
    return failure();
  double least = *eps * *eps;
  if (!(*eps > 0) || float(least) < std::numeric_limits<float>::min() || !holdsInFloat(least))
    return emitError() << "expected 'eps' above 0 whose square 32-bit floating point holds, found "
                       << numberText(*eps);
  bool experts = false;
  ExprAttr over = getAxesAttr() ? getAxesAttr() : ExprAttr::get(getContext(), ExprKind::Name, "features", {});
  FailureOr<SmallVector<int64_t>> axes = reducedAxes(in, *this, getX(), *x, over, experts);
  if (failed(axes))
    return failure();
  for (int64_t &axis : *axes)
    axis += x->lead();
  if (experts)
    axes->push_back(0);
  in.set(getY(), {flow::normalize(in.builder, in.loc(*this), x->value, *axes, *eps), x->experts, x->batch});
  return success();
}

template <typename Build>
static LogicalResult reduce(Expander &in, Operation *op, ExprAttr over, Build build) {
  FailureOr<Tensor> x = in.tensor(op, op->getOperand(0));
  if (failed(x))
    return failure();
  bool experts = false;
  FailureOr<SmallVector<int64_t>> axes = reducedAxes(in, op, op->getOperand(0), *x, over, experts);
  if (failed(axes))
    return failure();
  for (int64_t &axis : *axes)
    axis += x->lead();
  if (experts)
    axes->push_back(0);
  Value y = axes->empty() ? x->value : build(in.builder, in.loc(op), x->value, ArrayRef<int64_t>(*axes));
  in.set(op->getResult(0), {y, x->experts && !experts, x->batch});
  return success();
}

LogicalResult MeanOp::expand(Expander &in) {
  return reduce(in, *this, getAxesAttr(), [](OpBuilder &b, Location l, Value x, ArrayRef<int64_t> a) {
    return flow::mean(b, l, x, a);
  });
}
LogicalResult SumOp::expand(Expander &in) {
  return reduce(in, *this, getAxesAttr(),
                [](OpBuilder &b, Location l, Value x, ArrayRef<int64_t> a) { return flow::sum(b, l, x, a); });
}
LogicalResult VarianceOp::expand(Expander &in) {
  if (const Record *found = in.record(getX()))
    if (auto *t = std::get_if<Tensor>(&found->is); t && t->rank() == 0 && !getAxes()) {
      InFlightDiagnostic diag = emitError() << "expected at least one axis, found a number a sample";
      in.noteMade(diag, getX());
      return diag;
    }
  return reduce(in, *this, getAxesAttr(), [](OpBuilder &b, Location l, Value x, ArrayRef<int64_t> a) {
    return flow::variance(b, l, x, a);
  });
}
LogicalResult MaxOp::expand(Expander &in) {
  return reduce(in, *this, getAxesAttr(), [](OpBuilder &b, Location l, Value x, ArrayRef<int64_t> a) {
    return flow::reduce(b, l, flow::ReduceKind::max, x, a);
  });
}
