// The composites of BuildNn.h. Shifts by a maximum are under stop_gradient: the result does not depend on the
// shift, so its derivative is zero and is not computed.
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/Emit.h"

using namespace mlir;

namespace flow {
namespace {

Value divideByCount(Emit e, Value sum, Value x, ArrayRef<int64_t> axes, bool unbiased = false) {
  Value count = e.count(x, axes);
  return e.div(sum, e.spread(unbiased ? e.sub(count, 1) : count, sum));
}

// x less its largest along the axis.
Value shifted(Emit e, Value x, int64_t axis) {
  return e.sub(x, e.spreadOver(e.stop(e.reduce(ReduceKind::max, x, axis)), x, axis));
}

// The mask of rows whose label is known.
Value known(Emit e, Value label) { return e.compare(Predicate::ge, label, 0.0); }

// gain * (x - mean) / sqrt(variance + eps) + bias, where the statistics lack `axes` and gain and bias go
// along `dims`.
Value affine(Emit e, Value y, Value weight, Value bias, ArrayRef<int64_t> dims) {
  if (weight)
    y = e.mul(y, e.broadcast(weight, y.getType(), dims));
  if (bias)
    y = e.add(y, e.broadcast(bias, y.getType(), dims));
  return y;
}

} // namespace

Value mean(OpBuilder &builder, Location location, Value x, ArrayRef<int64_t> axes) {
  Emit e{builder, location};
  return divideByCount(e, e.sum(x, axes), x, axes);
}

Value variance(OpBuilder &builder, Location location, Value x, ArrayRef<int64_t> axes, bool unbiased) {
  Emit e{builder, location};
  Value distance = e.sub(x, e.spreadOver(mean(builder, location, x, axes), x, axes));
  return divideByCount(e, e.sum(e.mul(distance, distance), axes), x, axes, unbiased);
}

Value logSumExp(OpBuilder &builder, Location location, Value x, int64_t axis) {
  Emit e{builder, location};
  Value largest = e.stop(e.reduce(ReduceKind::max, x, axis));
  Value sum = e.sum(e.exp(e.sub(x, e.spreadOver(largest, x, axis))), axis);
  return e.add(e.log(sum), largest);
}

Value softmax(OpBuilder &builder, Location location, Value x, int64_t axis) {
  Emit e{builder, location};
  Value power = e.exp(shifted(e, x, axis));
  return e.div(power, e.spreadOver(e.sum(power, axis), x, axis));
}

Value logSoftmax(OpBuilder &builder, Location location, Value x, int64_t axis) {
  Emit e{builder, location};
  Value shift = shifted(e, x, axis);
  return e.sub(shift, e.spreadOver(e.log(e.sum(e.exp(shift), axis)), x, axis));
}

Value crossEntropyRows(OpBuilder &builder, Location location, Value scores, Value label) {
  Emit e{builder, location};
  int64_t axis = Emit::rankOf(scores) - 1;
  Value shift = shifted(e, scores, axis);
  auto classes = withElement(scores.getType(), builder.getI32Type());
  Value chosen = e.compare(Predicate::eq, IotaOp::create(builder, location, classes, uint64_t(axis)),
                           e.spreadOver(label, scores, axis));
  Value row = e.sub(e.log(e.sum(e.exp(shift), axis)), e.sum(e.keep(chosen, shift), axis));
  return e.keep(known(e, label), row);
}

Value meanOverKnown(OpBuilder &builder, Location location, Value rows, Value label) {
  Emit e{builder, location};
  Value mask = known(e, label);
  Value count = e.sumAll(e.toFloat(mask));
  return e.div(e.sumAll(e.keep(mask, rows)), e.maximum(count, e.scalar(1)));
}

Value crossEntropy(OpBuilder &builder, Location location, Value scores, Value label) {
  return meanOverKnown(builder, location, crossEntropyRows(builder, location, scores, label), label);
}

Value layerNorm(OpBuilder &builder, Location location, Value x, Value weight, Value bias, double eps,
                int64_t count) {
  Emit e{builder, location};
  if (weight || bias)
    count = Emit::rankOf(weight ? weight : bias);
  SmallVector<int64_t> axes;
  for (int64_t axis = Emit::rankOf(x) - count; axis < Emit::rankOf(x); ++axis)
    axes.push_back(axis);
  Value distance = e.sub(x, e.spreadOver(mean(builder, location, x, axes), x, axes));
  Value spread = divideByCount(e, e.sum(e.mul(distance, distance), axes), x, axes);
  Value y = e.mul(distance, e.spreadOver(e.rsqrt(e.add(spread, eps)), x, axes));
  return affine(e, y, weight, bias, axes);
}

// Statistics are summed over the image first, per channel, and only then over a group's channels: the rank-4
// values keep their shape.
Value groupNorm(OpBuilder &builder, Location location, Value x, Value weight, Value bias, int64_t groups,
                double eps) {
  Emit e{builder, location};
  int64_t rank = Emit::rankOf(x);
  Extent batch = Extent::of(x, 0), channels = Extent::of(x, 1);
  int64_t each = *channels.constantValue() / groups;
  SmallVector<int64_t> image, all = {1};
  for (int64_t axis = 2; axis < rank; ++axis) {
    image.push_back(axis);
    all.push_back(axis);
  }
  MLIRContext *context = builder.getContext();
  auto perChannel = tensorType({batch, channels}, builder.getF32Type());
  auto perGroup = tensorType({batch, Extent::constant(context, groups), Extent::constant(context, each)},
                             builder.getF32Type());
  Value size = e.count(x, all);
  auto groupMean = [&](Value values) {
    Value sum = e.sum(e.reshape(e.sum(values, image), perGroup), 2);
    return e.div(sum, e.div(e.spread(size, sum), e.constantLike(sum, double(groups))));
  };
  // [B, groups] to [B, C]
  auto toChannels = [&](Value statistic) {
    return e.reshape(e.broadcast(statistic, perGroup, {0, 1}), perChannel);
  };
  Value distance = e.sub(x, e.spreadOver(toChannels(groupMean(x)), x, image));
  Value rstd = e.rsqrt(e.add(groupMean(e.mul(distance, distance)), eps));
  Value gain = toChannels(rstd);
  if (weight)
    gain = e.mul(gain, e.broadcast(weight, perChannel, 1));
  return affine(e, e.mul(distance, e.spreadOver(gain, x, image)), {}, bias, 1);
}

} // namespace flow
