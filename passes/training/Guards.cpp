// See Guards.h. The gradient of a value with several users is the sum of what they give, so that it is known to
// be 0 only where all of theirs are. Masks are applied behind an op only where its derivative may be infinite or
// NaN, by its own nature or because an operand may be; others keep 0 as it is. Each rule gets one mask, and each
// view one mask of its operand, however many selects lie behind them: a chain of selects so takes a number of
// ops that grows with its length and not with its square.
#include "passes/training/Guards.h"
#include "dialects/flow/Emit.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include <cmath>

using namespace mlir;
using namespace flow;

namespace moe {

static bool isFloat(Value x) { return isa<FloatType>(getElementTypeOrSelf(x)); }

static bool isView(Operation *op) {
  auto compute = dyn_cast<ComputeInterface>(op);
  return compute && compute.computeKind() == ComputeKind::view;
}

// Finds the values that may be infinite or NaN where the inputs and parameters are not, as far as the ops'
// slopes tell. Sums and products that overflow do not count.
Guards::Guards(Operation *end) {
  for (Operation &op : *end->getBlock()) {
    if (&op == end)
      break;
    bool may = llvm::any_of(op.getOperands(), [&](Value x) { return mayBeInfinite(x); });
    if (auto number = dyn_cast<NumberInterface>(op))
      may = !std::isfinite(number.number().value.value_or(0));
    else if (auto rule = dyn_cast<GradientInterface>(op))
      may |= rule.slope() == Slope::any;
    // A view may have numbers of its own in the place of elements that are not there.
    if (isView(&op))
      for (const Access &access : cast<ComputeInterface>(op).accesses())
        may |= !std::isfinite(access.otherwise);
    if (may)
      for (Value result : op.getResults())
        if (isFloat(result))
          infinite.insert(result);
  }
}

// Whether the op's rule may make NaN of a gradient of 0.
bool Guards::mayMakeNan(GradientInterface op, unsigned operand) const {
  switch (op.slope()) {
  case Slope::constant:
    return false;
  case Slope::product:
    return llvm::any_of(op->getOpOperands(), [&](OpOperand &x) {
      return x.getOperandNumber() != operand && mayBeInfinite(x.get());
    });
  case Slope::finite:
    return llvm::any_of(op->getOperands(), [&](Value x) { return mayBeInfinite(x); });
  case Slope::any:
    return true;
  }
  llvm_unreachable("a slope of no kind");
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

// The mask with the sense that it holds where the gradient may not be 0.
Value Guards::positive(OpBuilder &builder, Location loc, Mask &mask) {
  if (!mask.sense)
    mask = {Emit{builder, loc}.unary<NotOp>(mask.value)};
  return mask.value;
}

// All that a guard says as one mask, whose ops are emitted the first time.
Guards::Mask Guards::wholeMask(OpBuilder &builder, Location loc, const Guard *guard) {
  if (guard->whole.value)
    return guard->whole;
  Emit e{builder, loc};
  for (const Guard *part : parts(guard, /*missing=*/true)) {
    // Operands are emitted one after another, for C++ leaves the order of a call's arguments open.
    if (Mask own = part->own; !own.value) {
      Value first = positive(builder, loc, part->either[0]->whole),
            second = positive(builder, loc, part->either[1]->whole);
      part->whole = {e.binary<OrOp>(first, second)};
    } else if (part->parent) {
      Value behind = positive(builder, loc, part->parent->whole), mask = positive(builder, loc, own);
      part->whole = {e.both(behind, mask)};
    } else {
      part->whole = own;
    }
  }
  return guard->whole;
}

// The guard of the operand of a view that copies along axes, if all that the guard says is said by masks that are
// such copies themselves; null otherwise.
const Guards::Guard *Guards::throughCopies(Operation *view, const Guard *guard) {
  DenseMap<const Guard *, const Guard *> seen;
  const Type type = withElement(view->getOperand(0).getType(), IntegerType::get(view->getContext(), 1));
  for (const Guard *part : parts(guard, /*missing=*/false)) {
    const Guard *told;
    if (!part->own.value) {
      told = either(seen.lookup(part->either[0]), seen.lookup(part->either[1]));
    } else {
      Operation *copies = part->own.value.getDefiningOp();
      if (!copies || copies->getName() != view->getName() || copies->getNumOperands() != 1 ||
          copies->getOperand(0).getType() != type || copies->getAttrDictionary() != view->getAttrDictionary())
        return nullptr;
      told =
          both(part->parent ? seen.lookup(part->parent) : nullptr, {copies->getOperand(0), part->own.sense});
    }
    if (!told)
      return nullptr;
    seen[part] = told;
  }
  return seen.lookup(guard);
}

// The ops by which a rule has made `gradient` of `upstream`, in order. `first` is the first op that the rule has
// made. Empty if it made none, or if the gradient does not follow from `upstream`.
static SmallVector<Operation *> chainOf(Operation *first, Value upstream, Value gradient) {
  SmallVector<Operation *> chain;
  DenseSet<Value> moved = {upstream};
  if (!first || !gradient.getDefiningOp())
    return chain;
  for (Operation *op = first; op; op = op->getNextNode()) {
    if (llvm::any_of(op->getOperands(), [&](Value x) { return moved.contains(x); })) {
      moved.insert(op->result_begin(), op->result_end());
      chain.push_back(op);
    }
    if (op == gradient.getDefiningOp())
      break;
  }
  if (!moved.contains(gradient))
    return {};
  // Only what the gradient needs; a rule has made those of other operands as well.
  DenseSet<Operation *> needed = {gradient.getDefiningOp()};
  for (Operation *op : llvm::reverse(chain))
    if (needed.contains(op))
      for (Value x : op->getOperands())
        if (moved.contains(x) && x.getDefiningOp())
          needed.insert(x.getDefiningOp());
  llvm::erase_if(chain, [&](Operation *op) { return !needed.contains(op); });
  return chain;
}

// Copies of the ops of a chain that work on `mask` instead of `upstream`. Null, and nothing is left, if an op is
// not defined on masks.
static Value copyOnMask(OpBuilder &builder, ArrayRef<Operation *> chain, Value upstream, Value mask) {
  // What a verifier says of a copy is no one's error.
  ScopedDiagnosticHandler quiet(builder.getContext(), [](Diagnostic &) { return success(); });
  IRMapping to;
  to.map(upstream, mask);
  SmallVector<Operation *> copies;
  for (Operation *op : chain) {
    Operation *copy = builder.clone(*op, to);
    copies.push_back(copy);
    for (OpResult result : copy->getResults())
      result.setType(withElement(result.getType(), builder.getI1Type()));
    if (failed(mlir::verify(copy))) {
      for (Operation *made : llvm::reverse(copies))
        made->erase();
      return {};
    }
  }
  return copies.back()->getResult(0);
}

// Through the ops of the rule itself. What a rule that only copies makes of the gradient, it makes of the mask; and
// since a view's elements are copies of its operand's, its rule adds up what arrives at them: of a mask's 0 and
// 1, it makes the number of places that read an element and may have a gradient other than 0.
const Guards::Guard *Guards::throughRule(OpBuilder &builder, Operation *op, const Guard *guard,
                                         const Step &step) {
  auto dy = llvm::find_if(step.upstream, [](Value value) { return bool(value); });
  if (llvm::count_if(step.upstream, [](Value value) { return bool(value); }) != 1)
    return nullptr;
  if (step.gradient == *dy)
    return guard;
  const SmallVector<Operation *> chain = chainOf(step.first, *dy, step.gradient);
  if (chain.empty())
    return nullptr;
  const bool copies = llvm::all_of(chain, isView);
  if (!copies && !isView(op))
    return nullptr;
  Emit e{builder, op->getLoc()};
  // A view may have elements of its own, which are 0 in a gradient, and so have to be in a mask.
  bool addsZeros = false;
  if (copies)
    for (Operation *view : chain)
      for (const Access &access : cast<ComputeInterface>(view).accesses())
        addsZeros |=
            access.valid != IntegerSet() || llvm::is_contained(access.bounded, true) || access.within;
  Mask mask = wholeMask(builder, op->getLoc(), guard);
  if (copies)
    if (Value moved =
            copyOnMask(builder, chain, *dy, addsZeros ? positive(builder, op->getLoc(), mask) : mask.value))
      return both(nullptr, {moved, addsZeros || mask.sense});
  IRMapping to;
  to.map(*dy, e.toFloat(positive(builder, op->getLoc(), mask)));
  for (Operation *made : chain)
    builder.clone(*made, to);
  return both(nullptr, {e.compare(Predicate::ne, to.lookup(step.gradient), 0.0)});
}

// Through an access that is an axis of the iteration space for each axis of the operand: an element's gradient is 0
// where all of the results that it is in have none.
const Guards::Guard *Guards::throughAccess(OpBuilder &builder, Operation *op, unsigned operand,
                                           const Guard *guard) {
  auto compute = dyn_cast<ComputeInterface>(op);
  if (!compute || compute.computeKind() != ComputeKind::reduction)
    return nullptr;
  for (Value result : op->getResults())
    if (extentsOf(result) != extentsOf(op->getResult(0)))
      return nullptr;
  const SmallVector<Access> all = compute.accesses();
  if (all.size() != op->getNumOperands())
    return nullptr;
  // Points that read nothing (`valid`) only make the mask weaker than it could be.
  const Access &access = all[operand];
  if (access.lookup || access.within || llvm::is_contained(access.bounded, true) ||
      !access.map.isProjectedPermutation())
    return nullptr;
  const SmallVector<Extent> space = compute.iterationSpace();
  for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
    if (space[cast<AffineDimExpr>(index).getPosition()] != Extent::of(op->getOperand(operand), axis))
      return nullptr;
  Emit e{builder, op->getLoc()};
  const Location loc = op->getLoc();
  Mask mask = wholeMask(builder, loc, guard);
  const int64_t rank = Emit::rankOf(mask.value);
  SmallVector<int64_t> lost, perm, at;
  SmallVector<int64_t> axisOf(rank, -1); // by axis of the result, the operand's
  for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
    if (int64_t dim = cast<AffineDimExpr>(index).getPosition(); dim < rank)
      axisOf[dim] = axis;
  SmallVector<std::pair<int64_t, int64_t>> kept; // the operand's axis, and the mask's
  for (int64_t dim = 0; dim < rank; ++dim)
    if (axisOf[dim] < 0)
      lost.push_back(dim);
    else
      kept.push_back({axisOf[dim], int64_t(kept.size())});
  if (!lost.empty()) {
    Value count = e.sum(e.toFloat(positive(builder, loc, mask)), lost);
    mask = {e.compare(Predicate::ne, count, 0.0)};
  }
  const bool ascends = llvm::is_sorted(kept);
  llvm::sort(kept);
  SmallVector<Extent> extents;
  for (auto [axis, from] : kept) {
    at.push_back(axis);
    perm.push_back(from);
    extents.push_back(Extent::of(mask.value, from));
  }
  if (!ascends)
    mask.value =
        TransposeOp::create(builder, loc, tensorType(extents, builder.getI1Type()), mask.value, perm);
  const Type type = withElement(op->getOperand(operand).getType(), builder.getI1Type());
  return both(nullptr, {e.broadcast(mask.value, type, at), mask.sense});
}

// The guard of an operand, from that of the results; null where it cannot be told.
const Guards::Guard *Guards::through(OpBuilder &builder, Operation *op, unsigned operand, const Guard *guard,
                                     const Step &step) {
  if (op->hasTrait<Elementwise>())
    return guard;
  // In a contraction or convolution, an element has a part in many of the result. That none of them is chosen is rare, and
  // finding out would cost as much as the op. A surrogate's gradients need not arrive at what the op reads.
  if (isEmitter(op) || cast<GradientInterface>(op).gradientKind() != GradientKind::rule)
    return nullptr;
  if (axesOfView(op))
    if (const Guard *told = throughCopies(op, guard))
      return told;
  if (const Guard *told = throughRule(builder, op, guard, step))
    return told;
  return throughAccess(builder, op, operand, guard);
}

// What is known of the gradients of all results together.
const Guards::Guard *Guards::ofResults(Operation *op, ArrayRef<Value> upstream) {
  const Guard *guard = nullptr;
  bool first = true;
  for (auto [result, dy] : llvm::zip_equal(op->getResults(), upstream)) {
    if (!dy)
      continue;
    const Guard *own = of.lookup(result);
    guard = first ? own : either(guard, own);
    first = false;
  }
  return guard;
}

Value Guards::pass(OpBuilder &builder, GradientInterface op, unsigned operand, const Step &step) {
  const bool mask = mayMakeNan(op, operand);
  const Guard *guard = ofResults(op, step.upstream);
  // Behind a parameter or an input no one asks for its guard any more.
  if (guard && (mask || op->getOperand(operand).getDefiningOp<GradientInterface>()))
    guard = through(builder, op, operand, guard, step);
  else
    guard = nullptr;
  Value gradient = step.gradient;
  if (guard && mask) {
    Emit e{builder, gradient.getLoc()};
    auto [chosen, sense] = wholeMask(builder, gradient.getLoc(), guard);
    Value zero = e.zeros(gradient.getType());
    gradient = e.select(chosen, sense ? gradient : zero, sense ? zero : gradient);
  }
  if (auto select = dyn_cast<SelectOp>(*op); select && operand > 0)
    guard = both(guard, {select.getMask(), operand == 1});
  auto [slot, first] = of.try_emplace(op->getOperand(operand), guard);
  if (!first)
    slot->second = either(slot->second, guard);
  return gradient;
}

} // namespace moe
