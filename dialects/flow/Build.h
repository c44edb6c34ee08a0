// Builders of flow's ops that infer the result's type. Builders of binary ops broadcast their operands as
// numpy does, last axes aligned, by explicit `broadcast` ops. Shapes that do not fit are a mistake of the
// caller and end in an assert, so a caller that gets shapes from users has to check them first, with
// `broadcastExtents`.
#pragma once
#include "dialects/flow/Flow.h"

namespace flow {

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using Axes = llvm::ArrayRef<int64_t>;
using Extents = llvm::ArrayRef<Extent>;

inline mlir::RankedTensorType typeOf(Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}
inline int64_t rankOf(Value value) { return typeOf(value).getRank(); }
inline mlir::Type elementOf(Value value) { return typeOf(value).getElementType(); }

// generators
/// A splat of a tensor type.
Value constant(OpBuilder &builder, Location location, double value, mlir::Type type);
/// A tensor<f32>.
Value number(OpBuilder &builder, Location location, double value);
Value zerosLike(OpBuilder &builder, Location location, Value like);
Value onesLike(OpBuilder &builder, Location location, Value like);
Value iota(OpBuilder &builder, Location location, Extents extents, int64_t axis, mlir::Type element);
/// A size as tensor<f32>.
Value extentNumber(OpBuilder &builder, Location location, Extent extent);
Value random(OpBuilder &builder, Location location, RandomKind kind, uint32_t stream, Extents extents,
             Value index = {});
Value scalar(OpBuilder &builder, Location location, llvm::StringRef key, ScalarKind kind,
             double fallback = 0);

// elementwise
Value neg(OpBuilder &builder, Location location, Value x);
Value exp(OpBuilder &builder, Location location, Value x);
Value log(OpBuilder &builder, Location location, Value x);
Value sqrt(OpBuilder &builder, Location location, Value x);
Value rsqrt(OpBuilder &builder, Location location, Value x);
Value tanh(OpBuilder &builder, Location location, Value x);
Value sigmoid(OpBuilder &builder, Location location, Value x);
Value relu(OpBuilder &builder, Location location, Value x);
Value silu(OpBuilder &builder, Location location, Value x);
Value gelu(OpBuilder &builder, Location location, Value x);
Value erf(OpBuilder &builder, Location location, Value x);
Value abs(OpBuilder &builder, Location location, Value x);
Value logicalNot(OpBuilder &builder, Location location, Value x);
Value isFinite(OpBuilder &builder, Location location, Value x);

Value add(OpBuilder &builder, Location location, Value a, Value b);
Value sub(OpBuilder &builder, Location location, Value a, Value b);
Value mul(OpBuilder &builder, Location location, Value a, Value b);
Value div(OpBuilder &builder, Location location, Value a, Value b);
Value maximum(OpBuilder &builder, Location location, Value a, Value b);
Value minimum(OpBuilder &builder, Location location, Value a, Value b);
Value pow(OpBuilder &builder, Location location, Value a, Value b);
Value logicalAnd(OpBuilder &builder, Location location, Value a, Value b);
Value logicalOr(OpBuilder &builder, Location location, Value a, Value b);
Value compare(OpBuilder &builder, Location location, Predicate predicate, Value a, Value b);
Value select(OpBuilder &builder, Location location, Value mask, Value a, Value b);
// with a number on the right
Value add(OpBuilder &builder, Location location, Value a, double b);
Value sub(OpBuilder &builder, Location location, Value a, double b);
Value mul(OpBuilder &builder, Location location, Value a, double b);
Value div(OpBuilder &builder, Location location, Value a, double b);
Value pow(OpBuilder &builder, Location location, Value a, double b);
Value compare(OpBuilder &builder, Location location, Predicate predicate, Value a, double b);

Value convert(OpBuilder &builder, Location location, Value x, mlir::Type element);
Value stopGradient(OpBuilder &builder, Location location, Value x);
Value reverseGradient(OpBuilder &builder, Location location, Value x, Value scale);
Value barrier(OpBuilder &builder, Location location, Value x, int64_t mark);
Value skippable(OpBuilder &builder, Location location, Value x, Value live);

// structure
/// The extents that two broadcast to, last axes aligned; nothing where they do not fit.
std::optional<llvm::SmallVector<Extent>> broadcastExtents(Extents a, Extents b);
/// Broadcasts to `extents`; `dims` is the result axis of each of x's axes. Returns x if nothing changes.
Value broadcast(OpBuilder &builder, Location location, Value x, Extents extents, Axes dims);
/// The same with last axes aligned.
Value broadcastTo(OpBuilder &builder, Location location, Value x, Extents extents);
/// Broadcasts along `axes`, which x lacks: to the shape before a reduction over these axes.
Value broadcastAlong(OpBuilder &builder, Location location, Value x, Extents extents, Axes axes);
Value reshape(OpBuilder &builder, Location location, Value x, Extents extents);
Value transpose(OpBuilder &builder, Location location, Value x, Axes perm);
Value slice(OpBuilder &builder, Location location, Value x, Axes starts, Axes strides, Extents sizes);
/// `size` elements from `start` along one axis.
Value slice(OpBuilder &builder, Location location, Value x, int64_t axis, int64_t start, Extent size);
Value pad(OpBuilder &builder, Location location, Value x, Axes low, Axes interior, Extents extents,
          double value = 0);
Value concat(OpBuilder &builder, Location location, mlir::ValueRange xs, int64_t axis);
/// New axes of extent 1 before the given axes of the result.
Value expandAxes(OpBuilder &builder, Location location, Value x, Axes axes);

Value reduce(OpBuilder &builder, Location location, ReduceKind kind, Value x, Axes axes);
Value sum(OpBuilder &builder, Location location, Value x, Axes axes);
/// Over all axes: tensor<f32>.
Value sumAll(OpBuilder &builder, Location location, Value x);
Value argmax(OpBuilder &builder, Location location, Value x, int64_t axis);
Value gather(OpBuilder &builder, Location location, Value table, Value index);
Value scatterAdd(OpBuilder &builder, Location location, Value index, Value rows, Extent count);
/// The gather of a table's rows, with the places that name each row: see flow.gather_rows.
Value gatherRows(OpBuilder &builder, Location location, Value table, Value index, Value inverse);
/// The results of a sort of keys from 0 to `count` - 1.
struct Sorted {
  Value order, offsets, positions;
};
Sorted countingSort(OpBuilder &builder, Location location, Value index, Extent count);
Value segmentSum(OpBuilder &builder, Location location, Value rows, Value offsets);
/// The segment of each of so many rows, i32: the number of segments that end before the row; -1 before the first one.
Value segmentOfRow(OpBuilder &builder, Location location, Value offsets, Extent rows);
/// A table's row for each of so many rows, that of its segment.
Value segmentRows(OpBuilder &builder, Location location, Value table, Value offsets, Extent rows);

// routing
Value rank(OpBuilder &builder, Location location, Value x, int64_t axis);
Value topK(OpBuilder &builder, Location location, Value x, int64_t k);
/// The descending order of a vector, and the rank of each element.
std::pair<Value, Value> argsort(OpBuilder &builder, Location location, Value x);
Value radixDigit(OpBuilder &builder, Location location, Value x, int64_t shift, int64_t bits);
/// A size as tensor<i32>.
Value extentIndex(OpBuilder &builder, Location location, Extent extent);

// contraction and convolution
Value contract(OpBuilder &builder, Location location, Value a, Axes aAxes, Value b, Axes bAxes, Axes outAxes);
/// The contraction of the pairs of `row` and `group` in which the row is in the group: see flow.grouped_contract.
Value groupedContract(OpBuilder &builder, Location location, Value a, Axes aAxes, Value b, Axes bAxes,
                      Value offsets, Axes outAxes, int64_t row, int64_t group);
/// x [..., in] times w [out, in] transposed: [..., out].
Value linear(OpBuilder &builder, Location location, Value x, Value w);
/// How many windows fit along an axis: floor((extent + pads - size) / stride) + 1.
Extent windowCount(Extent extent, int64_t pads, int64_t size, int64_t stride);
Value conv(OpBuilder &builder, Location location, Value x, Value w, Axes strides, Axes pads);
Value convInputGrad(OpBuilder &builder, Location location, Value dy, Value w, Axes strides, Axes pads,
                    mlir::Type xType);
Value convWeightGrad(OpBuilder &builder, Location location, Value x, Value dy, Axes strides, Axes pads,
                     mlir::Type wType);
Value window(OpBuilder &builder, Location location, Value x, Axes size, Axes strides, Axes pads,
             double value = 0);
Value windowSum(OpBuilder &builder, Location location, Value windows, Axes strides, Axes pads,
                mlir::Type xType);

} // namespace flow
