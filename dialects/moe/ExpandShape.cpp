// Ops that move elements: shapes, slices, tokens, windows, products of matrices. Axes are a sample's; the
// leading axes of experts and batch are kept in front.
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"
#include <numeric>

using namespace mlir;
using namespace moe;

/// Reports what a sample's shape should have been.
static InFlightDiagnostic wrongShape(Expander &in, Operation *op, Value source, const Tensor &x,
                                     const Twine &expected) {
  InFlightDiagnostic diag = op->emitError() << "expected " << expected << ", found " << shapeText(x);
  in.noteMade(diag, source);
  return diag;
}

static SmallVector<flow::Extent> leading(const Tensor &x) {
  SmallVector<flow::Extent> extents = flow::extentsOf(x.value);
  extents.resize(x.lead());
  return extents;
}

static flow::Extent fixed(Operation *op, int64_t value) {
  return flow::Extent::constant(op->getContext(), value);
}

static int64_t elements(ArrayRef<int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<int64_t>());
}

FailureOr<int64_t> moe::axisOf(Expander &in, Operation *op, Value source, const Tensor &x, ExprAttr e) {
  int64_t rank = x.rank(), axis = -1;
  if (e) {
    FailureOr<int64_t> given = in.env().size(op, e);
    if (failed(given))
      return failure();
    axis = *given;
  }
  if (axis < -rank || axis >= rank)
    return wrongShape(in, op, source, x,
                      "an axis from " + Twine(-rank) + " to " + Twine(rank - 1) + " of the sample, not " +
                          Twine(axis));
  return axis < 0 ? axis + rank : axis;
}

LogicalResult moe::expandAlong(Expander &in, Operation *op, Value source, ExprAttr axis,
                               function_ref<Value(Value, int64_t)> build) {
  FailureOr<Tensor> x = in.tensor(op, source);
  if (failed(x))
    return failure();
  FailureOr<int64_t> along = axisOf(in, op, source, *x, axis);
  if (failed(along))
    return failure();
  in.set(op->getResult(0), {build(x->value, x->lead() + *along), x->experts, x->batch});
  return success();
}

LogicalResult FlattenOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  SmallVector<flow::Extent> extents = leading(*x);
  extents.push_back(fixed(*this, elements(x->sample())));
  in.set(getY(), {flow::reshape(in.builder, in.loc(*this), x->value, extents), x->experts, x->batch});
  return success();
}

LogicalResult ReshapeOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (getShape().getKind() != ExprKind::List)
    return emitError() << "expected a shape such as [4, dim / 4], found '" << getShape().str() << "'";
  SmallVector<flow::Extent> extents = leading(*x);
  int64_t count = 1, all = elements(x->sample());
  std::optional<size_t> rest; // the axis whose size is -1
  for (ExprAttr e : getShape().positional()) {
    if (e.getKind() == ExprKind::Number && e.getText() == "-1") {
      if (rest)
        return emitError() << "expected one size of -1 in a shape, found two in '" << getShape().str() << "'";
      rest = extents.size();
      extents.push_back(fixed(*this, 1));
      continue;
    }
    FailureOr<int64_t> extent = in.env().positive(*this, e, "an axis");
    if (failed(extent))
      return failure();
    extents.push_back(fixed(*this, *extent));
    if (llvm::MulOverflow(count, *extent, count))
      return emitError() << "expected a shape whose size fits into 64 bits, found '" << getShape().str()
                         << "'";
  }
  if (rest && all % count)
    return wrongShape(in, *this, getX(), *x,
                      "a multiple of " + Twine(count) + " elements a sample for '" + getShape().str() + "'");
  if (rest)
    extents[*rest] = fixed(*this, all / count);
  else if (count != all)
    return wrongShape(in, *this, getX(), *x,
                      "a value of " + Twine(count) + " elements a sample, as '" + getShape().str() + "' has");
  in.set(getY(), {flow::reshape(in.builder, in.loc(*this), x->value, extents), x->experts, x->batch});
  return success();
}

