// Rules of Simplify about reductions: what does not change along the reduced axes leaves the sum, a sum of
// copies is a product, and a sum of outer products is a contraction, whose operands may come in any order of
// axes.
#include "dialects/flow/Emit.h"
#include "dialects/flow/Windows.h"
#include "passes/training/SimplifyPatterns.h"
#include <cmath>

using namespace mlir;
using namespace flow;

namespace {

bool disjoint(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  return llvm::none_of(a, [&](int64_t axis) { return llvm::is_contained(b, axis); });
}

// Whether every axis of the source has the extent of the result's axis that it becomes.
bool keepsExtents(BroadcastOp op) {
  for (auto [axis, dim] : llvm::enumerate(op.getDims()))
    if (Extent::of(op.getX(), axis) != Extent::of(op.getY(), dim))
      return false;
  return true;
}

// Where each of `axes` is once `dropped` are gone.
SmallVector<int64_t> withoutAxes(ArrayRef<int64_t> axes, ArrayRef<int64_t> dropped) {
  SmallVector<int64_t> moved;
  for (int64_t axis : axes)
    moved.push_back(axis - llvm::count_if(dropped, [&](int64_t gone) { return gone < axis; }));
  return moved;
}

// reduce(broadcast(x)) ==> broadcast(reduce(x)), times the number of copies for a sum.
struct ReduceOfBroadcast : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    auto copies = op.getX().getDefiningOp<BroadcastOp>();
    if (!copies || !keepsExtents(copies))
      return failure();
    SmallVector<int64_t> inner, repeated, dims;
    for (int64_t axis : op.getAxes())
      if (!llvm::is_contained(copies.getDims(), axis))
        repeated.push_back(axis);
    for (auto [axis, dim] : llvm::enumerate(copies.getDims()))
      llvm::is_contained(op.getAxes(), dim) ? inner.push_back(axis) : dims.push_back(dim);
    bool counts = op.getKind() == ReduceKind::sum;
    if (repeated.empty() || (counts && !isa<FloatType>(Emit::elementOf(op.getX()))))
      return failure();
    Emit e{rewriter, op.getLoc()};
    Value small = e.reduce(op.getKind(), copies.getX(), inner);
    if (counts)
      small = e.mul(small, e.spread(e.count(op.getX(), repeated), small));
    rewriter.replaceOp(op, e.broadcast(small, op.getType(), withoutAxes(dims, op.getAxes())));
    return success();
  }
};

// sum(x * s) ==> sum(x) * s where s is one number along every reduced axis; the same for x / s and -x. A
// constant of 2^-16 or less stays: it may be there to keep the sum from overflowing.
struct ScaleAfterSum : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != ReduceKind::sum)
      return failure();
    Operation *inner = op.getX().getDefiningOp();
    Emit e{rewriter, op.getLoc()};
    if (auto minus = dyn_cast_or_null<NegOp>(inner)) {
      rewriter.replaceOp(op, e.neg(e.sum(minus.getX(), op.getAxes())));
      return success();
    }
    if (!isa_and_nonnull<MulOp, DivOp>(inner) || !isa<FloatType>(Emit::elementOf(op.getX())))
      return failure();
    for (auto [x, s] : {std::pair(0, 1), std::pair(1, 0)}) {
      if (x == 1 && isa<DivOp>(inner))
        continue;
      Value scale = after(e, inner->getOperand(s), op);
      if (!scale)
        continue;
      Value sum = e.sum(inner->getOperand(x), op.getAxes());
      rewriter.replaceOp(op, isa<MulOp>(inner) ? e.mul(sum, scale) : e.div(sum, scale));
      return success();
    }
    return failure();
  }

  // The scale in the sum's shape; null where it changes along a reduced axis.
  static Value after(Emit e, Value scale, ReduceOp op) {
    if (auto splat = scale.getDefiningOp<ConstantOp>()) {
      double value = splat.getValue().convertToDouble();
      return std::fabs(value) > 0x1p-16 ? e.constant(op.getType(), value) : Value();
    }
    auto copies = scale.getDefiningOp<BroadcastOp>();
    if (!copies || !disjoint(copies.getDims(), op.getAxes()))
      return {};
    return e.broadcast(copies.getX(), op.getType(), withoutAxes(copies.getDims(), op.getAxes()));
  }
};

// A reduction along axes of extent 1 alone is a reshape.
struct ReduceOfUnitAxes : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    if (!llvm::all_of(op.getAxes(), [&](int64_t axis) { return Extent::of(op.getX(), axis).isConstant(1); }))
      return failure();
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getX());
    return success();
  }
};

