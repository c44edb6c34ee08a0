// See Guards.h. The gradient of a value with several users is the sum of what they give, so that it is known to
// be 0 only where all of theirs are. Masks are applied behind an op only where its derivative may be infinite or
// NaN, by its own nature or because an operand may be; others keep 0 as it is. Each rule gets one mask, and each
// view one mask of its operand, however many selects lie behind them: a chain of selects so takes a number of
// ops that grows with its length and not with its square.
#include "passes/training/Guards.h"
#include "dialects/flow/Emit.h"
#include <cmath>

using namespace mlir;
using namespace flow;

namespace moe {

/// A divisor that is known not to be 0: a constant or a size.
static bool isCount(Value x) {
  while (auto broadcast = x.getDefiningOp<BroadcastOp>())
    x = broadcast.getX();
  auto constant = x.getDefiningOp<ConstantOp>();
  return x.getDefiningOp<ExtentOp>() || (constant && !constant.getValue().isZero());
}

/// Ops whose result may be infinite or NaN for finite operands.
static bool leavesFiniteNumbers(Operation *op) {
  if (auto div = dyn_cast<DivOp>(op))
    return !isCount(div.getB());
  return isa<LogOp, ExpOp, SqrtOp, RsqrtOp, PowOp>(op);
}

// Finds the values that may be infinite or NaN where the inputs and parameters are not, as far as elementwise
// ops, views and reductions tell. Sums and products that overflow do not count.
Guards::Guards(Operation *end) {
  for (Operation &op : *end->getBlock()) {
    if (&op == end)
      break;
    if (op.getNumResults() != 1 || !isa<FloatType>(getElementTypeOrSelf(op.getResult(0))))
      continue;
    bool may = leavesFiniteNumbers(&op);
    if (auto constant = dyn_cast<ConstantOp>(op))
      may = !std::isfinite(constant.getValue().convertToDouble());
    else if (op.hasTrait<Elementwise>() ||
             isa<BroadcastOp, ReshapeOp, TransposeOp, SliceOp, PadOp, ConcatOp, ReduceOp>(op))
      may |= llvm::any_of(op.getOperands(), [&](Value x) { return mayBeInfinite(x); });
    if (may)
      infinite.insert(op.getResult(0));
  }
}

// Whether the op's rule may make NaN of a gradient of 0.
bool Guards::mayMakeNan(Operation *op, unsigned operand) const {
  // A gradient is passed on, negated, shared or dropped, but multiplied by no number that the op computes.
  if (!op->hasTrait<Elementwise>() || isa<AddOp, SubOp, NegOp, SelectOp, MaximumOp, MinimumOp, ReluOp, AbsOp,
                                          ConvertOp, BarrierOp, ReverseGradientOp>(op))
    return false;
  if (isa<MulOp>(op))
    return mayBeInfinite(op->getOperand(1 - operand));
  // A division by a count is a product.
  if (auto div = dyn_cast<DivOp>(op); div && isCount(div.getB()))
    return false;
  return mayBeInfinite(op->getResult(0)) ||
         llvm::any_of(op->getOperands(), [&](Value x) { return mayBeInfinite(x); });
}

// The guard of a gradient that is 0 wherever the parent says so, and where the mask does.
const Guards::Guard *Guards::both(const Guard *parent, Mask mask) {
  if (parent && parent->own.value == mask.value && parent->own.sense == mask.sense)
    return parent;
  const Guard *&guard = known[{parent, mask.value.getAsOpaquePointer(), mask.sense}];
  if (!guard)
    guard = &guards.emplace_back(Guard{guards.size(), parent, parent ? parent->depth + 1 : 0, mask});
  return guard;
}

// The guard of a sum of two gradients: it is 0 where both are. What both guards have in common stays their
// parent, so that only the rest is joined by an `or`, and only if it is needed at all.
const Guards::Guard *Guards::either(const Guard *a, const Guard *b) {
  if (!a || !b)
    return nullptr;
  // The parents where the two part, which may be the guards themselves.
  const Guard *x = a, *y = b;
  while (x->depth > y->depth)
    x = x->parent;
  while (y->depth > x->depth)
    y = y->parent;
  if (x == y) // One is the other or behind it, and so the weaker.
    return x;
  while (x->parent != y->parent) {
    x = x->parent;
    y = y->parent;
  }
  const Guard *common = x->parent;
  // The two branches of one select: together it leaves all.
  if (x == a && y == b && a->own.value && a->own.value == b->own.value)
    return common;
  if (llvm::is_contained(a->either, b))
    return a;
  return &guards.emplace_back(Guard{guards.size(), common, common ? common->depth + 1 : 0, {}, {a, b}});
}

// A guard and all that it is made of, in an order where parts come first. With `missing`, what has its whole mask
// already is left out, and what only that is made of. A list and not a recursion, for chains may be long.
SmallVector<const Guards::Guard *> Guards::parts(const Guard *guard, bool missing) {
  SmallVector<const Guard *> found = {guard};
  DenseSet<const Guard *> seen;
  for (size_t i = 0; i < found.size(); ++i)
    for (const Guard *part :
         {found[i]->own.value ? found[i]->parent : nullptr, found[i]->either[0], found[i]->either[1]})
      if (part && !(missing && part->whole.value) && seen.insert(part).second)
        found.push_back(part);
  llvm::sort(found, [](const Guard *a, const Guard *b) { return a->number < b->number; });
  return found;
}

// All that a guard says as one mask, whose ops are emitted the first time.
Guards::Mask Guards::wholeMask(OpBuilder &builder, Location loc, const Guard *guard) {
  if (guard->whole.value)
    return guard->whole;
  Emit e{builder, loc};
  auto positive = [&](Mask &mask) {
    if (!mask.sense)
      mask = {e.unary<NotOp>(mask.value)};
    return mask.value;
  };
  for (const Guard *part : parts(guard, /*missing=*/true)) {
    // Operands are emitted one after another, for C++ leaves the order of a call's arguments open.
    if (Mask own = part->own; !own.value) {
      Value first = positive(part->either[0]->whole), second = positive(part->either[1]->whole);
      part->whole = {e.binary<OrOp>(first, second)};
    } else if (part->parent) {
      Value behind = positive(part->parent->whole), mask = positive(own);
      part->whole = {e.both(behind, mask)};
    } else {
      part->whole = own;
    }
  }
  return guard->whole;
}

// The guard of what a broadcast copies: only masks that are copies along the same axes tell something of it.
const Guards::Guard *Guards::throughBroadcast(BroadcastOp broadcast, const Guard *guard) {
  DenseMap<const Guard *, const Guard *> seen;
  Type type = withElement(broadcast.getX().getType(), IntegerType::get(broadcast.getContext(), 1));
  for (const Guard *part : parts(guard, /*missing=*/false)) {
    const Guard *told;
    if (!part->own.value) {
      told = either(seen.lookup(part->either[0]), seen.lookup(part->either[1]));
    } else {
      told = seen.lookup(part->parent);
      auto copies = part->own.value.getDefiningOp<BroadcastOp>();
      if (copies && copies.getX().getType() == type && copies.getDims() == broadcast.getDims())
        told = both(told, {copies.getX(), part->own.sense});
    }
    seen[part] = told;
  }
  return seen.lookup(guard);
}

// The guard of a view's operand, from that of its result; null where it cannot be told.
const Guards::Guard *Guards::throughView(OpBuilder &builder, Operation *op, unsigned operand,
                                         const Guard *guard) {
  if (auto broadcast = dyn_cast<BroadcastOp>(op))
    return throughBroadcast(broadcast, guard);
  Emit e{builder, op->getLoc()};
  Type type = withElement(op->getOperand(operand).getType(), builder.getI1Type());
  auto reduce = dyn_cast<ReduceOp>(op);
  bool isSum = reduce && reduce.getKind() == ReduceKind::sum;
  if (!isSum && !isa<ReshapeOp, TransposeOp, SliceOp, ConcatOp>(op))
    return nullptr;
  auto [mask, sense] = wholeMask(builder, op->getLoc(), guard);
  auto seen = [&](Value value) { return both(nullptr, {value, sense}); };
  if (isSum)
    return seen(e.spreadOver(mask, reduce.getX(), reduce.getAxes()));
  if (isa<ReshapeOp>(op))
    return seen(e.reshape(mask, type));
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    SmallVector<int64_t> inverse(transpose.getPerm().size());
    for (auto [to, from] : llvm::enumerate(transpose.getPerm()))
      inverse[from] = int64_t(to);
    return seen(TransposeOp::create(builder, op->getLoc(), type, mask, inverse));
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    // What the slice leaves out gets no gradient either.
    SmallVector<int64_t> interior;
    for (int64_t stride : slice.getStrides())
      interior.push_back(stride - 1);
    return seen(PadOp::create(builder, op->getLoc(), type, mask, slice.getStarts(), interior,
                              APFloat(sense ? 0.0 : 1.0)));
  }
  auto concat = cast<ConcatOp>(op);
  SmallVector<int64_t> starts(Emit::rankOf(mask), 0), strides(Emit::rankOf(mask), 1);
  for (Value x : concat.getXs().take_front(operand))
    starts[concat.getAxis()] += Extent::of(x, concat.getAxis()).constantValue().value_or(0);
  return seen(SliceOp::create(builder, op->getLoc(), type, mask, starts, strides));
}

Value Guards::pass(OpBuilder &builder, Operation *op, unsigned operand, Value gradient) {
  const Guard *guard = op->getNumResults() == 1 ? of.lookup(op->getResult(0)) : nullptr;
  if (op->hasTrait<Elementwise>()) {
    if (guard && mayMakeNan(op, operand)) {
      Emit e{builder, gradient.getLoc()};
      auto [mask, sense] = wholeMask(builder, gradient.getLoc(), guard);
      Value zero = e.zeros(gradient.getType());
      gradient = e.select(mask, sense ? gradient : zero, sense ? zero : gradient);
    }
    if (auto select = dyn_cast<SelectOp>(op); select && operand > 0)
      guard = both(guard, {select.getMask(), operand == 1});
  } else if (guard) {
    guard = throughView(builder, op, operand, guard);
  }
  auto [slot, first] = of.try_emplace(op->getOperand(operand), guard);
  if (!first)
    slot->second = either(slot->second, guard);
  return gradient;
}

} // namespace moe
