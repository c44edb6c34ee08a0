// Rules of Simplify about elementwise ops: arithmetic on broadcasts is done before the broadcast, where the
// tensor is small; signs and equal terms are merged; marks that only differentiation reads are dropped.
#include "dialects/flow/Emit.h"
#include "mlir/IR/Matchers.h"
#include "passes/training/SimplifyPatterns.h"

using namespace mlir;
using namespace flow;

namespace {

// An operand that is the same along most axes: a broadcast whose source keeps its extents, or a splat.
struct Spread {
  Value source; // null for a splat
  SmallVector<int64_t> dims;
  double splat = 0;

  static std::optional<Spread> of(Value x) {
    Spread spread;
    if (auto constant = x.getDefiningOp<ConstantOp>()) {
      spread.splat = constant.getValue().convertToDouble();
      return spread;
    }
    auto broadcast = x.getDefiningOp<BroadcastOp>();
    if (!broadcast)
      return std::nullopt;
    spread.source = broadcast.getX();
    spread.dims.assign(broadcast.getDims().begin(), broadcast.getDims().end());
    for (auto [axis, dim] : llvm::enumerate(spread.dims))
      if (Extent::of(spread.source, axis) != Extent::of(x, dim))
        return std::nullopt;
    return spread;
  }
};

// The operand in the shape of `of`, the widest source: a copy of a smaller source, or a splat.
Value widen(Emit e, Spread &spread, const Spread &widest, Type element) {
  Type type = withElement(widest.source.getType(), element);
  if (!spread.source)
    return e.constant(type, spread.splat);
  SmallVector<int64_t> dims;
  for (int64_t dim : spread.dims)
    dims.push_back(llvm::find(widest.dims, dim) - widest.dims.begin());
  return e.broadcast(spread.source, type, dims);
}

// op(broadcast a, broadcast b) ==> broadcast(op(a, b)), where one source has every axis that the others have.
struct ComputeBeforeBroadcast : OpTraitRewritePattern<flow::Elementwise> {
  using OpTraitRewritePattern::OpTraitRewritePattern;
  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (op->getNumOperands() == 0 || op->hasTrait<Identity>())
      return failure();
    SmallVector<Spread> spreads;
    unsigned widest = 0;
    for (Value operand : op->getOperands()) {
      auto spread = Spread::of(operand);
      if (!spread)
        return failure();
      spreads.push_back(*spread);
      if (spread->source && (!spreads[widest].source || spread->dims.size() > spreads[widest].dims.size()))
        widest = spreads.size() - 1;
    }
    Spread wide = spreads[widest];
    if (!wide.source)
      return failure();
    for (Spread &spread : spreads)
      for (int64_t dim : spread.dims)
        if (!llvm::is_contained(wide.dims, dim))
          return failure();
    Emit e{rewriter, op->getLoc()};
    SmallVector<Value> operands;
    for (auto [spread, operand] : llvm::zip(spreads, op->getOperands()))
      operands.push_back(widen(e, spread, wide, Emit::elementOf(operand)));
    Type result = op->getResult(0).getType();
    OperationState state(op->getLoc(), op->getName());
    state.addOperands(operands);
    state.addAttributes(op->getAttrs());
    state.addTypes(withElement(wide.source.getType(), cast<RankedTensorType>(result).getElementType()));
    Operation *small = rewriter.create(state);
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, result, small->getResult(0), wide.dims);
    return success();
  }
};

// op(reshape(broadcast a), reshape(broadcast b)) ==> reshape(op(broadcast a, broadcast b)), where the copies
// have one shape: a statistic of a group of channels is computed once a group, not once a channel.
struct ComputeBeforeReshape : OpTraitRewritePattern<flow::Elementwise> {
  using OpTraitRewritePattern::OpTraitRewritePattern;
  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (op->hasTrait<Identity>())
      return failure();
    RankedTensorType inner;
    for (Value operand : op->getOperands()) {
      if (operand.getDefiningOp<ConstantOp>())
        continue;
      auto reshape = operand.getDefiningOp<ReshapeOp>();
      if (!reshape || !reshape.getX().getDefiningOp<BroadcastOp>())
        return failure();
      auto type = cast<RankedTensorType>(withElement(reshape.getX().getType(), rewriter.getF32Type()));
      if (inner && type != inner)
        return failure();
      inner = type;
    }
    if (!inner)
      return failure();
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (auto reshape = operand.getDefiningOp<ReshapeOp>())
        operands.push_back(reshape.getX());
      else
        operands.push_back(Emit{rewriter, op->getLoc()}.constant(
            withElement(inner, Emit::elementOf(operand)),
            operand.getDefiningOp<ConstantOp>().getValue().convertToDouble()));
    }
    Type result = op->getResult(0).getType();
    OperationState state(op->getLoc(), op->getName());
    state.addOperands(operands);
    state.addAttributes(op->getAttrs());
    state.addTypes(withElement(inner, cast<RankedTensorType>(result).getElementType()));
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, result, rewriter.create(state)->getResult(0));
    return success();
  }
};

