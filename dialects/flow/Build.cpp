// Type inference of flow's builders: one function an op, the broadcasting rule, and the windows' arithmetic.
#include "dialects/flow/Build.h"

using namespace mlir;

namespace flow {

Value constant(OpBuilder &builder, Location location, double value, Type type) {
  return ConstantOp::create(builder, location, type, builder.getF64FloatAttr(value));
}
Value number(OpBuilder &builder, Location location, double value) {
  return constant(builder, location, value, RankedTensorType::get({}, builder.getF32Type()));
}
Value zerosLike(OpBuilder &builder, Location location, Value like) {
  return constant(builder, location, 0, like.getType());
}
Value onesLike(OpBuilder &builder, Location location, Value like) {
  return constant(builder, location, 1, like.getType());
}
Value iota(OpBuilder &builder, Location location, Extents extents, int64_t axis, Type element) {
  return IotaOp::create(builder, location, tensorType(extents, element), axis);
}
Value extentNumber(OpBuilder &builder, Location location, Extent extent) {
  return ExtentOp::create(builder, location, RankedTensorType::get({}, builder.getF32Type()),
                          ExtentAttr::get(builder.getContext(), extent));
}
Value random(OpBuilder &builder, Location location, RandomKind kind, uint32_t stream, Extents extents,
             Value index) {
  return RandomOp::create(builder, location, tensorType(extents, builder.getF32Type()), kind, int64_t(stream),
                          index);
}
Value scalar(OpBuilder &builder, Location location, StringRef key, ScalarKind kind, double fallback) {
  return ScalarOp::create(builder, location, RankedTensorType::get({}, builder.getF32Type()), key, kind,
                          llvm::APFloat(fallback));
}

#define FLOW_UNARY(name, Op)                                                                                 \
  Value name(OpBuilder &builder, Location location, Value x) {                                               \
    return Op::create(builder, location, x.getType(), x);                                                    \
  }
FLOW_UNARY(neg, NegOp)
FLOW_UNARY(exp, ExpOp)
FLOW_UNARY(log, LogOp)
FLOW_UNARY(sqrt, SqrtOp)
FLOW_UNARY(rsqrt, RsqrtOp)
FLOW_UNARY(tanh, TanhOp)
FLOW_UNARY(sigmoid, SigmoidOp)
FLOW_UNARY(relu, ReluOp)
FLOW_UNARY(silu, SiluOp)
FLOW_UNARY(gelu, GeluOp)
FLOW_UNARY(erf, ErfOp)
FLOW_UNARY(abs, AbsOp)
FLOW_UNARY(logicalNot, NotOp)
FLOW_UNARY(stopGradient, StopGradientOp)
#undef FLOW_UNARY

Value isFinite(OpBuilder &builder, Location location, Value x) {
  return IsFiniteOp::create(builder, location, withElement(x.getType(), builder.getI1Type()), x);
}

/// Brings both to their common extents.
static void align(OpBuilder &builder, Location location, Value &a, Value &b) {
  auto extents = broadcastExtents(extentsOf(a), extentsOf(b));
  assert(extents && "operands that do not broadcast");
  a = broadcastTo(builder, location, a, *extents);
  b = broadcastTo(builder, location, b, *extents);
}

#define FLOW_BINARY(name, Op)                                                                                \
  Value name(OpBuilder &builder, Location location, Value a, Value b) {                                      \
    align(builder, location, a, b);                                                                          \
    return Op::create(builder, location, a.getType(), a, b);                                                 \
  }
FLOW_BINARY(add, AddOp)
FLOW_BINARY(sub, SubOp)
FLOW_BINARY(mul, MulOp)
FLOW_BINARY(div, DivOp)
FLOW_BINARY(maximum, MaximumOp)
FLOW_BINARY(minimum, MinimumOp)
FLOW_BINARY(pow, PowOp)
FLOW_BINARY(logicalAnd, AndOp)
FLOW_BINARY(logicalOr, OrOp)
#undef FLOW_BINARY

Value compare(OpBuilder &builder, Location location, Predicate predicate, Value a, Value b) {
  align(builder, location, a, b);
  return CompareOp::create(builder, location, withElement(a.getType(), builder.getI1Type()), predicate, a, b);
}
Value select(OpBuilder &builder, Location location, Value mask, Value a, Value b) {
  align(builder, location, a, b);
  align(builder, location, mask, a);
  b = broadcastTo(builder, location, b, extentsOf(a));
  return SelectOp::create(builder, location, a.getType(), mask, a, b);
}

#define FLOW_BY_NUMBER(name)                                                                                 \
  Value name(OpBuilder &builder, Location location, Value a, double b) {                                     \
    return name(builder, location, a, constant(builder, location, b, a.getType()));                          \
  }
FLOW_BY_NUMBER(add)
FLOW_BY_NUMBER(sub)
FLOW_BY_NUMBER(mul)
FLOW_BY_NUMBER(div)
FLOW_BY_NUMBER(pow)
#undef FLOW_BY_NUMBER
Value compare(OpBuilder &builder, Location location, Predicate predicate, Value a, double b) {
  return compare(builder, location, predicate, a, constant(builder, location, b, a.getType()));
}

Value convert(OpBuilder &builder, Location location, Value x, Type element) {
  if (elementOf(x) == element)
    return x;
  return ConvertOp::create(builder, location, withElement(x.getType(), element), x);
}
Value reverseGradient(OpBuilder &builder, Location location, Value x, Value scale) {
  return ReverseGradientOp::create(builder, location, x.getType(), x, scale);
}
Value barrier(OpBuilder &builder, Location location, Value x, int64_t segment) {
  return BarrierOp::create(builder, location, x.getType(), x, segment);
}
Value skippable(OpBuilder &builder, Location location, Value x, Value live) {
  return SkippableOp::create(builder, location, x.getType(), x, live);
}

std::optional<SmallVector<Extent>> broadcastExtents(Extents a, Extents b) {
  if (a.size() < b.size())
    std::swap(a, b);
  SmallVector<Extent> result(a);
  size_t offset = a.size() - b.size();
  for (auto [i, extent] : llvm::enumerate(b)) {
    Extent &to = result[offset + i];
    if (to.isConstant(1))
      to = extent;
    else if (!extent.isConstant(1) && extent != to)
      return std::nullopt;
  }
  return result;
}

Value broadcast(OpBuilder &builder, Location location, Value x, Extents extents, Axes dims) {
  Type type = tensorType(extents, elementOf(x));
  if (type == x.getType())
    return x;
  return BroadcastOp::create(builder, location, type, x, dims);
}
Value broadcastTo(OpBuilder &builder, Location location, Value x, Extents extents) {
  SmallVector<int64_t> dims;
  for (int64_t axis = 0, rank = rankOf(x); axis < rank; ++axis)
    dims.push_back(int64_t(extents.size()) - rank + axis);
  return broadcast(builder, location, x, extents, dims);
}
Value broadcastAlong(OpBuilder &builder, Location location, Value x, Extents extents, Axes axes) {
  SmallVector<int64_t> dims;
  for (int64_t axis = 0; axis < int64_t(extents.size()); ++axis)
    if (!llvm::is_contained(axes, axis))
      dims.push_back(axis);
  return broadcast(builder, location, x, extents, dims);
}
Value reshape(OpBuilder &builder, Location location, Value x, Extents extents) {
  Type type = tensorType(extents, elementOf(x));
  if (type == x.getType())
    return x;
  return ReshapeOp::create(builder, location, type, x);
}
Value transpose(OpBuilder &builder, Location location, Value x, Axes perm) {
  SmallVector<Extent> extents;
  bool identity = true;
  for (auto [i, axis] : llvm::enumerate(perm)) {
    extents.push_back(Extent::of(x, axis));
    identity &= axis == int64_t(i);
  }
  if (identity)
    return x;
  return TransposeOp::create(builder, location, tensorType(extents, elementOf(x)), x, perm);
}
Value slice(OpBuilder &builder, Location location, Value x, Axes starts, Axes strides, Extents sizes) {
  return SliceOp::create(builder, location, tensorType(sizes, elementOf(x)), x, starts, strides);
}
Value slice(OpBuilder &builder, Location location, Value x, int64_t axis, int64_t start, Extent size) {
  SmallVector<Extent> sizes = extentsOf(x);
  if (start == 0 && sizes[axis] == size)
    return x;
  sizes[axis] = size;
  SmallVector<int64_t> starts(sizes.size(), 0), strides(sizes.size(), 1);
  starts[axis] = start;
  return slice(builder, location, x, starts, strides, sizes);
}
Value pad(OpBuilder &builder, Location location, Value x, Axes low, Axes interior, Extents extents,
          double value) {
  return PadOp::create(builder, location, tensorType(extents, elementOf(x)), x, low, interior,
                       llvm::APFloat(value));
}
Value concat(OpBuilder &builder, Location location, ValueRange xs, int64_t axis) {
  SmallVector<Extent> extents = extentsOf(xs[0]);
  for (Value x : xs.drop_front())
    extents[axis] = extents[axis] + Extent::of(x, axis);
  return ConcatOp::create(builder, location, tensorType(extents, elementOf(xs[0])), xs, axis);
}
Value expandAxes(OpBuilder &builder, Location location, Value x, Axes axes) {
  SmallVector<Extent> extents, old = extentsOf(x);
  Extent one = Extent::constant(builder.getContext(), 1);
  for (size_t axis = 0, from = 0; axis < old.size() + axes.size(); ++axis)
    extents.push_back(llvm::is_contained(axes, int64_t(axis)) ? one : old[from++]);
  return reshape(builder, location, x, extents);
}

Value reduce(OpBuilder &builder, Location location, ReduceKind kind, Value x, Axes axes) {
  if (axes.empty())
    return x;
  SmallVector<int64_t> sorted(axes);
  llvm::sort(sorted);
  SmallVector<Extent> extents;
  for (int64_t axis = 0; axis < rankOf(x); ++axis)
    if (!llvm::is_contained(sorted, axis))
      extents.push_back(Extent::of(x, axis));
  return ReduceOp::create(builder, location, tensorType(extents, elementOf(x)), kind, x, sorted);
}
Value sum(OpBuilder &builder, Location location, Value x, Axes axes) {
  return reduce(builder, location, ReduceKind::sum, x, axes);
}
Value sumAll(OpBuilder &builder, Location location, Value x) {
  return sum(builder, location, x, llvm::to_vector(llvm::seq<int64_t>(0, rankOf(x))));
}
Value argmax(OpBuilder &builder, Location location, Value x, int64_t axis) {
  return ArgmaxOp::create(builder, location, x, axis);
}
Value gather(OpBuilder &builder, Location location, Value table, Value index) {
  SmallVector<Extent> extents = extentsOf(index);
  llvm::append_range(extents, ArrayRef(extentsOf(table)).drop_front());
  return GatherOp::create(builder, location, tensorType(extents, elementOf(table)), table, index);
}
Value scatterAdd(OpBuilder &builder, Location location, Value index, Value rows, Extent count) {
  SmallVector<Extent> extents{count};
  llvm::append_range(extents, ArrayRef(extentsOf(rows)).drop_front(rankOf(index)));
  return ScatterAddOp::create(builder, location, tensorType(extents, elementOf(rows)), index, rows);
}
Value gatherRows(OpBuilder &builder, Location location, Value table, Value index, Value inverse) {
  SmallVector<Extent> extents = extentsOf(index);
  llvm::append_range(extents, ArrayRef(extentsOf(table)).drop_front());
  return GatherRowsOp::create(builder, location, tensorType(extents, elementOf(table)), table, index,
                              inverse);
}
Sorted countingSort(OpBuilder &builder, Location location, Value index, Extent count) {
  Extent one = Extent::constant(builder.getContext(), 1);
  auto sort = CountingSortOp::create(builder, location, index.getType(),
                                     tensorType({count + one}, builder.getI32Type()), index.getType(), index);
  return {sort.getOrder(), sort.getOffsets(), sort.getPositions()};
}
Value segmentSum(OpBuilder &builder, Location location, Value rows, Value offsets) {
  SmallVector<Extent> extents = extentsOf(rows);
  extents[0] = Extent::of(offsets, 0) - Extent::constant(builder.getContext(), 1);
  return SegmentSumOp::create(builder, location, tensorType(extents, elementOf(rows)), rows, offsets);
}

Value segmentOfRow(OpBuilder &b, Location loc, Value offsets, Extent rows) {
  const Extent segments = Extent::of(offsets, 0) - Extent::constant(b.getContext(), 1);
  Type number = b.getI32Type();
  Value row = iota(b, loc, {rows, segments}, 0, number);
  Value end = broadcast(b, loc, slice(b, loc, offsets, 0, 1, segments), {rows, segments}, {1});
  Value ended = sum(b, loc, convert(b, loc, compare(b, loc, Predicate::le, end, row), number), {1});
  Value begin =
      broadcast(b, loc, slice(b, loc, offsets, 0, 0, Extent::constant(b.getContext(), 1)), {rows}, {0});
  Value begun = compare(b, loc, Predicate::le, begin, iota(b, loc, {rows}, 0, number));
  return select(b, loc, begun, ended, constant(b, loc, -1, ended.getType()));
}
Value segmentRows(OpBuilder &builder, Location location, Value table, Value offsets, Extent rows) {
  SmallVector<Extent> extents = extentsOf(table);
  extents[0] = rows;
  return SegmentRowsOp::create(builder, location, tensorType(extents, elementOf(table)), table, offsets);
}

Value rank(OpBuilder &builder, Location location, Value x, int64_t axis) {
  return RankOp::create(builder, location, withElement(x.getType(), builder.getI32Type()), x, axis);
}
Value topK(OpBuilder &builder, Location location, Value x, int64_t k) {
  SmallVector<Extent> extents = extentsOf(x);
  extents.back() = Extent::constant(builder.getContext(), k);
  return TopKOp::create(builder, location, tensorType(extents, builder.getI32Type()), x, k);
}
std::pair<Value, Value> argsort(OpBuilder &builder, Location location, Value x) {
  Type index = withElement(x.getType(), builder.getI32Type());
  auto sort = ArgsortOp::create(builder, location, index, index, x);
  return {sort.getOrder(), sort.getRanks()};
}
Value radixDigit(OpBuilder &builder, Location location, Value x, int64_t shift, int64_t bits) {
  return RadixDigitOp::create(builder, location, withElement(x.getType(), builder.getI32Type()), x, shift,
                              bits);
}
Value extentIndex(OpBuilder &builder, Location location, Extent extent) {
  return ExtentOp::create(builder, location, RankedTensorType::get({}, builder.getI32Type()),
                          ExtentAttr::get(builder.getContext(), extent));
}

/// The extents of a contraction's result.
static SmallVector<Extent> contracted(Value a, Axes aAxes, Value b, Axes bAxes, Axes outAxes) {
  SmallVector<Extent> extents;
  for (int64_t label : outAxes) {
    auto *inA = llvm::find(aAxes, label), *inB = llvm::find(bAxes, label);
    if (inA != aAxes.end())
      extents.push_back(Extent::of(a, inA - aAxes.begin()));
    else if (inB != bAxes.end())
      extents.push_back(Extent::of(b, inB - bAxes.begin()));
    else
      extents.push_back({}); // the label of groups that only the result has
  }
  return extents;
}
Value groupedContract(OpBuilder &builder, Location location, Value a, Axes aAxes, Value b, Axes bAxes,
                      Value offsets, Axes outAxes, int64_t row, int64_t group) {
  SmallVector<Extent> extents = contracted(a, aAxes, b, bAxes, outAxes);
  if (auto *at = llvm::find(outAxes, group); at != outAxes.end())
    extents[at - outAxes.begin()] = Extent::of(offsets, 0) - Extent::constant(builder.getContext(), 1);
  return GroupedContractOp::create(builder, location, tensorType(extents, elementOf(a)), a, b, offsets, aAxes,
                                   bAxes, outAxes, row, group);
}
Value contract(OpBuilder &builder, Location location, Value a, Axes aAxes, Value b, Axes bAxes,
               Axes outAxes) {
  SmallVector<Extent> extents = contracted(a, aAxes, b, bAxes, outAxes);
  return ContractOp::create(builder, location, tensorType(extents, elementOf(a)), a, b, aAxes, bAxes,
                            outAxes);
}
Value linear(OpBuilder &builder, Location location, Value x, Value w) {
  int64_t last = rankOf(x) - 1;
  auto xAxes = llvm::to_vector(llvm::seq<int64_t>(0, last + 1)), out = xAxes;
  out[last] = last + 1;
  return contract(builder, location, x, xAxes, w, {last + 1, last}, out);
}

Extent windowCount(Extent extent, int64_t pads, int64_t size, int64_t stride) {
  return (extent + (pads - size)).floordiv(stride) + 1;
}
Value conv(OpBuilder &builder, Location location, Value x, Value w, Axes strides, Axes pads) {
  SmallVector<Extent> extents{Extent::of(x, 0), Extent::of(w, 0)};
  for (int i : {0, 1})
    extents.push_back(windowCount(Extent::of(x, 2 + i), pads[i] + pads[i + 2],
                                  *Extent::of(w, 2 + i).constantValue(), strides[i]));
  return ConvOp::create(builder, location, tensorType(extents, elementOf(x)), x, w, strides, pads);
}
Value convInputGrad(OpBuilder &builder, Location location, Value dy, Value w, Axes strides, Axes pads,
                    Type xType) {
  return ConvInputGradOp::create(builder, location, xType, dy, w, strides, pads);
}
Value convWeightGrad(OpBuilder &builder, Location location, Value x, Value dy, Axes strides, Axes pads,
                     Type wType) {
  return ConvWeightGradOp::create(builder, location, wType, x, dy, strides, pads);
}
Value window(OpBuilder &builder, Location location, Value x, Axes size, Axes strides, Axes pads,
             double value) {
  SmallVector<Extent> extents{Extent::of(x, 0), Extent::of(x, 1)};
  for (int i : {0, 1})
    extents.push_back(windowCount(Extent::of(x, 2 + i), pads[i] + pads[i + 2], size[i], strides[i]));
  for (int i : {0, 1})
    extents.push_back(Extent::constant(builder.getContext(), size[i]));
  return WindowOp::create(builder, location, tensorType(extents, elementOf(x)), x, size, strides, pads,
                          llvm::APFloat(value));
}
Value windowSum(OpBuilder &builder, Location location, Value windows, Axes strides, Axes pads, Type xType) {
  return WindowSumOp::create(builder, location, xType, windows, strides, pads);
}

} // namespace flow
