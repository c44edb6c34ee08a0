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
  if (schedule.split)
    chunkCount = a.dims[schedule.splitDim].extent.ceildiv(schedule.splitChunk);
  bindBuffers(code);
  emitUnits();
  if (part != combine) // once per group is enough
    for (flow::Extent elements : countsWithoutBuffer(group))
      k.extent(plan::fromExtent(
          elements)); // a launch scalar: the loader checks that lanes can index so many elements
  LaunchSpec launch = kernel.finish();
  flow::Extent units = flow::Extent::constant(context, 1);
  if (part == partial)
    units = chunkCount;
  else if (part == whole)
    for (unsigned d : schedule.units)
      units =
          units * (d == schedule.units.back() ? a.dims[d].extent.ceildiv(schedule.chunk) : a.dims[d].extent);
  // A unit may take less than two microseconds, and claiming one half of a microsecond where threads do so at once.
  constexpr int64_t kUnitsTogether = 8;
  launch.work = plan::CpuWorkAttr::get(context, plan::fromExtent(units), part == whole ? kUnitsTogether : 1);
  return launch;
}

FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  LoopGroup described(group, layouts);
  if (failed(described.verify()))
    return failure();
  std::string reason;
  std::optional<LoopAnalysis> analysis = LoopAnalysis::run(described.source, module.target(), &reason);
  if (!analysis)
    return group.emitError("expected a group that one kernel can run: ") << reason;

  GroupCode code;
  auto emit = [&](LoopKernel::Part part) {
    KernelBuilder builder = module.begin("loop", group.getLoc());
    LoopKernel kernel(group, layouts, *analysis, part, builder);
    LaunchSpec launch = kernel.emit(code);
    described.describe(launch, part != LoopKernel::combine);
    code.launches.push_back(std::move(launch));
    if (part == LoopKernel::whole)
      code.inPlace = kernel.resultsInPlace();
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