LogicalResult TransposeOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  SmallVector<int64_t> order;
  for (unsigned i = 0; i < x->lead(); ++i)
    order.push_back(i);
  if (getOrder().getKind() == ExprKind::List)
    for (ExprAttr e : getOrder().positional()) {
      FailureOr<int64_t> axis = in.env().size(*this, e);
      if (failed(axis))
        return failure();
      order.push_back(*axis + x->lead());
    }
  SmallVector<int64_t> sorted(order), all(x->lead() + x->rank());
  std::iota(all.begin(), all.end(), 0);
  llvm::sort(sorted);
  if (sorted != all)
    return wrongShape(in, *this, getX(), *x,
                      "an order that names each axis of the sample once, not '" + getOrder().str() + "'");
  in.set(getY(), {flow::transpose(in.builder, in.loc(*this), x->value, order), x->experts, x->batch});
  return success();
}

LogicalResult SliceOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  FailureOr<int64_t> axis = axisOf(in, *this, getX(), *x, getAxisAttr());
  FailureOr<int64_t> start = in.env().size(*this, getStart()),
                     size = in.env().positive(*this, getSize(), "'size'");
  FailureOr<int64_t> step =
      getStep() ? in.env().positive(*this, *getStep(), "'step'") : FailureOr<int64_t>(1);
  if (failed(axis) || failed(start) || failed(size) || failed(step))
    return failure();
  int64_t extent = x->sample()[*axis];
  if (*start < 0 || *start >= extent || (*size - 1) > (extent - 1 - *start) / *step)
    return wrongShape(in, *this, getX(), *x,
                      Twine(*size) + " elements from " + Twine(*start) + " by " + Twine(*step) +
                          " within axis " + Twine(*axis) + " of " + Twine(extent));
  SmallVector<flow::Extent> extents = flow::extentsOf(x->value);
  SmallVector<int64_t> starts(extents.size(), 0), strides(extents.size(), 1);
  extents[x->lead() + *axis] = fixed(*this, *size);
  starts[x->lead() + *axis] = *start;
  strides[x->lead() + *axis] = *step;
  in.set(getY(),
         {flow::slice(in.builder, in.loc(*this), x->value, starts, strides, extents), x->experts, x->batch});
  return success();
}

LogicalResult TakeOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  FailureOr<int64_t> token = in.env().size(*this, getToken());
  if (failed(x) || failed(token))
    return failure();
  if (x->rank() < 2)
    return wrongShape(in, *this, getX(), *x, "tokens [tokens, features]");
  int64_t extent = x->sample()[0], at = *token < 0 ? *token + extent : *token;
  if (at < 0 || at >= extent)
    return wrongShape(in, *this, getX(), *x,
                      "a token from 0 to " + Twine(extent - 1) + ", not " + Twine(*token));
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  Value one = flow::slice(b, loc, x->value, x->lead(), at, fixed(*this, 1));
  SmallVector<flow::Extent> extents = flow::extentsOf(one);
  extents.erase(extents.begin() + x->lead());
  in.set(getY(), {flow::reshape(b, loc, one, extents), x->experts, x->batch});
  return success();
}