// sum(a[m, k] * b[n, k] over k) ==> contract: where each factor lacks an axis that the other brings to the
// result, the product is larger than both and must not be formed.
struct ProductToContract : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    auto product = op.getX().getDefiningOp<MulOp>();
    if (op.getKind() != ReduceKind::sum || !product)
      return failure();
    // With an axis of groups, a product with windows is a loop (SimplifyWindows.cpp).
    bool windows = sumsWindows(op);
    auto a = product.getA().getDefiningOp<BroadcastOp>(), b = product.getB().getDefiningOp<BroadcastOp>();
    if (!a || !b || !keepsExtents(a) || !keepsExtents(b))
      return failure();
    SmallVector<int64_t> kept = otherAxes(Emit::rankOf(op.getX()), op.getAxes());
    bool onlyA = false, onlyB = false;
    for (int64_t axis : kept) {
      bool inA = llvm::is_contained(a.getDims(), axis), inB = llvm::is_contained(b.getDims(), axis);
      if ((!inA && !inB) || (inA && inB && windows))
        return failure();
      onlyA |= !inB;
      onlyB |= !inA;
    }
    if (!onlyA || !onlyB)
      return failure();
    for (int64_t axis : op.getAxes())
      if (!llvm::is_contained(a.getDims(), axis) || !llvm::is_contained(b.getDims(), axis))
        return failure();
    rewriter.replaceOpWithNewOp<ContractOp>(op, op.getType(), a.getX(), b.getX(), a.getDims(), b.getDims(),
                                            kept);
    return success();
  }
};

// x in the shape of `type`, whose axes have the given labels.
Value spreadByLabel(Emit e, Value x, ArrayRef<int64_t> labels, Type type, ArrayRef<int64_t> target) {
  SmallVector<int64_t> perm(labels.size()), dims;
  for (int64_t axis = 0; axis < int64_t(labels.size()); ++axis)
    perm[axis] = axis;
  auto place = [&](int64_t axis) { return llvm::find(target, labels[axis]) - target.begin(); };
  llvm::sort(perm, [&](int64_t a, int64_t b) { return place(a) < place(b); });
  SmallVector<Extent> extents;
  for (int64_t axis : perm) {
    extents.push_back(Extent::of(x, axis));
    dims.push_back(place(axis));
  }
  if (!llvm::is_sorted(perm))
    x = TransposeOp::create(e.b, e.loc, tensorType(extents, Emit::elementOf(x)), x, perm);
  return e.broadcast(x, type, dims);
}

// A contraction that is no product of matrices, because nothing is summed or because one operand brings no
// axis of its own to the result, is a product of copies and a sum: its terms are no more than the larger
// operand has elements.
struct ContractToLoops : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> a = op.getAAxes(), b = op.getBAxes(), out = op.getOutAxes();
    auto lacks = [](ArrayRef<int64_t> axes, int64_t label) { return !llvm::is_contained(axes, label); };
    bool ownA = llvm::any_of(a, [&](int64_t label) { return lacks(b, label); });
    bool ownB = llvm::any_of(b, [&](int64_t label) { return lacks(a, label); });
    bool summed = llvm::any_of(a, [&](int64_t label) { return lacks(out, label); });
    if (summed && ownA && ownB)
      return failure();
    Emit e{rewriter, op.getLoc()};
    // The product's axes: the result's where nothing is summed, else those of the operand that has them all.
    SmallVector<int64_t> labels(!summed ? out : ownB ? b : a);
    Type type = !summed ? op.getType() : ownB ? op.getB().getType() : op.getA().getType();
    Value product =
        e.mul(spreadByLabel(e, op.getA(), a, type, labels), spreadByLabel(e, op.getB(), b, type, labels));
    SmallVector<int64_t> gone, left, perm;
    for (auto [axis, label] : llvm::enumerate(labels))
      lacks(out, label) ? gone.push_back(axis) : left.push_back(label);
    Value sum = e.sum(product, gone);
    for (int64_t label : out)
      perm.push_back(llvm::find(left, label) - left.begin());
    if (!llvm::is_sorted(perm))
      sum = TransposeOp::create(rewriter, op.getLoc(), op.getType(), sum, perm);
    rewriter.replaceOp(op, sum);
    return success();
  }
};

// A contraction reads its operands in any order of axes: contract(transpose a, b) ==> contract(a, b).
struct TransposeIntoContract : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    SmallVector<Value> operands = {op.getA(), op.getB()};
    SmallVector<int64_t> labels[2] = {SmallVector<int64_t>(op.getAAxes()),
                                      SmallVector<int64_t>(op.getBAxes())};
    bool changed = false;
    for (unsigned side : {0u, 1u})
      if (auto transpose = operands[side].getDefiningOp<TransposeOp>()) {
        SmallVector<int64_t> before(labels[side].size());
        for (auto [to, from] : llvm::enumerate(transpose.getPerm()))
          before[from] = labels[side][to];
        labels[side] = before;
        operands[side] = transpose.getX();
        changed = true;
      }
    if (!changed)
      return failure();
    rewriter.replaceOpWithNewOp<ContractOp>(op, op.getType(), operands[0], operands[1], labels[0], labels[1],
                                            op.getOutAxes());
    return success();
  }
};

// transpose(contract) ==> contract, written in that order.
struct ContractInOrder : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto contract = op.getX().getDefiningOp<ContractOp>();
    if (!contract || !contract->hasOneUse())
      return failure();
    SmallVector<int64_t> out;
    for (int64_t from : op.getPerm())
      out.push_back(contract.getOutAxes()[from]);
    rewriter.replaceOpWithNewOp<ContractOp>(op, op.getType(), contract.getA(), contract.getB(),
                                            contract.getAAxes(), contract.getBAxes(), out);
    return success();
  }
};

} // namespace

void moe::addReductionRules(RewritePatternSet &patterns) {
  patterns.add<ReduceOfBroadcast, ScaleAfterSum, ReduceOfUnitAxes, ProductToContract, ContractToLoops,
               TransposeIntoContract, ContractInOrder>(patterns.getContext());
}
