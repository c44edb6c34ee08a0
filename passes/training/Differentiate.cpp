// Replaces every flow.grad by the ops that compute it. The gradients of one entry are lowered in program
// order: a grad's loss can only depend on grads before it, which by then are ordinary ops, so nesting needs
// nothing of its own. For one grad:
//   1. mark what depends on the values differentiated by, through ops that let a derivative flow;
//   2. mark what the loss depends on;
//   3. walk the ops in both sets backwards, asking each for its rule, and add up what arrives at a value in
//      the order of arrival, which is fixed.
// What an entry yields is marked first, `of backward` where a gradient leads to it (dialects/flow/Purpose.h).
// New ops stand at the grad's place and carry the source line of the op whose rule emitted them.
//
//     %y = flow.exp %x : tensor<f32>
//     %g = flow.grad %y wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
//   ==>
//     %y = flow.exp %x : tensor<f32>
//     %one = flow.constant 1.0 : tensor<f32>
//     %g = flow.mul %one, %y : tensor<f32>
//
// Behind a select, the operand that is not chosen has the gradient 0, and so has all that it was computed
// from. A rule would make NaN of that 0 where the op's derivative is infinite or NaN, as that of sqrt at 0.
// So the mask of the select goes along with the gradient (passes/training/Guards.h), and is applied again
// behind the rules that can do so.
#include "dialects/flow/Emit.h"
#include "mlir/Pass/Pass.h"
#include "passes/training/Guards.h"
#include "passes/training/Training.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace flow;

namespace {

bool isFloat(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && isa<FloatType>(type.getElementType());
}

// Whether a derivative can pass through the op at all.
bool isActive(Operation *op) {
  auto rule = dyn_cast<GradientInterface>(op);
  return !rule || rule.gradientKind() != GradientKind::inactive;
}

/// The parameters that an entry differentiates by, and whether a derivative arrives at them.
using Arrivals = llvm::MapVector<ParameterOp, bool>;

class Lowering {
public:
  Lowering(GradOp grad, Arrivals &arrivals) : grad(grad), builder(grad), guards(grad), arrivals(arrivals) {}

  LogicalResult run() {
    markActive();
    markUseful();
    Emit at{builder, grad.getLoc()};
    if (active.contains(grad.getLoss()))
      total[grad.getLoss()] = at.constantLike(grad.getLoss(), 1);
    for (Operation *op : llvm::reverse(path))
      if (failed(propagate(op)))
        return failure();
    for (auto [result, wrt] : llvm::zip(grad.getGradients(), grad.getWrt())) {
      Value gradient = total.lookup(wrt);
      if (auto parameter = wrt.getDefiningOp<ParameterOp>())
        arrivals[parameter] |= bool(gradient);
      result.replaceAllUsesWith(gradient ? gradient : at.zeros(wrt.getType()));
    }
    grad.erase();
    return success();
  }

private:
  void markActive() {
    for (Value wrt : grad.getWrt())
      active.insert(wrt);
    for (Operation &op : *grad->getBlock()) {
      if (&op == grad)
        break;
      bool reached =
          llvm::any_of(op.getOperands(), [&](Value x) { return isFloat(x) && active.contains(x); });
      if (!reached || op.getNumResults() == 0 || !isActive(&op))
        continue;
      for (Value result : op.getResults())
        if (isFloat(result))
          active.insert(result);
      path.push_back(&op);
    }
  }

  // Drops from the path what the loss does not depend on.
  void markUseful() {
    DenseSet<Value> useful = {grad.getLoss()};
    SmallVector<Operation *> kept;
    for (Operation *op : llvm::reverse(path)) {
      if (llvm::none_of(op->getResults(), [&](Value y) { return useful.contains(y); }))
        continue;
      kept.push_back(op);
      for (Value operand : op->getOperands())
        if (active.contains(operand))
          useful.insert(operand);
    }
    path.assign(kept.rbegin(), kept.rend());
  }

