// Folding and canonical forms: what holds of an op whatever surrounds it. A constant is a splat, so every
// fold of constants is one number, and that is what the op's own evaluator makes of them: there is no second
// description of what an op means. What 32 bits do not hold as a finite number is left to run. Nothing here
// changes a value that is not exactly the same number (x * 0 stays, since x may be infinite, and 0 + x is x
// but for the sign of a zero).
#include "dialects/flow/Flow.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace flow;

namespace {

std::optional<double> numberOf(Attribute attribute) {
  if (auto number = dyn_cast_or_null<FloatAttr>(attribute))
    return number.getValueAsDouble();
  return std::nullopt;
}

bool isFloat(Value value) { return cast<RankedTensorType>(value.getType()).getElementType().isF32(); }

/// A folded number as the op's own arithmetic would give it: f32 for values, where it is finite; i32 only
/// where it is exact.
Attribute resultOf(Value result, double value) {
  Type element = cast<RankedTensorType>(result.getType()).getElementType();
  if (element.isF32())
    value = double(float(value));
  if (!std::isfinite(value) || (!element.isF32() && std::fabs(value) > 2147483647.0))
    return {};
  return FloatAttr::get(Float64Type::get(result.getContext()), value);
}

/// The evaluator's result, where all operands are numbers.
OpFoldResult foldNumbers(Operation *op, ArrayRef<Attribute> operands) {
  SmallVector<Array> numbers;
  for (Attribute operand : operands) {
    std::optional<double> number = numberOf(operand);
    if (!number)
      return {};
    numbers.emplace_back(ArrayRef<int64_t>(), *number);
  }
  SmallVector<const Array *> values;
  for (const Array &number : numbers)
    values.push_back(&number);
  Array result{ArrayRef<int64_t>()};
  cast<EvaluateInterface>(op).evaluate(values, result, Setting());
  return resultOf(op->getResult(0), result.data[0]);
}

/// A splat stays a splat under any change of shape.
OpFoldResult foldView(Value x, Value y, Attribute operand) {
  if (operand)
    return operand;
  return {};
}

bool isIdentity(ArrayRef<int64_t> list) {
  for (auto [i, value] : llvm::enumerate(list))
    if (value != int64_t(i))
      return false;
  return true;
}

} // namespace

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValueAttr(); }

OpFoldResult ExtentOp::fold(FoldAdaptor) {
  if (auto constant = getExtent().getExtent().constantValue())
    return resultOf(getY(), double(*constant));
  return {};
}

OpFoldResult NegOp::fold(FoldAdaptor adaptor) {
  if (auto inner = getX().getDefiningOp<NegOp>())
    return inner.getX();
  return foldNumbers(*this, adaptor.getX());
}
OpFoldResult ExpOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult LogOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult SqrtOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult RsqrtOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult TanhOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult SigmoidOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult ReluOp::fold(FoldAdaptor adaptor) {
  if (getX().getDefiningOp<ReluOp>())
    return getX();
  return foldNumbers(*this, adaptor.getX());
}
OpFoldResult SiluOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult GeluOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult GeluSlopeOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult ErfOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult AbsOp::fold(FoldAdaptor adaptor) { return foldNumbers(*this, adaptor.getX()); }
OpFoldResult NotOp::fold(FoldAdaptor adaptor) {
  if (auto inner = getX().getDefiningOp<NotOp>())
    return inner.getX();
  return foldNumbers(*this, adaptor.getX());
}