/// Joins along a sample's axis; values without a batch or expert axis are repeated along it.
static LogicalResult join(Expander &in, Operation *op, MutableArrayRef<Tensor> list, ValueRange sources,
                          int64_t axis) {
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  Tensor lead{};
  SmallVector<flow::Extent> front;
  if (llvm::any_of(list, [](const Tensor &t) { return t.batch; }))
    for (Tensor &t : list)
      t = byRow(in, op, t);
  for (Tensor &t : list) {
    lead.experts |= t.experts;
    lead.batch |= t.batch;
  }
  if (lead.experts)
    for (Tensor &t : list)
      if (t.experts && front.empty())
        front.push_back(flow::Extent::of(t.value, 0));
  if (lead.batch)
    front.push_back(in.batch());
  SmallVector<Value> values;
  for (auto [i, t] : llvm::enumerate(list)) {
    bool fits = t.rank() == list[0].rank();
    for (unsigned d = 0; fits && d < t.rank(); ++d)
      fits = int64_t(d) == axis || t.sample()[d] == list[0].sample()[d];
    if (!fits) {
      InFlightDiagnostic diag = op->emitError()
                                << "expected equal sizes in every axis but " << axis << ", found "
                                << shapeText(list[0]) << " and " << shapeText(t);
      in.noteMade(diag, sources[0]);
      in.noteMade(diag, sources[i]);
      return diag;
    }
    SmallVector<flow::Extent> extents(front), own = flow::extentsOf(t.value);
    SmallVector<int64_t> dims;
    if (t.experts)
      dims.push_back(0);
    if (t.batch)
      dims.push_back(lead.experts ? 1 : 0);
    for (unsigned d = 0; d < t.rank(); ++d) {
      dims.push_back(extents.size());
      extents.push_back(own[t.lead() + d]);
    }
    values.push_back(flow::broadcast(b, loc, t.value, extents, dims));
  }
  lead.value = flow::concat(b, loc, values, int64_t(front.size()) + axis);
  in.set(op->getResult(0), lead);
  return success();
}

LogicalResult ConcatOp::expand(Expander &in) {
  if (getX().empty())
    return emitError() << "expected at least one value to concatenate";
  SmallVector<Tensor> list;
  for (Value x : getX()) {
    FailureOr<Tensor> t = in.tensor(*this, x);
    if (failed(t))
      return failure();
    list.push_back(*t);
  }
  FailureOr<int64_t> axis = axisOf(in, *this, getX()[0], list[0], getAxisAttr());
  return failed(axis) ? failure() : join(in, *this, list, getX(), *axis);
}

LogicalResult PrependOp::expand(Expander &in) {
  SmallVector<Tensor> list;
  for (Value x : getX()) {
    FailureOr<Tensor> t = in.tensor(*this, x);
    if (failed(t))
      return failure();
    list.push_back(*t);
  }
  if (list.empty() || list.back().rank() != 2)
    return list.empty() ? LogicalResult(emitError() << "expected at least two values, found none")
                        : wrongShape(in, *this, getX().back(), list.back(), "tokens [tokens, features]");
  giveUpOwnBatch(in, *this, list);
  return join(in, *this, list, getX(), 0);
}

/// Takes out axis `axis` of a sample, which has extent 1.
static void drop(Expander &in, Operation *op, Tensor &x, unsigned axis) {
  SmallVector<flow::Extent> extents = flow::extentsOf(x.value);
  extents.erase(extents.begin() + x.lead() + axis);
  x.value = flow::reshape(in.builder, in.loc(op), x.value, extents);
}

