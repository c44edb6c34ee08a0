// The kernel of a loop group on a GPU under construction. LoopEmitter.cpp describes its structure and emits the nests
// without reductions, LoopReductions.cpp those with reductions, and LoopThreads.cpp has what concerns threads: units,
// how a team shares points, and where values are stored. What all targets have in common is in
// kernels/loops/LoopCode.h.
#pragma once
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/cuda/loops/LoopSchedule.h"
#include "passes/kernels/loops/LoopCode.h"

namespace moe::cuda {

class LoopKernel : public LoopCode {
public:
  LoopKernel(flow::GroupOp group, const GroupLayouts &layouts, const LoopSchedule &schedule,
             const LoopShape &shape, Part part, KernelBuilder &kernel)
      : LoopCode(group, layouts, schedule, shape.units, part, kernel, shape.width), schedule(schedule),
        shape(shape), kernel(kernel) {}

  LaunchSpec emit(GroupCode &code);

private:
  // LoopThreads.cpp
  void bindShared();
  /// Emits the body for the unit of the current thread, with the index along each dimension of the units set.
  void emitUnits(llvm::function_ref<void()> body);
  flow::Extent unitsAlong(unsigned dim) const;
  /// Waits for the team.
  void sync();
  /// Emits code for one thread of the team, or of some of its threads: the one whose rank is 0.
  void once(mlir::Value rank, llvm::function_ref<void()> body);
  /// The dimensions that are not split among units, without the chunks' own.
  llvm::SmallVector<unsigned> inside(llvm::ArrayRef<unsigned> dims) const;
  /// The loops over dimensions as one loop, whose iterations `count` threads share: from `rank` on, in steps of
  /// `count`. The dimension `vector` has vectors of neighbouring elements, and varies fastest. With runs, the
  /// iterations are cut into runs, each of which begins from the start.
  Values share(llvm::ArrayRef<unsigned> dims, int vector, mlir::Value rank, int64_t count, Values carried,
               llvm::function_ref<Values(Values)> body);
  Values shareInRuns(const LoopNest &nest, llvm::ArrayRef<unsigned> dims, int vector, mlir::Value rank,
                     int64_t count, const Values &start, llvm::function_ref<Values(Values)> body);
  /// The number of iterations of such a loop, and the index along each dimension in iteration `i`.
  struct Shared {
    llvm::SmallVector<unsigned> dims;
    llvm::SmallVector<LoopRange> ranges;
    llvm::SmallVector<mlir::Value> counts;
    mlir::Value total;
    std::optional<int64_t> known; ///< the total
  };
  Shared sharedLoop(llvm::ArrayRef<unsigned> dims, int vector);
  void enterShared(const Shared &loop, int vector, mlir::Value i);
  /// Quotient and remainder of non-negative numbers below 2^31.
  std::pair<mlir::Value, mlir::Value> divide(mlir::Value x, mlir::Value y);

  // LoopEmitter.cpp
  void emitNest(unsigned number);
  void emitParallel(const LoopNest &nest, int vector);
  void storeStage(mlir::Value stage, mlir::Value value, std::optional<Place> place);

  // LoopReductions.cpp
  void emitColumns(const LoopNest &nest, int vector);
  void emitRows(const LoopNest &nest, int vector);
  Values addPoint(const LoopNest &nest, const Values &accumulators);
  Values combinedAll(const LoopNest &nest, mlir::ValueRange x, mlir::ValueRange y);
  Values acrossThreads(const LoopNest &nest, const Values &accumulators, int64_t count);
  Values acrossWarps(const LoopNest &nest, Values accumulators);
  Values exchanged(mlir::ValueRange values, int64_t offset);
  void finish(const LoopNest &nest, const LoopStage &stage, Values accumulators, mlir::Value number);
  void finishAll(const LoopNest &nest, const Values &sums, mlir::Value number);

  const LoopSchedule &schedule;
  const LoopShape &shape;
  KernelBuilder &kernel;
  /// The thread's number in its team, the warp's, and the thread's in its warp; null if the team is one thread.
  mlir::Value rank, warp, lane;
  /// Shared memory for a value of each warp, by the number and type of the accumulator.
  llvm::DenseMap<std::pair<size_t, mlir::Type>, mlir::Value> warpSlots;
};

} // namespace moe::cuda
