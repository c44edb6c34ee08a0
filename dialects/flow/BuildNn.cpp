// The composites of BuildNn.h. Shifts by a maximum are under stop_gradient: the result does not depend on the
// shift, so its derivative is zero and is not computed. The same holds of what norms and variances shift and
// scale by, so that their squares neither overflow nor vanish.
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/Emit.h"
#include <cmath>

using namespace mlir;

namespace flow {
namespace {

Value divideByCount(Emit e, Value sum, Value x, ArrayRef<int64_t> axes) {
  return e.div(sum, e.spread(e.count(x, axes), sum));
}

// x less its largest along the axis.
Value shifted(Emit e, Value x, int64_t axis) {
  return e.sub(x, e.spreadOver(e.stop(e.reduce(ReduceKind::max, x, axis)), x, axis));
}

// The mask of rows whose label is known: one of the classes.
Value known(Emit e, Value label, Extent classes) {
  Value mask = e.compare(Predicate::ge, label, 0.0);
  if (std::optional<int64_t> count = classes.constantValue())
    mask = e.both(mask, e.compare(Predicate::lt, label, double(*count)));
  return mask;
}

// How statistics are taken of x: one number for everything that is averaged together, a row.
struct Rows {
  Emit e;
  Value x;
  /// From x's shape to one number a row, and back.
  llvm::function_ref<Value(ReduceKind, Value)> reduce;
  llvm::function_ref<Value(Value)> spread;
  /// The elements of a row: tensor<f32>.
  Value count;