// (x * s) * t ==> x * (s * t) where s and t are splats or copies along the same axes.
struct MergeScales : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op, PatternRewriter &rewriter) const override {
    for (auto [product, outer] : {std::pair(op.getA(), op.getB()), std::pair(op.getB(), op.getA())}) {
      auto inner = product.getDefiningOp<MulOp>();
      auto t = Spread::of(outer);
      if (!inner || !t || Spread::of(product))
        continue;
      for (auto [x, scale] : {std::pair(inner.getA(), inner.getB()), std::pair(inner.getB(), inner.getA())}) {
        auto s = Spread::of(scale);
        if (!s || Spread::of(x) || (s->source && t->source && s->dims != t->dims))
          continue;
        Value merged = MulOp::create(rewriter, op.getLoc(), op.getType(), scale, outer);
        rewriter.replaceOpWithNewOp<MulOp>(op, op.getType(), x, merged);
        return success();
      }
    }
    return failure();
  }
};

// x + x ==> 2 x, (z + x) + x ==> z + 2 x, x + (-y) ==> x - y, (-x) + y ==> y - x
struct SignsOfSum : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AddOp op, PatternRewriter &rewriter) const override {
    if (op.getA() == op.getB()) {
      Value two = Emit{rewriter, op.getLoc()}.constantLike(op.getA(), 2);
      rewriter.replaceOpWithNewOp<MulOp>(op, op.getType(), op.getA(), two);
      return success();
    }
    if (auto sum = op.getA().getDefiningOp<AddOp>())
      for (auto [z, x] : {std::pair(sum.getA(), sum.getB()), std::pair(sum.getB(), sum.getA())})
        if (x == op.getB()) {
          Value two = Emit{rewriter, op.getLoc()}.constantLike(x, 2);
          Value twice = MulOp::create(rewriter, op.getLoc(), op.getType(), x, two);
          rewriter.replaceOpWithNewOp<AddOp>(op, op.getType(), z, twice);
          return success();
        }
    if (auto minus = op.getB().getDefiningOp<NegOp>()) {
      rewriter.replaceOpWithNewOp<SubOp>(op, op.getType(), op.getA(), minus.getX());
      return success();
    }
    if (auto minus = op.getA().getDefiningOp<NegOp>()) {
      rewriter.replaceOpWithNewOp<SubOp>(op, op.getType(), op.getB(), minus.getX());
      return success();
    }
    return failure();
  }
};

// x - (-y) ==> x + y
struct SignsOfDifference : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SubOp op, PatternRewriter &rewriter) const override {
    auto minus = op.getB().getDefiningOp<NegOp>();
    if (!minus)
      return failure();
    rewriter.replaceOpWithNewOp<AddOp>(op, op.getType(), op.getA(), minus.getX());
    return success();
  }
};

// An inner select by the same mask has been decided already.
struct SelectOfSelect : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op, PatternRewriter &rewriter) const override {
    Value a = op.getA(), b = op.getB();
    if (auto inner = a.getDefiningOp<SelectOp>(); inner && inner.getMask() == op.getMask())
      a = inner.getA();
    if (auto inner = b.getDefiningOp<SelectOp>(); inner && inner.getMask() == op.getMask())
      b = inner.getB();
    if (a == op.getA() && b == op.getB())
      return failure();
    rewriter.replaceOpWithNewOp<SelectOp>(op, op.getType(), op.getMask(), a, b);
    return success();
  }
};

template <typename Op> struct DropMark : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, op.getX());
    return success();
  }
};

} // namespace

void moe::addElementwiseRules(RewritePatternSet &patterns) {
  patterns.add<ComputeBeforeBroadcast, ComputeBeforeReshape, MergeScales, SignsOfSum, SignsOfDifference,
               SelectOfSelect>(patterns.getContext());
}

void moe::addDerivativeMarkRules(RewritePatternSet &patterns) {
  patterns.add<DropMark<StopGradientOp>, DropMark<ReverseGradientOp>>(patterns.getContext());
}
