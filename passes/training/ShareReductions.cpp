// Saves passes over large tensors by deriving sums from sums. Two rewrites:
//   1. A sum over more axes of a value that is also summed over fewer starts from the smaller sum: a bias
//      gradient over [B, H, W] from the per-image sums over [H, W].
//   2. A sum of a linear combination is the combination of sums, where every term's sum costs no pass of its
//      own: it is there already, or the term is read anyway for a sum along the same axes. The mean's part of
//      a norm's gradient, sum(u * g + d * k), so comes from sum(u), the bias's, and sum(d), made beside the
//      variance's sum(d * d).
// Both only reassociate a sum. A centred value d = x - m is a term, never sum(x) - n m: that difference would
// lose the digits that centring first keeps.
#include "passes/training/ShareReductions.h"
#include "dialects/flow/Emit.h"

using namespace mlir;
using namespace flow;

namespace {
using Axes = ArrayRef<int64_t>;

bool isSum(Operation *op) {
  auto reduce = dyn_cast<ReduceOp>(op);
  return reduce && reduce.getKind() == ReduceKind::sum && isa<FloatType>(Emit::elementOf(reduce.getX()));
}

bool includes(Axes all, Axes some) {
  return llvm::all_of(some, [&](int64_t axis) { return llvm::is_contained(all, axis); });
}

bool varies(BroadcastOp copies, Axes axes) {
  return llvm::any_of(copies.getDims(), [&](int64_t dim) { return llvm::is_contained(axes, dim); });
}

// A value that is one number along the axes: its sum is a product.
bool isConstantAlong(Value x, Axes axes) {
  if (x.getDefiningOp<ConstantOp>())
    return true;
  auto copies = x.getDefiningOp<BroadcastOp>();
  return copies && !varies(copies, axes);
}

bool isCentred(Operation *op, Axes axes) {
  return isa<SubOp>(op) &&
         (isConstantAlong(op->getOperand(0), axes) || isConstantAlong(op->getOperand(1), axes));
}

class Sums {
public:
  explicit Sums(ReduceOp root) : root(root), axes(root.getAxes()), builder(root) {}

  // Whether the sum of x over the axes costs no pass over a tensor of x's size.
  bool isFree(Value x, unsigned depth = 0) const {
    if (isConstantAlong(x, axes))
      return true;
    for (Operation *user : x.getUsers())
      if (user != root && isSum(user) && includes(cast<ReduceOp>(user).getAxes(), axes))
        return true;
    if (companion(x))
      return true;
    Operation *op = x.getDefiningOp();
    if (!op || depth == 8)
      return false;
    if (isCentred(op, axes))
      return false;
    if (isa<AddOp, SubOp>(op))
      return isFree(op->getOperand(0), depth + 1) && isFree(op->getOperand(1), depth + 1);
    if (isa<NegOp>(op))
      return isFree(op->getOperand(0), depth + 1);
    if (isa<MulOp>(op))
      for (unsigned side : {0u, 1u})
        if (isConstantAlong(op->getOperand(side), axes) && isFree(op->getOperand(1 - side), depth + 1))
          return true;
    return false;
  }