  Value mean(Value values) {
    Value sum = reduce(ReduceKind::sum, values);
    return e.div(sum, e.spread(count, sum));
  }
};

// A row is multiplied by `scale` where its largest magnitude is above `bound`, or below it where `bound` is
// less than 1. Scales are powers of two, so that nothing is rounded.
struct Level {
  double bound, scale;
};

// The rows, scaled and centred, and their statistics. Rows of ordinary magnitudes have the scale 1.
struct Centred {
  Value values;         // in x's shape
  Value variance;       // of the scaled row
  Value scale, inverse; // of each row
};

// The largest magnitude of each row.
Value largestOf(Rows rows) { return rows.e.stop(rows.reduce(ReduceKind::max, rows.e.unary<AbsOp>(rows.x))); }

// x is shifted by its mean, and what rounding has left of the mean is subtracted once more: a mean far from 0
// is rounded by more than the values' distances from it. Neither the scale nor the shift has a derivative:
// the first is undone by who asks for the rows, the second by the second mean.
Centred centre(Rows rows, ArrayRef<Level> levels) {
  Emit e = rows.e;
  Value largest = largestOf(rows);
  Value scale = e.constantLike(largest, 1), inverse = scale;
  for (auto [bound, factor] : levels) {
    Value applies = e.compare(bound > 1 ? Predicate::gt : Predicate::lt, largest, bound);
    scale = e.select(applies, e.constantLike(largest, factor), scale);
    inverse = e.select(applies, e.constantLike(largest, 1 / factor), inverse);
  }
  // The mean of the scaled row. The sum is taken of smaller numbers, so that it does not overflow.
  Value small = rows.mean(e.mul(rows.x, 0x1p-24));
  Value shift = e.stop(e.mul(small, e.mul(scale, 0x1p24)));
  Value distance = e.sub(e.mul(rows.x, rows.spread(scale)), rows.spread(shift));
  Value rest = rows.mean(distance);
  Value variance = e.sub(rows.mean(e.mul(distance, distance)), e.mul(rest, rest));
  // Rounding may make it a little less than 0.
  variance = e.add(variance, e.stop(e.maximum(e.neg(variance), e.zeros(variance.getType()))));
  return {e.sub(distance, rows.spread(rest)), variance, scale, inverse};
}

// 1 / sqrt(variance + eps) of rows whose variance and eps are scaled by the square of `1 / inverse`, times
// that. A row of equal values has eps alone to be divided by, which scaled might be too small a number; its
// variance has the derivative 0.
Value inverseDeviation(Emit e, Value variance, Value scaledEps, Value inverse, double eps) {
  Value equal = e.compare(Predicate::eq, variance, 0.0), one = e.constantLike(variance, 1);
  // What is multiplied by it is 0, which an infinity would turn into NaN.
  Value bound = e.constantLike(variance, 0x1p126);
  Value square = e.add(variance, e.stop(e.select(equal, one, scaledEps)));
  return e.mul(e.rsqrt(square),
               e.stop(e.select(equal, e.minimum(e.mul(inverse, 1 / std::sqrt(eps)), bound), one)));
}

// y * weight + bias, which go along `dims`.
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
  auto reduce = [&](ReduceKind kind, Value values) { return e.reduce(kind, values, axes); };
  auto spread = [&](Value statistic) { return e.spreadOver(statistic, x, axes); };
  Rows rows = {e, x, reduce, spread, e.count(x, axes)};
  // A finite variance is of distances below 2^64, whose squares these scales keep in range with room for
  // the gradient's.
  Centred c = centre(rows, {{0x1p48, 0x1p-24}, {0x1p88, 0x1p-60}, {0x1p-48, 0x1p24}});
  // Of the centred values, whose squares have the derivative 0 in a row of equal ones, however large.
  Value scaled = rows.mean(e.mul(c.values, c.values));
  if (unbiased)
    scaled = e.div(e.mul(scaled, e.spread(rows.count, scaled)), e.spread(e.sub(rows.count, 1), scaled));
  return e.mul(e.mul(scaled, c.inverse), c.inverse);
}

Value inverseNorm(OpBuilder &builder, Location location, Value x, ArrayRef<int64_t> axes, double eps) {
  Emit e{builder, location};
  Value squares = e.sum(e.mul(x, x), axes), floor = e.constantLike(squares, eps * eps);
  return e.rsqrt(e.select(e.compare(Predicate::lt, squares, floor), floor, squares));
}

Value normalize(OpBuilder &builder, Location location, Value x, ArrayRef<int64_t> axes, double eps) {
  Emit e{builder, location};
  return e.mul(x, e.spreadOver(inverseNorm(builder, location, x, axes, eps), x, axes));
}

Value logSquares(OpBuilder &builder, Location location, Value x, ArrayRef<int64_t> axes, double eps) {
  Emit e{builder, location};
  Value huge = e.compare(Predicate::gt, e.stop(e.reduce(ReduceKind::sum, e.unary<AbsOp>(x), axes)), 0x1p48);
  Value one = e.constant(withElement(huge.getType(), builder.getF32Type()), 1);
  Value scale = e.select(huge, e.constantLike(one, 0x1p-70), one);
  Value undone = e.select(huge, e.constantLike(one, 140 * std::log(2.0)), e.zeros(one.getType()));
  Value scaled = e.mul(x, e.spreadOver(scale, x, axes));
  Value sum = e.reduce(ReduceKind::sum, e.mul(scaled, scaled), axes);
  return e.add(e.log(e.add(sum, e.mul(e.mul(scale, eps), scale))), undone);
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
  return e.keep(known(e, label, Extent::of(scores, axis)), row);
}

Value meanOverKnown(OpBuilder &builder, Location location, Value rows, Value label, Extent classes) {
  Emit e{builder, location};
  Value mask = known(e, label, classes);
  Value count = e.sumAll(e.toFloat(mask));
  return e.div(e.sumAll(e.keep(mask, rows)), e.maximum(count, e.scalar(1)));
}

Value crossEntropy(OpBuilder &builder, Location location, Value scores, Value label) {
  return meanOverKnown(builder, location, crossEntropyRows(builder, location, scores, label), label,
                       Extent::of(scores, Emit::rankOf(scores) - 1));
}

Value layerNorm(OpBuilder &builder, Location location, Value x, Value weight, Value bias, double eps,
                int64_t count) {
  Emit e{builder, location};
  if (weight || bias)
    count = Emit::rankOf(weight ? weight : bias);
  SmallVector<int64_t> axes;
  for (int64_t axis = Emit::rankOf(x) - count; axis < Emit::rankOf(x); ++axis)
    axes.push_back(axis);
  auto reduce = [&](ReduceKind kind, Value values) { return e.reduce(kind, values, axes); };
  auto spread = [&](Value statistic) { return e.spreadOver(statistic, x, axes); };
  SmallVector<Level> levels = {{0x1p48, 0x1p-80}};
  // The variance of smaller rows is nothing beside any larger eps.
  if (eps < 0x1p-70)
    levels.push_back({0x1p-48, 0x1p64});
  Centred c = centre({e, x, reduce, spread, e.count(x, axes)}, levels);
  Value scaledEps = e.mul(e.mul(c.scale, eps), c.scale);
  Value y = e.mul(c.values, spread(inverseDeviation(e, c.variance, scaledEps, c.inverse, eps)));
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
  auto reduce = [&](ReduceKind kind, Value values) {
    return e.reduce(kind, e.reshape(e.reduce(kind, values, image), perGroup), 2);
  };
  // [B, groups] to [B, C], and that to all elements
  auto toChannels = [&](Value statistic) {
    return e.reshape(e.broadcast(statistic, perGroup, {0, 1}), perChannel);
  };
  auto spread = [&](Value statistic) { return e.spreadOver(toChannels(statistic), x, image); };
  Rows rows = {e, x, reduce, spread, e.div(e.count(x, all), e.scalar(double(groups)))};
  // Only the squares of huge distances are scaled, since images are large and a scale of all values would cost every
  // pass over them. A sum of magnitudes is quicker than their maximum, which has to look for NaN, and as good a sign. A
  // scale that is a constant would not do: squares of ordinary distances would be subnormal, which processors are slow at.
  Value huge = e.compare(Predicate::gt, e.stop(rows.reduce(ReduceKind::sum, e.unary<AbsOp>(x))), 0x1p48);
  Value one = e.constant(withElement(huge.getType(), builder.getF32Type()), 1);
  Value scale = e.select(huge, e.constantLike(one, 0x1p-70), one);
  Value inverse = e.select(huge, e.constantLike(one, 0x1p70), one);
  Value distance = e.sub(x, spread(rows.mean(x)));
  Value scaled = e.mul(distance, spread(scale));
  // What rounding has left of the mean; it has no derivative, as in centre. It is subtracted together with the bias.
  Value rest = e.stop(rows.mean(distance));
  Value scaledRest = e.mul(rest, scale);
  Value variance = e.sub(rows.mean(e.mul(scaled, scaled)), e.stop(e.mul(scaledRest, scaledRest)));
  variance = e.add(variance, e.stop(e.maximum(e.neg(variance), e.zeros(variance.getType()))));
  Value scaledEps = e.mul(e.mul(scale, eps), scale);
  Value gain = toChannels(e.mul(inverseDeviation(e, variance, scaledEps, inverse, eps), scale));
  if (weight)
    gain = e.mul(gain, e.broadcast(weight, perChannel, 1));
  Value shift = e.neg(e.mul(toChannels(rest), gain));
  if (bias)
    shift = e.add(shift, e.broadcast(bias, perChannel, 1));
  return e.add(e.mul(distance, e.spreadOver(gain, x, image)), e.spreadOver(shift, x, image));
}

} // namespace flow
