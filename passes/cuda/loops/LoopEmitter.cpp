// Emits a loop group as one kernel, or as two if a reduction is split into chunks. The structure of a kernel:
//   find the unit of the thread's team (LoopSchedule.h) and its index along each dimension of the units
//   for each nest: the team's threads share the points inside of the unit
//     compute the stages' values at the point, then store them
//     wait for the team
// A value without a dimension inside of the unit is in registers of all threads of the team; if it is a result, the
// team's first thread stores it. Every other store is made by the one thread that has the point. So no result depends
// on the order in which threads, warps or blocks run.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/cuda/loops/LoopKernel.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cuda {

// Stores a stage's value at the current point. `place` is the point, if it is not that of a reduction's result.
void LoopKernel::storeStage(Value stage, Value value, std::optional<Place> place) {
  auto found = targets.find(stage);
  if (found == targets.end())
    return;
  values.store(value, found->second, indexOf(stage), {});
  for (unsigned i = 0; i < group.getNumResults(); ++i)
    if (yielded(i) == stage)
      stores.push_back({i, place});
}

void LoopKernel::emitParallel(const LoopNest &nest, int vector) {
  const SmallVector<unsigned> own = inside(nest.dims);
  auto point = [&](Values) {
    values.newPoint();
    SmallVector<std::pair<Value, Value>> results;
    for (unsigned s : nest.stages) {
      Value stage = a.stages[s].value;
      // By `get`, so that other stages of this point find the value.
      results.push_back({stage, values.get(stage, indexOf(stage), {})});
    }
    auto storeAll = [&] {
      for (auto [stage, value] : results)
        storeStage(stage, value, values.placeOf(indexOf(stage)));
    };
    if (own.empty()) {
      for (auto [stage, value] : results)
        values.uniform[stage] = value;
      // All threads have read what the first one may overwrite.
      if (llvm::any_of(results, [&](auto &result) { return targets.count(result.first); })) {
        sync();
        once(rank, storeAll);
      }
    } else {
      storeAll();
    }
    return Values();
  };
  if (shape.team == 1)
    loops(own, {}, false, point);
  else
    share(own, vector, rank, shape.team, {}, point);
}

void LoopKernel::emitNest(unsigned number) {
  const LoopNest &nest = a.nests[number];
  const int vector = shape.vectors[number];
  values.nestBlock = b().getInsertionBlock();
  values.nest = number;
  const bool chunked = part == combine && number == 0;
  const bool columns = vector >= 0 && llvm::is_contained(nest.dims, unsigned(vector));
  if (!nest.reduces)
    emitParallel(nest, vector);
  else if (shape.team == 1 || columns || (chunked && !inside(nest.dims).empty()))
    emitColumns(nest, vector);
  else
    emitRows(nest, vector);
  for (unsigned s : nest.stages)
    if (auto found = targets.find(a.stages[s].value); found != targets.end())
      values.stored[a.stages[s].value] = found->second;
}

LaunchSpec LoopKernel::emit(GroupCode &code) {
  if (schedule.split)
    chunkCount = a.dims[schedule.splitDim].extent.ceildiv(schedule.splitChunk);
  if (shape.team > 1) {
    auto number = [&](Value x, int64_t y, bool rest) {
      return rest ? m.rem(x, k.i64(y)) : m.div(x, k.i64(y));
    };
    warp = number(kernel.thread(), kWarp, false);
    lane = number(kernel.thread(), kWarp, true);
    rank = shape.team == kWarp ? lane : kernel.thread();
  }
  bindOperands();
  bindResults();
  if (part != whole)
    bindPartials(code);
  bindShared();
  emitUnits([&] {
    for (unsigned number = 0; number < a.nests.size(); ++number) {
      if (part == partial && number > 0)
        break;
      if (number > 0)
        sync();
      emitNest(number);
    }
  });
  if (part != combine) // once per group is enough
    for (flow::Extent elements : countsWithoutBuffer(group))
      k.extent(plan::fromExtent(
          elements)); // a launch scalar: the loader checks that it is no more than can be indexed
  flow::Extent count = flow::Extent::constant(group.getContext(), 1);
  for (unsigned d : shape.units)
    count = count * unitsAlong(d);
  if (part == partial)
    count = count * chunkCount;
  return kernel.finish(count.ceildiv(shape.block / shape.team));
}

FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  LoopGroup described(group, layouts);
  if (failed(described.verify()))
    return failure();
  std::string reason;
  std::optional<LoopSchedule> schedule = LoopSchedule::run(described.source, &reason);
  if (!schedule)
    return group.emitError("expected a group that one kernel can run: ") << reason;
  GroupCode code;
  auto emit = [&](LoopKernel::Part part, const LoopShape &shape) {
    KernelBuilder builder = module.begin("loop", shape.block, group.getLoc());
    LoopKernel kernel(group, layouts, *schedule, shape, part, builder);
    LaunchSpec launch = kernel.emit(code);
    described.describe(launch, part != LoopKernel::combine);
    code.launches.push_back(std::move(launch));
    if (part == LoopKernel::whole)
      code.inPlace = kernel.resultsInPlace();
  };
  if (schedule->split) {
    emit(LoopKernel::partial, schedule->first);
    emit(LoopKernel::combine, schedule->second);
  } else {
    emit(LoopKernel::whole, schedule->first);
  }
  return code;
}

} // namespace moe::cuda
