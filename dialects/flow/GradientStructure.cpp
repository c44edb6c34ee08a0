// Gradient rules of the ops that move elements: views, reductions, gathering, windows. Each rule is the
// adjoint of a linear map, so the pairs broadcast/reduce, slice/pad, gather/scatter_add and window/window_sum
// are closed under differentiation of any order.
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"

using namespace mlir;

namespace flow {
namespace {
/// A number for each element, in row-major order along `axes` (those of no constant size before the others).
/// All elements that differ along those axes alone differ in it.
Value positions(Emit e, Value x, ArrayRef<int64_t> axes) {
  SmallVector<int64_t> order(axes);
  auto isConstant = [&](int64_t axis) { return Extent::of(x, axis).constantValue().has_value(); };
  llvm::sort(order,
             [&](int64_t l, int64_t r) { return std::pair(isConstant(l), l) < std::pair(isConstant(r), r); });
  Type type = withElement(x.getType(), e.b.getI32Type());
  Value place;
  for (int64_t axis : order) {
    if (place) {
      Extent extent = Extent::of(x, axis);
      auto constant = extent.constantValue();
      Type number = RankedTensorType::get({}, e.b.getI32Type());
      place = e.mul(place, constant ? e.constant(type, double(*constant))
                                    : e.spread(ConvertOp::create(e.b, e.loc, number, e.count(x, {axis})), x));
    }
    Value along = IotaOp::create(e.b, e.loc, type, axis);
    place = place ? e.add(place, along) : along;
  }
  return place;
}
} // namespace

LogicalResult BroadcastOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.push_back({});
  Value dy = upstream[0];
  if (!dy)
    return success();
  // Copies were made along axes that the operand lacks, and along its axes of extent 1.
  SmallVector<int64_t> kept;
  for (auto [axis, dim] : llvm::enumerate(getDims()))
    if (Extent::of(getX(), axis) == Extent::of(dy, dim))
      kept.push_back(dim);
  Value sum = e.sum(dy, otherAxes(Emit::rankOf(dy), kept));
  gradients[0] = e.reshape(sum, getX().getType());
  return success();
}

LogicalResult ReshapeOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.push_back(upstream[0] ? e.reshape(upstream[0], getX().getType()) : Value());
  return success();
}

LogicalResult TransposeOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    SmallVector<int64_t> inverse(getPerm().size());
    for (auto [to, from] : llvm::enumerate(getPerm()))
      inverse[from] = int64_t(to);
    gradients[0] = TransposeOp::create(builder, getLoc(), getX().getType(), dy, inverse);
  }
  return success();
}

LogicalResult SliceOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    SmallVector<int64_t> interior;
    for (int64_t stride : getStrides())
      interior.push_back(stride - 1);
    gradients[0] =
        PadOp::create(builder, getLoc(), getX().getType(), dy, getStarts(), interior, APFloat(0.0));
  }
  return success();
}

LogicalResult PadOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    SmallVector<int64_t> strides;
    for (int64_t interior : getInterior())
      strides.push_back(interior + 1);
    gradients[0] = SliceOp::create(builder, getLoc(), getX().getType(), dy, getLow(), strides);
  }
  return success();
}

LogicalResult ConcatOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(getXs().size(), {});
  Value dy = upstream[0];
  if (!dy)
    return success();
  int64_t rank = Emit::rankOf(dy), axis = getAxis();
  SmallVector<int64_t> starts(rank, 0), strides(rank, 1);
  for (auto [i, x] : llvm::enumerate(getXs())) {
    gradients[i] = SliceOp::create(builder, getLoc(), x.getType(), dy, starts, strides);
    // Only the last operand's extent may be an expression, and nothing starts behind it.
    starts[axis] += Extent::of(x, axis).constantValue().value_or(0);
  }
  return success();
}

LogicalResult ReduceOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  gradients.push_back({});
  Value dy = upstream[0], x = getX();
  if (!dy)
    return success();
  if (getKind() == ReduceKind::sum || getAxes().empty()) {
    gradients[0] = e.spreadOver(dy, x, getAxes());
    return success();
  }
  // The first element that is the extremum gets its gradient, as torch.max and max pooling do it.
  Value extreme = e.compare(Predicate::eq, x, e.spreadOver(getY(), x, getAxes()));
  Value place = positions(e, x, getAxes());
  Value first =
      e.reduce(ReduceKind::min, e.select(extreme, place, e.constantLike(place, INT32_MAX)), getAxes());
  Value chosen = e.compare(Predicate::eq, place, e.spreadOver(first, x, getAxes()));
  gradients[0] = e.keep(e.both(extreme, chosen), e.spreadOver(dy, x, getAxes()));
  return success();
}

LogicalResult GatherOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0]; dy && isa<FloatType>(elementOf(getTable())))
    gradients[0] = ScatterAddOp::create(builder, getLoc(), getTable().getType(), getIndex(), dy);
  return success();
}

LogicalResult ScatterAddOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    gradients[1] = GatherOp::create(builder, getLoc(), getRows().getType(), dy, getIndex());
  return success();
}

SmallVector<Value> ScatterAddOp::decompose(OpBuilder &builder) {
  Location loc = getLoc();
  Extent places = elementsOf(getIndex().getType());
  Value index = flow::reshape(builder, loc, getIndex(), {places});
  SmallVector<Extent> row{places};
  llvm::append_range(row, ArrayRef(extentsOf(getY())).drop_front());
  Value rows = flow::reshape(builder, loc, getRows(), row);
  auto sort = flow::countingSort(builder, loc, index, Extent::of(getY(), 0));
  return {flow::segmentSum(builder, loc, flow::gather(builder, loc, rows, sort.order), sort.offsets)};
}

// A row gets the gradients of all segments that it is in, found by comparing each with each: segments may overlap.
// scatter_add, whose segments do not, has a rule of its own.
LogicalResult SegmentSumOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  Value dy = upstream[0];
  if (!dy)
    return success();
  Emit e{builder, getLoc()};
  Extent rows = Extent::of(getRows(), 0), count = Extent::of(getY(), 0);
  auto pairs = tensorType({rows, count}, builder.getI32Type());
  Value row = IotaOp::create(builder, getLoc(), pairs, 0);
  auto offset = [&](int64_t from) {
    return e.broadcast(flow::slice(builder, getLoc(), getOffsets(), 0, from, count), pairs, {1});
  };
  Value begun = e.compare(Predicate::le, offset(0), row), open = e.compare(Predicate::lt, row, offset(1));
  SmallVector<int64_t> from{1}, to{0};
  for (int64_t axis = 1; axis < e.rankOf(dy); ++axis)
    from.push_back(axis + 1), to.push_back(axis + 1);
  gradients[0] = flow::contract(builder, getLoc(), e.toFloat(e.both(begun, open)), {0, 1}, dy, from, to);
  return success();
}

LogicalResult WindowOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back({});
  if (Value dy = upstream[0])
    gradients[0] = WindowSumOp::create(builder, getLoc(), getX().getType(), dy, getStrides(), getPads());
  return success();
}

LogicalResult WindowSumOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.push_back({});
  if (Value dy = upstream[0]) {
    SmallVector<int64_t> size;
    for (unsigned axis : {4u, 5u})
      size.push_back(*Extent::of(getX(), axis).constantValue());
    gradients[0] = WindowOp::create(builder, getLoc(), getX().getType(), dy, size, getStrides(), getPads(),
                                    APFloat(0.0));
  }
  return success();
}

} // namespace flow