OpFoldResult AddOp::fold(FoldAdaptor adaptor) {
  if (numberOf(adaptor.getB()) == 0.0)
    return getA();
  if (numberOf(adaptor.getA()) == 0.0)
    return getB();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult SubOp::fold(FoldAdaptor adaptor) {
  if (numberOf(adaptor.getB()) == 0.0)
    return getA();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult MulOp::fold(FoldAdaptor adaptor) {
  if (numberOf(adaptor.getB()) == 1.0)
    return getA();
  if (numberOf(adaptor.getA()) == 1.0)
    return getB();
  if (!isFloat(getY()) && (numberOf(adaptor.getA()) == 0.0 || numberOf(adaptor.getB()) == 0.0))
    return resultOf(getY(), 0);
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult DivOp::fold(FoldAdaptor adaptor) {
  if (numberOf(adaptor.getB()) == 1.0)
    return getA();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult MaximumOp::fold(FoldAdaptor adaptor) {
  if (getA() == getB())
    return getA();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult MinimumOp::fold(FoldAdaptor adaptor) {
  if (getA() == getB())
    return getA();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult PowOp::fold(FoldAdaptor adaptor) {
  if (numberOf(adaptor.getB()) == 1.0)
    return getA();
  return foldNumbers(*this, {adaptor.getA(), adaptor.getB()});
}
OpFoldResult AndOp::fold(FoldAdaptor adaptor) {
  for (auto [mask, other] : {std::pair(adaptor.getA(), getB()), std::pair(adaptor.getB(), getA())})
    if (auto value = numberOf(mask))
      return *value ? OpFoldResult(other) : resultOf(getY(), 0);
  return getA() == getB() ? OpFoldResult(getA()) : OpFoldResult();
}
OpFoldResult OrOp::fold(FoldAdaptor adaptor) {
  for (auto [mask, other] : {std::pair(adaptor.getA(), getB()), std::pair(adaptor.getB(), getA())})
    if (auto value = numberOf(mask))
      return *value ? OpFoldResult(resultOf(getY(), 1)) : OpFoldResult(other);
  return getA() == getB() ? OpFoldResult(getA()) : OpFoldResult();
}

OpFoldResult SelectOp::fold(FoldAdaptor adaptor) {
  if (getA() == getB())
    return getA();
  if (auto mask = numberOf(adaptor.getMask()))
    return *mask ? getA() : getB();
  return {};
}

OpFoldResult ConvertOp::fold(FoldAdaptor adaptor) {
  if (getX().getType() == getY().getType())
    return getX();
  auto x = numberOf(adaptor.getX());
  if (!x)
    return {};
  Type to = cast<RankedTensorType>(getY().getType()).getElementType();
  if (to.isInteger(1))
    return resultOf(getY(), *x != 0);
  if (!to.isInteger(32))
    return resultOf(getY(), *x);
  return resultOf(getY(), std::isnan(*x) ? 0 : std::clamp(std::trunc(*x), -2147483648.0, 2147483647.0));
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  if (getX().getType() == getY().getType())
    return getX();
  return foldView(getX(), getY(), adaptor.getX());
}
OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (getX().getType() == getY().getType())
    return getX();
  return foldView(getX(), getY(), adaptor.getX());
}
OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  if (isIdentity(getPerm()))
    return getX();
  return foldView(getX(), getY(), adaptor.getX());
}
OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  bool whole = llvm::all_of(getStarts(), [](int64_t start) { return start == 0; }) &&
               llvm::all_of(getStrides(), [](int64_t stride) { return stride == 1; });
  if (whole && getX().getType() == getY().getType())
    return getX();
  return foldView(getX(), getY(), adaptor.getX());
}
OpFoldResult PadOp::fold(FoldAdaptor adaptor) {
  bool none = llvm::all_of(getLow(), [](int64_t low) { return low == 0; }) &&
              llvm::all_of(getInterior(), [](int64_t interior) { return interior == 0; });
  if (none && getX().getType() == getY().getType())
    return getX();
  if (numberOf(adaptor.getX()) == getValue().convertToDouble())
    return adaptor.getX();
  return {};
}
OpFoldResult ConcatOp::fold(FoldAdaptor adaptor) {
  if (getXs().size() == 1)
    return getXs()[0];
  for (Attribute x : adaptor.getXs())
    if (!x || x != adaptor.getXs()[0])
      return {};
  return adaptor.getXs()[0];
}

OpFoldResult ReduceOp::fold(FoldAdaptor adaptor) {
  if (getX().getType() == getY().getType())
    return getX();
  auto x = numberOf(adaptor.getX());
  if (!x)
    return {};
  if (getKind() != ReduceKind::sum)
    return adaptor.getX();
  if (*x == 0)
    return adaptor.getX();
  double count = 1;
  for (int64_t axis : getAxes()) {
    auto extent = Extent::of(getX(), axis).constantValue();
    if (!extent)
      return {};
    count *= double(*extent);
  }
  return resultOf(getY(), *x * count);
}

namespace {
/// broadcast(broadcast(x)) is one broadcast.
struct MergeBroadcasts : OpRewritePattern<BroadcastOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BroadcastOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<BroadcastOp>();
    if (!inner)
      return failure();
    SmallVector<int64_t> dims;
    for (int64_t axis : inner.getDims())
      dims.push_back(op.getDims()[axis]);
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), inner.getX(), dims);
    return success();
  }
};

/// reshape(reshape(x)) is one reshape.
struct MergeReshapes : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<ReshapeOp>();
    if (!inner)
      return failure();
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), inner.getX());
    return success();
  }
};

/// transpose(transpose(x)) is one transpose, often none.
struct MergeTransposes : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<TransposeOp>();
    if (!inner)
      return failure();
    SmallVector<int64_t> perm;
    for (int64_t axis : op.getPerm())
      perm.push_back(inner.getPerm()[axis]);
    rewriter.replaceOpWithNewOp<TransposeOp>(op, op.getType(), inner.getX(), perm);
    return success();
  }
};
} // namespace

void BroadcastOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeBroadcasts>(context);
}
void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeReshapes>(context);
}
void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeTransposes>(context);
}
