#include "passes/kernels/StructuralKey.h"
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Precision.h"
#include "dialects/flow/Recomputed.h"
#include "passes/kernels/ContractForm.h"

using namespace mlir;

namespace moe::kernels {

StructuralKey::StructuralKey(ArrayRef<Operation *> ops, ArrayRef<Value> outputs,
                             llvm::function_ref<Layout(Value)> layout, ValueRange inputs) {
  llvm::SmallDenseMap<Value, unsigned, 32> numbers; // by first appearance
  auto addPointer = [&](const void *pointer) { add(reinterpret_cast<uintptr_t>(pointer)); };
  auto addLayout = [&](Value value) {
    const Layout order = layout(value);
    add(order.size());
    for (int64_t axis : order)
      add(axis);
  };
  auto addOperand = [&](Value value) {
    auto [slot, outside] = numbers.try_emplace(value, numbers.size());
    add(slot->second);
    if (!outside)
      return;
    addPointer(value.getType().getAsOpaquePointer());
    addLayout(value);
  };
  add(inputs.size());
  llvm::for_each(inputs, addOperand);
  for (Operation *op : ops) {
    addPointer(op->getName().getAsOpaquePointer());
    addPointer(op->getPropertiesAsAttribute().getAsOpaquePointer());
    // An op without properties has all of its attributes among the discardable ones.
    if (!op->getPropertiesStorageSize())
      for (NamedAttribute attribute : op->getAttrs())
        if (attribute.getName() != flow::recomputedName) {
          addPointer(attribute.getName().getAsOpaquePointer());
          addPointer(attribute.getValue().getAsOpaquePointer());
        }
    if (op->getNumRegions()) // regions are not compared, so such an op equals only itself
      addPointer(op);
    add(op->getNumOperands());
    llvm::for_each(op->getOperands(), addOperand);
    for (Value result : op->getResults()) {
      addPointer(result.getType().getAsOpaquePointer());
      numbers.try_emplace(result, numbers.size());
    }
  }
  for (Value output : outputs) {
    add(numbers.lookup(output));
    addLayout(output);
  }
}

static SmallVector<Operation *> opsOf(flow::GroupOp group) {
  SmallVector<Operation *> ops;
  for (Operation &op : group.getBody().front().without_terminator())
    ops.push_back(&op);
  return ops;
}

StructuralKey::StructuralKey(flow::GroupOp group, const GroupLayouts &layouts)
    : StructuralKey(
          opsOf(group), llvm::to_vector(group.getBody().front().getTerminator()->getOperands()),
          [&](Value value) -> Layout {
            if (auto argument = dyn_cast<BlockArgument>(value))
              return layouts.operand(argument.getArgNumber());
            for (OpOperand &use : group.getBody().front().getTerminator()->getOpOperands())
              if (use.get() == value)
                return layouts.result(use.getOperandNumber());
            return {};
          },
          group.getBody().getArguments()) {
  // A value may leave twice, in two layouts.
  for (unsigned i = 0; i < group.getNumResults(); ++i) {
    const Layout order = layouts.result(i);
    add(order.size());
    for (int64_t axis : order)
      add(axis);
  }
  const flow::Symbols batch = flow::plannedBatch(group);
  add(batch.D);
  add(batch.N);
  add(int64_t(flow::precisionOf(group)));
  if (group.getRoot())
    for (Value operand : group.getInputs())
      add(followsFromParameters(operand));
}

} // namespace moe::kernels