  LogicalResult propagate(Operation *op) {
    SmallVector<Value> upstream, gradients;
    for (Value result : op->getResults())
      upstream.push_back(total.lookup(result));
    if (llvm::none_of(upstream, [](Value dy) { return bool(dy); }))
      return success();
    auto rule = dyn_cast<GradientInterface>(op);
    if (!rule) {
      InFlightDiagnostic error =
          op->emitError("expected a gradient rule, for the loss depends on it, found none for '")
          << op->getName() << "'; put a stop_gradient before it, or leave it out";
      error.attachNote(grad.getLoc()) << "differentiated here";
      return error;
    }
    Operation *before = grad->getPrevNode();
    if (failed(rule.buildGradient(builder, upstream, gradients)))
      return failure();
    Operation *first = before == grad->getPrevNode() ? nullptr
                       : before                      ? before->getNextNode()
                                                     : &grad->getBlock()->front();
    for (auto [i, gradient] : llvm::enumerate(gradients))
      if (Value operand = op->getOperand(i); gradient && active.contains(operand)) {
        gradient = guards.pass(builder, rule, i, {upstream, gradient, first});
        Value &sum = total[operand];
        sum = sum ? Emit{builder, gradient.getLoc()}.add(sum, gradient) : gradient;
      }
    return success();
  }

  GradOp grad;
  OpBuilder builder;
  DenseSet<Value> active;
  SmallVector<Operation *> path;
  DenseMap<Value, Value> total;
  moe::Guards guards;
  Arrivals &arrivals;
};

/// Marks the results that a gradient leads to as backward, and in an entry that has such ones all others as forward, so
/// that a result that a later pass adds is known from those that there were. A gradient that another one's loss
/// is made of (a penalty on gradients) belongs to the forward part of that one.
void markBackward(EntryOp entry) {
  DenseSet<Operation *> ofLosses, backward;
  for (Operation &op : llvm::reverse(entry.getBody().front())) {
    if (ofLosses.contains(&op))
      for (Value x : op.getOperands())
        ofLosses.insert(x.getDefiningOp());
    else if (auto grad = dyn_cast<GradOp>(op))
      ofLosses.insert(grad.getLoss().getDefiningOp());
  }
  for (Operation &op : entry.getBody().front()) {
    const bool begins = isa<GradOp>(op) && !ofLosses.contains(&op);
    if (begins ||
        llvm::any_of(op.getOperands(), [&](Value x) { return backward.contains(x.getDefiningOp()); }))
      backward.insert(&op);
  }
  if (backward.empty())
    return;
  for (Operation &op : entry.getBody().front()) {
    auto mark = [&](auto result) {
      if (result && !result.getPart())
        result.setPart(backward.contains(&op) ? Part::backward : Part::forward);
    };
    mark(dyn_cast<OutputOp>(op));
    mark(dyn_cast<ExposeOp>(op));
  }
}

/// Training does not move these parameters, except by weight decay. An author who wants that has said so by a
/// stop_gradient, so it is no error.
void warnOfUntrained(const Arrivals &arrivals) {
  for (auto [parameter, arrives] : arrivals)
    if (auto entry = parameter->getParentOfType<EntryOp>(); !arrives && entry.getKind() == EntryKind::train)
      mlir::emitWarning(parameter.getLoc())
          << "parameter '" << parameter.getPath() << "' is not trained by entry '" << entry.getSymName()
          << "': no derivative of the loss arrives at it";
}

struct Differentiate : PassWrapper<Differentiate, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Differentiate)
  StringRef getArgument() const final { return "moe-differentiate"; }
  StringRef getDescription() const final { return "replace flow.grad by the ops that compute it"; }

  void runOnOperation() final {
    getOperation().walk(markBackward);
    SmallVector<GradOp> grads;
    getOperation().walk([&](GradOp grad) { grads.push_back(grad); });
    Arrivals arrivals;
    for (GradOp grad : grads)
      if (failed(Lowering(grad, arrivals).run()))
        return signalPassFailure();
    warnOfUntrained(arrivals);
  }
};
PassRegistration<Differentiate> registration;

} // namespace

std::unique_ptr<Pass> moe::createDifferentiate() { return std::make_unique<Differentiate>(); }
