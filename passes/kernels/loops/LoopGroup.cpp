// A loop group as the analysis of loop nests reads it; see LoopCode.h.
#include "passes/kernels/loops/LoopCode.h"

using namespace mlir;

namespace moe::kernels {

LoopGroup::LoopGroup(flow::GroupOp owner, const GroupLayouts &layouts) : group(owner) {
  Block &body = group.getBody().front();
  for (Operation &op : body.without_terminator())
    source.ops.push_back(&op);
  for (Value value : body.getTerminator()->getOperands())
    if (!llvm::is_contained(source.outputs, value))
      source.outputs.push_back(value);
  layoutOf = [&layouts, &body](Value value) -> Layout {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return layouts.operand(argument.getArgNumber());
    for (auto [i, yielded] : llvm::enumerate(body.getTerminator()->getOperands()))
      if (yielded == value)
        return layouts.result(i);
    return {};
  };
  source.layout = layoutOf;
  source.batch = flow::plannedBatch(group);
}

LogicalResult LoopGroup::verify() {
  if (source.outputs.size() == group.getNumResults())
    return success();
  return group.emitError(
      "expected every result of a loop group to be another value, found one value as two results");
}

void LoopGroup::describe(LaunchSpec &launch, bool main) const {
  flow::GroupOp owner = group;
  flow::Extent zero = flow::Extent::constant(owner.getContext(), 0), flops = zero, bytes = zero;
  launch.op = "elementwise";
  for (Operation *op : source.ops) {
    if (auto cost = dyn_cast<flow::CostInterface>(op))
      flops = flops + cost.cost().flops;
    if (isa<flow::ReductionInterface>(op))
      launch.op = "reduce";
  }
  for (auto values : {ValueRange(owner.getInputs()), ValueRange(owner.getOutputs())})
    for (Type type : values.getTypes())
      bytes = bytes + flow::bytesOf(type);
  launch.flops = plan::fromExtent(main ? flops : zero);
  launch.bytes = plan::fromExtent(main ? bytes : zero);
}

} // namespace moe::kernels
