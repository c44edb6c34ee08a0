// A loop group becomes one kernel, or two where a reduction is cut into chunks. The kernel's frame:
//   for every work unit, its index along the unit dimensions (and for every row of its chunk):
//     for every nest: loops over the nest's own dimensions, lanes along its vector dimension;
//       the stages' values at that point, then their stores.
// Reductions keep their accumulators in registers: vectors of neighbouring results where lanes run along a
// result's axis, else several partial vectors that a fixed tree combines. Nothing depends on how units are
// split among threads.
#include "passes/cpu/loops/LoopKernel.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cpu {

LaunchSpec LoopKernel::emit(GroupCode &code) {
  MLIRContext *context = group.getContext();
  if (a.split) {
    chunkCount = a.dims[a.splitDim].extent.ceildiv(a.splitChunk);
  }
  bindBuffers(code);
  emitUnits();
  if (part != combine) // a launch of the group is enough
    for (flow::Extent elements : countsWithoutBuffer(group))
      k.extent(plan::fromExtent(elements)); // a launch scalar, which the loader holds to what lanes can index
  LaunchSpec launch = k.finish();
  flow::Extent units = flow::Extent::constant(context, 1);
  if (part == partial)
    units = chunkCount;
  else if (part == whole)
    for (unsigned d : a.units)
      units = units * (d == a.units.back() ? a.dims[d].extent.ceildiv(a.chunk) : a.dims[d].extent);
  launch.units = plan::fromExtent(units);
  if (part != whole)
    return launch;
  for (unsigned i = 0; i < group.getNumResults(); ++i)
    for (unsigned j = 0; j < group.getNumOperands(); ++j)
      if (mayOverwrite(i, j))
        inPlace.push_back({i, j});
  return launch;
}

FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group, INT32_MAX)))
    return failure();
  Block &body = group.getBody().front();
  LoopSource source;
  for (Operation &op : body.without_terminator())
    source.ops.push_back(&op);
  for (Value value : body.getTerminator()->getOperands())
    if (!llvm::is_contained(source.outputs, value))
      source.outputs.push_back(value);
  auto layoutOf = [&](Value value) -> Layout {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return layouts.operand(argument.getArgNumber());
    for (auto [i, yielded] : llvm::enumerate(body.getTerminator()->getOperands()))
      if (yielded == value)
        return layouts.result(i);
    return {};
  };
  source.layout = layoutOf;
  source.batch = flow::plannedBatch(group);

  if (source.outputs.size() != body.getTerminator()->getNumOperands())
    return group.emitError(
        "expected every result of a loop group to be a value of its own, found one that leaves twice");
  std::string reason;
  std::optional<LoopAnalysis> analysis = LoopAnalysis::run(source, module.target(), &reason);
  if (!analysis)
    return group.emitError("expected a group that one kernel can run: ") << reason;

  GroupCode code;
  flow::Extent flops = flow::Extent::constant(group.getContext(), 0), bytes = flops;
  for (Operation &op : body.without_terminator())
    if (auto cost = dyn_cast<flow::CostInterface>(op))
      flops = flops + cost.cost().flops;
  for (auto values : {ValueRange(group.getInputs()), ValueRange(group.getOutputs())})
    for (Type type : values.getTypes())
      bytes = bytes + flow::bytesOf(type);
  std::string name = "elementwise";
  for (Operation &op : body.without_terminator())
    if (isa<flow::ReductionInterface>(op))
      name = "reduce";

  auto emit = [&](LoopKernel::Part part) {
    LoopKernel kernel(group, layouts, *analysis, module, part, module.target());
    LaunchSpec launch = kernel.emit(code);
    launch.op = name;
    bool main = part != LoopKernel::combine;
    flow::Extent zero = flow::Extent::constant(group.getContext(), 0);
    launch.flops = plan::fromExtent(main ? flops : zero);
    launch.bytes = plan::fromExtent(main ? bytes : zero);
    code.launches.push_back(std::move(launch));
    code.inPlace.append(kernel.inPlace);
  };
  if (analysis->split) {
    emit(LoopKernel::partial);
    emit(LoopKernel::combine);
  } else {
    emit(LoopKernel::whole);
  }
  return code;
}

} // namespace moe::cpu
