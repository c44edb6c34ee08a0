// Emits a loop group as one kernel, or as two if a reduction is split into chunks. The structure of a kernel:
//   for each work unit: compute its indices along the unit dimensions
//     for each index of its chunk of the last unit dimension:
//       for each nest: loops over the nest's other dimensions, with vectors along its vectorised dimension
//         compute the stages' values at this point, then store them
// Reductions keep their accumulators in registers. If the vectorised dimension is an axis of the result,
// these are vectors of neighbouring results; otherwise they are several partial vectors, which are combined
// in a tree of fixed shape. The results do not depend on how units are distributed over threads.
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
  if (part != combine) // once per group is enough
    for (flow::Extent elements : countsWithoutBuffer(group))
      k.extent(plan::fromExtent(
          elements)); // a launch scalar: the loader checks that lanes can index so many elements
  LaunchSpec launch = k.finish();
  flow::Extent units = flow::Extent::constant(context, 1);
  if (part == partial)
    units = chunkCount;
  else if (part == whole)
    for (unsigned d : a.units)
      units = units * (d == a.units.back() ? a.dims[d].extent.ceildiv(a.chunk) : a.dims[d].extent);
  launch.work = plan::CpuWorkAttr::get(context, plan::fromExtent(units), /*grain=*/1);
  if (part != whole)
    return launch;
  for (unsigned i = 0; i < group.getNumResults(); ++i)
    for (unsigned j = 0; j < group.getNumOperands(); ++j)
      if (mayOverwrite(i, j))
        inPlace.push_back({i, j});
  return launch;
}

FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
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
        "expected every result of a loop group to be another value, found one value as two results");
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
