// See Guards.h. A value with several users has the masks that all of them agree on: its gradient is the sum
// of theirs. Masks are applied behind an op only where its derivative may be infinite or NaN, by its own
// nature or because an operand may be; others keep 0 as it is.
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

// Whether a value may be infinite or NaN where the inputs and parameters are not, as far as elementwise ops,
// views and reductions tell. Sums and products that overflow do not count.
bool Guards::mayBeInfinite(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || !isa<FloatType>(Emit::elementOf(value)))
    return false;
  if (auto constant = dyn_cast<ConstantOp>(op))
    return !std::isfinite(constant.getValue().convertToDouble());
  if (auto found = infinite.find(value); found != infinite.end())
    return found->second;
  bool through = op->hasTrait<Elementwise>() ||
                 isa<BroadcastOp, ReshapeOp, TransposeOp, SliceOp, PadOp, ConcatOp, ReduceOp>(op);
  bool may = leavesFiniteNumbers(op);
  if (through && !may)
    may = depth > 32 || llvm::any_of(op->getOperands(), [&](Value x) { return mayBeInfinite(x, depth + 1); });
  return infinite[value] = may;
}

// Whether the op's rule may make NaN of a gradient of 0.
bool Guards::mayMakeNan(Operation *op, unsigned operand) {
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

// The mask of a view's operand, from that of its result; null where it cannot be told.
Value Guards::view(OpBuilder &builder, Operation *op, unsigned operand, const Guard &guard) {
  Emit e{builder, op->getLoc()};
  Value mask = guard.mask;
  Type type = withElement(op->getOperand(operand).getType(), builder.getI1Type());
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return reduce.getKind() == ReduceKind::sum ? e.spreadOver(mask, reduce.getX(), reduce.getAxes())
                                               : Value();
  if (isa<ReshapeOp>(op))
    return e.reshape(mask, type);
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    SmallVector<int64_t> inverse(transpose.getPerm().size());
    for (auto [to, from] : llvm::enumerate(transpose.getPerm()))
      inverse[from] = int64_t(to);
    return TransposeOp::create(builder, op->getLoc(), type, mask, inverse);
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    // What the slice leaves out gets no gradient either.
    SmallVector<int64_t> interior;
    for (int64_t stride : slice.getStrides())
      interior.push_back(stride - 1);
    return PadOp::create(builder, op->getLoc(), type, mask, slice.getStarts(), interior,
                         APFloat(guard.sense ? 0.0 : 1.0));
  }
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    SmallVector<int64_t> starts(Emit::rankOf(mask), 0), strides(Emit::rankOf(mask), 1);
    for (Value x : concat.getXs().take_front(operand))
      starts[concat.getAxis()] += Extent::of(x, concat.getAxis()).constantValue().value_or(0);
    return SliceOp::create(builder, op->getLoc(), type, mask, starts, strides);
  }
  if (auto broadcast = dyn_cast<BroadcastOp>(op)) {
    // A mask of copies along the same axes.
    auto copies = mask.getDefiningOp<BroadcastOp>();
    bool same = copies && copies.getX().getType() == type && copies.getDims() == broadcast.getDims();
    return same ? copies.getX() : Value();
  }
  return {};
}

Guards::List Guards::throughView(OpBuilder &builder, Operation *op, unsigned operand, const List &guards) {
  List seen;
  for (const Guard &guard : guards) {
    auto [slot, fresh] = views.try_emplace({op, operand, guard.mask.getAsOpaquePointer(), guard.sense});
    if (fresh)
      slot->second = view(builder, op, operand, guard);
    if (slot->second)
      seen.push_back({slot->second, guard.sense});
  }
  return seen;
}

Value Guards::pass(OpBuilder &builder, Operation *op, unsigned operand, Value gradient) {
  List guards;
  if (op->getNumResults() == 1)
    guards = of.lookup(op->getResult(0));
  if (op->hasTrait<Elementwise>()) {
    if (mayMakeNan(op, operand))
      for (const Guard &guard : guards) {
        Emit e{builder, gradient.getLoc()};
        Value zero = e.zeros(gradient.getType());
        gradient = e.select(guard.mask, guard.sense ? gradient : zero, guard.sense ? zero : gradient);
      }
    if (auto select = dyn_cast<SelectOp>(op); select && operand > 0)
      guards.push_back({select.getMask(), operand == 1});
  } else if (!guards.empty()) {
    guards = throughView(builder, op, operand, guards);
  }
  Value x = op->getOperand(operand);
  auto [slot, first] = of.try_emplace(x, guards);
  if (!first)
    llvm::erase_if(slot->second, [&](const Guard &guard) { return !llvm::is_contained(guards, guard); });
  return gradient;
}

} // namespace moe