  // The sum of x, which is free.
  Value sumOf(Value x) {
    Emit e{builder, root.getLoc()};
    if (isConstantAlong(x, axes)) {
      Value one = single(e, x);
      return e.mul(one, e.spread(e.count(x, axes), one));
    }
    Operation *op = x.getDefiningOp();
    for (Operation *user : x.getUsers())
      if (user != root && isSum(user) && includes(cast<ReduceOp>(user).getAxes(), axes))
        return e.sum(x, axes);
    if (ReduceOp beside = companion(x)) {
      OpBuilder::InsertionGuard guard(builder);
      if (beside->isBeforeInBlock(root))
        builder.setInsertionPoint(beside);
      return e.sum(x, axes);
    }
    if (isa<AddOp>(op))
      return e.add(sumOf(op->getOperand(0)), sumOf(op->getOperand(1)));
    if (isa<SubOp>(op))
      return e.sub(sumOf(op->getOperand(0)), sumOf(op->getOperand(1)));
    if (isa<NegOp>(op))
      return e.neg(sumOf(op->getOperand(0)));
    unsigned scale = isConstantAlong(op->getOperand(1), axes) ? 1 : 0;
    return e.mul(sumOf(op->getOperand(1 - scale)), single(e, op->getOperand(scale)));
  }

private:
  // A sum along the same axes of what is computed from x element by element, by one op or two: one loop can
  // hold x's own sum as well.
  ReduceOp companion(Value x, unsigned ops = 2) const {
    for (Operation *user : x.getUsers()) {
      if (!user->hasTrait<flow::Elementwise>() || user->getNumResults() != 1)
        continue;
      for (Operation *sum : user->getResult(0).getUsers())
        if (sum != root && isSum(sum) && cast<ReduceOp>(sum).getAxes() == axes)
          return cast<ReduceOp>(sum);
    }
    if (ops > 1)
      for (Operation *user : x.getUsers())
        if (user->hasTrait<flow::Elementwise>() && user->getNumResults() == 1)
          if (ReduceOp sum = companion(user->getResult(0), ops - 1))
            return sum;
    return {};
  }

  // What x is along the axes, in the sum's shape.
  Value single(Emit e, Value x) {
    if (auto splat = x.getDefiningOp<ConstantOp>())
      return e.constant(root.getType(), splat.getValue().convertToDouble());
    auto copies = x.getDefiningOp<BroadcastOp>();
    SmallVector<int64_t> dims;
    for (int64_t dim : copies.getDims())
      dims.push_back(dim - llvm::count_if(axes, [&](int64_t gone) { return gone < dim; }));
    return e.broadcast(copies.getX(), root.getType(), dims);
  }

  ReduceOp root;
  Axes axes;
  OpBuilder builder;
};

bool distribute(ReduceOp root) {
  Operation *op = root.getX().getDefiningOp();
  if (!isa_and_nonnull<AddOp, SubOp>(op) || isCentred(op, root.getAxes()))
    return false;
  Sums sums(root);
  if (!sums.isFree(op->getOperand(0)) || !sums.isFree(op->getOperand(1)))
    return false;
  OpBuilder builder(root);
  Emit e{builder, root.getLoc()};
  Value first = sums.sumOf(op->getOperand(0)), second = sums.sumOf(op->getOperand(1));
  Value sum = isa<AddOp>(op) ? e.add(first, second) : e.sub(first, second);
  root.replaceAllUsesWith(sum);
  root.erase();
  return true;
}

// The sum over the most axes among those of the same value over fewer axes than `large`.
ReduceOp nextSmaller(ReduceOp large) {
  ReduceOp best;
  for (Operation *user : large.getX().getUsers()) {
    if (user == large || !isSum(user))
      continue;
    auto small = cast<ReduceOp>(user);
    if (small.getAxes().size() < large.getAxes().size() && includes(large.getAxes(), small.getAxes()) &&
        (!best || small.getAxes().size() > best.getAxes().size()))
      best = small;
  }
  return best;
}

bool deriveFromSmaller(ReduceOp large) {
  ReduceOp small = nextSmaller(large);
  if (!small)
    return false;
  if (large->isBeforeInBlock(small))
    small->moveBefore(large);
  SmallVector<int64_t> rest;
  for (int64_t axis : large.getAxes())
    if (!llvm::is_contained(small.getAxes(), axis))
      rest.push_back(axis - llvm::count_if(small.getAxes(), [&](int64_t gone) { return gone < axis; }));
  OpBuilder builder(large);
  Value sum = Emit{builder, large.getLoc()}.sum(small.getY(), rest);
  large.replaceAllUsesWith(sum);
  large.erase();
  return true;
}

} // namespace

bool moe::shareReductions(EntryOp entry) {
  SmallVector<ReduceOp> sums;
  for (Operation &op : entry.getBody().front())
    if (isSum(&op))
      sums.push_back(cast<ReduceOp>(op));
  bool changed = false;
  SmallVector<ReduceOp> left;
  for (ReduceOp sum : sums)
    distribute(sum) ? void(changed = true) : left.push_back(sum);
  for (ReduceOp sum : left)
    changed |= deriveFromSmaller(sum);
  return changed;
}
