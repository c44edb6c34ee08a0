// Chooses the emitter of a group by its root.
#include "dialects/flow/Flow.h"
#include "passes/cpu/code/KernelBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moe::cpu {

FailureOr<GroupCode> KernelModule::emit(flow::GroupOp group, const GroupLayouts &layouts) {
  KernelModule &module = *this;
  Operation *root = group.getRoot();
  if (!root)
    return emitLoopGroup(group, layouts, module);
  return TypeSwitch<Operation *, FailureOr<GroupCode>>(root)
      .Case<flow::ContractOp, flow::GroupedContractOp>(
          [&](Operation *) { return emitContractGroup(group, layouts, module); })
      .Case<flow::ConvOp, flow::ConvInputGradOp, flow::ConvWeightGradOp>(
          [&](Operation *) { return emitConvGroup(group, layouts, module); })
      .Case([&](flow::CountingSortOp) { return emitSortGroup(group, module); })
      .Case<flow::AttentionOp, flow::AttentionGradOp>(
          [&](Operation *) { return emitAttentionGroup(group, module); })
      .Default([](Operation *op) -> FailureOr<GroupCode> {
        return op->emitError("expected an op that the CPU has an emitter for, found '")
               << op->getName() << "'";
      });
}

} // namespace moe::cpu