LogicalResult MatmulOp::expand(Expander &in) {
  FailureOr<Tensor> a = in.tensor(*this, getA()), c = in.tensor(*this, getB());
  if (failed(a) || failed(c))
    return failure();
  auto wrong = [&](const Twine &expected) {
    InFlightDiagnostic diag = emitError() << "expected " << expected << ", found " << shapeText(*a) << " and "
                                          << shapeText(*c);
    in.noteMade(diag, getA());
    in.noteMade(diag, getB());
    return diag;
  };
  if (a->rank() == 0 || c->rank() == 0)
    return wrong("matrices or vectors; 'mul' multiplies by a number a sample");
  Tensor both[] = {*a, *c};
  if (a->rank() > 2 || c->rank() > 2)
    giveUpOwnBatch(in, *this, both);
  // How many axes of each come before those that are multiplied.
  bool row = both[0].rank() == 1, column = both[1].rank() == 1;
  unsigned before[] = {both[0].rank() - (row ? 1 : 2), both[1].rank() - (column ? 1 : 2)};
  if (both[0].last() != both[1].sample()[before[1]])
    return wrong("matrices [.., m, k] and [.., k, n], or vectors [k] in their place");
  // Labels: experts 0, batch 1, then the axes before, of which the last are of one label, then m, k, n.
  int64_t count = std::max(before[0], before[1]), m = 2 + count, k = m + 1, n = m + 2;
  Tensor y = joined(in, {}, both[0], both[1]);
  SmallVector<int64_t> labels[2], out;
  auto lead = [](const Tensor &t, SmallVectorImpl<int64_t> &axes) {
    if (t.experts)
      axes.push_back(0);
    if (t.batch)
      axes.push_back(1);
  };
  lead(y, out);
  for (int64_t i = 0; i < count; ++i)
    out.push_back(2 + i);
  for (int side : {0, 1})
    lead(both[side], labels[side]);
  for (int64_t i = 0; i < count; ++i) {
    // The place of axis i in each, and its extent; negative where it is missing.
    int64_t at[2], extent[2] = {1, 1};
    for (int side : {0, 1})
      if ((at[side] = i - count + before[side]) >= 0)
        extent[side] = both[side].sample()[at[side]];
    if (extent[0] != extent[1] && extent[0] != 1 && extent[1] != 1)
      return wrong("equal sizes, or 1, in the axes before those that are multiplied");
    for (int side : {0, 1}) {
      if (at[side] < 0)
        continue;
      // What is 1 here alone has no part in the label.
      if (extent[side] == 1 && at[1 - side] >= 0 && extent[1 - side] != 1) {
        drop(in, *this, both[side], at[side]);
        --before[side];
      } else {
        labels[side].push_back(2 + i);
      }
    }
  }
  if (!row)
    labels[0].push_back(m), out.push_back(m);
  labels[0].push_back(k);
  labels[1].push_back(k);
  if (!column)
    labels[1].push_back(n), out.push_back(n);
  // A row of its own expert's matrix; the result has the row's axis alone.
  if (in.weights.rows && y.batch && both[0].experts != both[1].experts)
    y.value = flow::groupedContract(in.builder, in.loc(*this), both[0].value, labels[0], both[1].value,
                                    labels[1], in.weights.rows->offsets, out, 1, 0);
  else
    y.value =
        flow::contract(in.builder, in.loc(*this), both[0].value, labels[0], both[1].value, labels[1], out);
  in.set(getY(), y);
  return success();
}

/// Windows of an image: [B, c, oh, ow, k, k].
static FailureOr<Value> windows(Expander &in, Operation *op, Value source, ExprAttr kernel, ExprAttr stride,
                                ExprAttr pad, int64_t strideOr, double outside) {
  FailureOr<Tensor> x = in.tensor(op, source);
  if (failed(x))
    return failure();
  FailureOr<WindowShape> shape = windowShape(in, op, source, *x, kernel, stride, pad, strideOr, 0);
  if (failed(shape))
    return failure();
  if (x->experts)
    return refuseExperts(in, op);
  return flow::window(in.builder, in.loc(op), x->value, {shape->kernel, shape->kernel},
                      {shape->stride, shape->stride}, SmallVector<int64_t>(4, shape->pad), outside);
}

LogicalResult UnfoldOp::expand(Expander &in) {
  FailureOr<Value> all = windows(in, *this, getX(), getKernel(), getStrideAttr(), getPadAttr(), 1, 0);
  if (failed(all))
    return failure();
  in.set(getY(), {*all, false, true});
  return success();
}

LogicalResult MaxPoolOp::expand(Expander &in) {
  FailureOr<Value> all = windows(in, *this, getX(), getKernel(), getStrideAttr(), getPadAttr(), 0,
                                 -double(std::numeric_limits<float>::infinity()));
  if (failed(all))
    return failure();
  in.set(getY(), {flow::reduce(in.builder, in.loc(*this), flow::ReduceKind::max, *all, {4, 5}), false, true});
  return success();
}

LogicalResult MeanPoolOp::expand(Expander &in) {
  FailureOr<Value> all = windows(in, *this, getX(), getKernel(), getStrideAttr(), getPadAttr(), 0, 0);
  if (failed(all))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  int64_t kernel = flow::typeOf(*all).getDimSize(4);
  Value sum = flow::sum(b, loc, *all, {4, 5});
  in.set(getY(), {flow::mul(b, loc, sum, 1.0 / double(kernel * kernel)), false, true});
  return success();
}
