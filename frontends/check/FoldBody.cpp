#include "frontends/check/FoldBody.h"
#include "dialects/flow/Define.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace moe {

Attribute FoldBody::valueOf(Value value) {
  if (Attribute before = known.lookup(value))
    return before;
  Operation *op = value.getDefiningOp();
  Attribute result;
  if (op && matchPattern(op, m_Constant(&result)))
    return known[value] = result;
  SmallVector<Attribute> operands;
  for (Value operand : op->getOperands()) {
    operands.push_back(valueOf(operand));
    if (!operands.back())
      return {};
  }
  SmallVector<OpFoldResult> results;
  if (failed(op->fold(operands, results)) || results.empty())
    return {};
  OpFoldResult folded = results[cast<OpResult>(value).getResultNumber()];
  result = isa<Attribute>(folded) ? cast<Attribute>(folded) : valueOf(cast<Value>(folded));
  return known[value] = result;
}

std::optional<FoldBody::Numbers> FoldBody::run(ArrayRef<Type> types, ArrayRef<double> values, Body body) {
  Block block;
  OpBuilder builder(context);
  builder.setInsertionPointToEnd(&block);
  Location location = builder.getUnknownLoc();
  SmallVector<Value> operands;
  for (auto [type, value] : llvm::zip_equal(types, values))
    operands.push_back(flow::splat(builder, location, type, value));
  std::optional<Numbers> numbers = Numbers();
  known.clear();
  for (Value result : body(builder, location, operands)) {
    Attribute value = valueOf(result);
    if (!value)
      numbers = std::nullopt;
    if (!numbers)
      break;
    if (auto real = dyn_cast<FloatAttr>(value))
      numbers->push_back(real.getValueAsDouble());
    else if (auto whole = dyn_cast<IntegerAttr>(value))
      numbers->push_back(whole.getType().isInteger(1) ? double(whole.getValue().getBoolValue())
                                                      : double(whole.getValue().getSExtValue()));
    else
      numbers = std::nullopt;
  }
  block.dropAllReferences();
  return numbers;
}

} // namespace moe
