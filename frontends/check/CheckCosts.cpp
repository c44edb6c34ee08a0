// See CheckCosts.h. A cost is what an author would say that the op computes, so it is held between bounds: at least one
// operation a point, if the body has any, and at most what the body has.
#include "frontends/check/CheckCosts.h"
#include "frontends/check/CheckOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Block.h"
#include "runtime/base/Result.h"
#include <limits>

using namespace mlir;
using flow::ComputeKind;

namespace moe {
namespace {

/// What a function such as exp counts as: more than any that is made of a polynomial takes.
constexpr int64_t perFunction = 32;

/// Counts the operations of scalar bodies.
class Body {
public:
  explicit Body(MLIRContext *context) : builder(context) { builder.setInsertionPointToEnd(&block); }
  ~Body() { block.dropAllReferences(); }

  Value operand(Type type) { return block.addArgument(type, builder.getUnknownLoc()); }
  OpBuilder &at() { return builder; }
  int64_t operations() {
    int64_t count = 0;
    for (Operation &op : block)
      if (!isa<arith::ConstantOp>(op))
        count += op.getName().getDialectNamespace() == "math" ? perFunction : 1;
    return count;
  }

private:
  Block block;
  OpBuilder builder;
};

Type scalarOf(Value x) { return flow::elementTypesOf(x.getType()).compute; }

/// The operations that a point takes; nothing where the op has no body.
std::optional<int64_t> operationsOfPoint(Operation *op) {
  auto compute = cast<flow::ComputeInterface>(op);
  Body body(op->getContext());
  Location loc = op->getLoc();
  auto indices = [&] {
    return llvm::map_to_vector(compute.indexDims(),
                               [&](unsigned) { return body.operand(body.at().getI32Type()); });
  };
  SmallVector<Value> operands;
  if (auto reduction = dyn_cast<flow::ReductionInterface>(op)) {
    for (unsigned i : flow::valueOperands(compute.accesses()))
      operands.push_back(body.operand(scalarOf(op->getOperand(i))));
    SmallVector<Value> parts;
    for (const flow::Accumulator &part : reduction.accumulators())
      parts.push_back(body.operand(part.element));
    SmallVector<Value> added = reduction.buildElement(body.at(), loc, operands, indices());
    reduction.buildFinish(body.at(), loc, reduction.buildCombine(body.at(), loc, parts, added));
    return body.operations();
  }
  if (compute.computeKind() == ComputeKind::generator)
    operands = indices();
  else
    for (Value operand : op->getOperands())
      operands.push_back(body.operand(scalarOf(operand)));
  if (!compute.buildScalar(body.at(), loc, operands))
    return std::nullopt;
  return body.operations();
}

/// What the ops of a composite cost together.
int64_t costOfParts(flow::ComputeInterface op, const flow::Symbols &symbols) {
  OpBuilder builder(op);
  Operation *before = op->getPrevNode();
  op.decompose(builder);
  int64_t sum = 0;
  while (Operation *part = op->getPrevNode()) {
    if (part == before)
      break;
    if (auto cost = dyn_cast<flow::CostInterface>(part))
      sum += cost.cost().flops.evaluate(symbols).value_or(0);
    part->erase();
  }
  return sum;
}

} // namespace

moert::Status checkCost(OpCase &one, Operation *op) {
  const flow::Symbols &symbols = one.bindings.setting.symbols;
  auto compute = cast<flow::ComputeInterface>(op);
  const ComputeKind kind = compute.computeKind();
  const flow::Cost cost = cast<flow::CostInterface>(op).cost();
  const int64_t stated = cost.flops.evaluate(symbols).value_or(-1);
  auto sizeOf = [&](ArrayRef<flow::Extent> extents) {
    return flow::productOf(extents, op->getContext()).evaluate(symbols).value_or(0);
  };
  if (cost.contraction && kind != ComputeKind::emitter)
    return moert::invalidInput(
        "expected a contraction to be an emitter, found an op that is computed by a body, ",
        "a view or other ops, of\n", one.text());
  int64_t least = 0, most = std::numeric_limits<int64_t>::max();
  switch (kind) {
  case ComputeKind::view: // a choice for each element, where some are outside
    most = sizeOf(flow::extentsOf(op->getResult(0)));
    break;
  case ComputeKind::elementwise:
  case ComputeKind::reduction:
  case ComputeKind::generator: {
    const int64_t points = flow::elementwiseCost(op).flops.evaluate(symbols).value_or(0);
    const std::optional<int64_t> operations = operationsOfPoint(op);
    least = operations.value_or(0) > 0 ? points : 0;
    most = points * std::max<int64_t>(operations.value_or(perFunction), 1);
    break;
  }
  case ComputeKind::emitter: {
    const SmallVector<flow::Access> accesses = compute.accesses();
    if (!cost.contraction || accesses.empty())
      break; // what the kernel computes at a point is not known
    most = 2 * sizeOf(compute.iterationSpace());
    int64_t pairs = 1;
    least = most;
    for (Value operand : op->getOperands()) {
      least = std::min(least, sizeOf(flow::extentsOf(operand)));
      pairs *= sizeOf(flow::extentsOf(operand));
    }
    // Padding counts as an image does, and the space of a gradient in an image has none.
    if (llvm::any_of(accesses, [](auto &access) { return llvm::is_contained(access.bounded, true); }))
      most = std::max(most, 2 * pairs);
    break;
  }
  case ComputeKind::composite:
    most = costOfParts(compute, symbols);
    least = most / 4;
    break;
  }
  if (stated < least || stated > most)
    return moert::invalidInput("expected a cost of ", least, " to ", most, " operations, found ", stated,
                               ", of\n", one.text());
  return moert::okStatus();
}

} // namespace moe
