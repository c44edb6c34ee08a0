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
  int64_t count = 1;
  for (ExprAttr e : getShape().positional()) {
    FailureOr<int64_t> extent = in.env().positive(*this, e, "an axis");
    if (failed(extent))
      return failure();
    extents.push_back(fixed(*this, *extent));
    if (llvm::MulOverflow(count, *extent, count))
      return emitError() << "expected a shape whose size fits into 64 bits, found '" << getShape().str()
                         << "'";
  }
  if (count != elements(x->sample()))
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
  for (Tensor &t : list) {
    lead.experts |= t.experts;
    lead.batch |= t.batch;
  }
  if (lead.experts)
    for (Tensor &t : list)
      if (t.experts && front.empty())
        front.push_back(flow::Extent::of(t.value, 0));
  if (lead.batch)
    front.push_back(flow::Extent::batch(op->getContext()));
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
  FailureOr<Tensor> a = in.tensor(*this, getA()), c = in.tensor(*this, getB());
  if (failed(a) || failed(c))
    return failure();
  Tensor both[] = {*a, *c};
  // A token written with a batch axis of its own, [1, 1, dim], gives that axis up beside a batch.
  if (c->batch && !a->lead() && a->rank() == c->rank() + 1 && a->sample().front() == 1) {
    SmallVector<flow::Extent> extents = flow::extentsOf(a->value);
    extents.erase(extents.begin());
    both[0].value = flow::reshape(in.builder, in.loc(*this), a->value, extents);
  }
  if (c->rank() != 2)
    return wrongShape(in, *this, getB(), *c, "tokens [tokens, features]");
  return join(in, *this, both, getOperands(), 0);
}

LogicalResult MatmulOp::expand(Expander &in) {
  FailureOr<Tensor> a = in.tensor(*this, getA()), c = in.tensor(*this, getB());
  if (failed(a) || failed(c))
    return failure();
  ArrayRef<int64_t> left = a->sample(), right = c->sample();
  bool fits = left.size() >= 2 && left.size() == right.size() && left.back() == right[right.size() - 2] &&
              left.drop_back(2) == right.drop_back(2);
  if (!fits) {
    InFlightDiagnostic diag = emitError()
                              << "expected matrices [.., m, k] and [.., k, n] with equal leading axes, found "
                              << shapeText(*a) << " and " << shapeText(*c);
    in.noteMade(diag, getA());
    in.noteMade(diag, getB());
    return diag;
  }
  // Labels: experts 0, batch 1, leading axes from 2, then m, k, n.
  SmallVector<int64_t> aAxes, bAxes, out;
  int64_t m = 2 + int64_t(left.size()), k = m + 1, n = m + 2;
  auto lead = [](const Tensor &t, SmallVectorImpl<int64_t> &axes) {
    if (t.experts)
      axes.push_back(0);
    if (t.batch)
      axes.push_back(1);
  };
  Tensor y = joined({}, *a, *c);
  lead(*a, aAxes);
  lead(*c, bAxes);
  lead(y, out);
  for (size_t i = 0; i + 2 < left.size(); ++i)
    for (auto *axes : {&aAxes, &bAxes, &out})
      axes->push_back(2 + i);
  aAxes.append({m, k});
  bAxes.append({k, n});
  out.append({m, n});
  y.value = flow::contract(in.builder, in.loc(*this), a->value, aAxes, c->value, bAxes, out);
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
