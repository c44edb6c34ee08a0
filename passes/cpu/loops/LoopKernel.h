// The kernel of a loop group on the CPU under construction. LoopEmitter.cpp describes its structure. LoopKernel.cpp
// emits the loops, LoopBuffers.cpp decides where values are stored, and LoopReductions.cpp emits reductions. What
// all targets have in common is in kernels/loops/LoopCode.h.
#pragma once
#include "passes/cpu/code/KernelBuilder.h"
#include "passes/cpu/loops/LoopAnalysis.h"
#include "passes/kernels/loops/LoopCode.h"

namespace moe::cpu {

class LoopKernel : public LoopCode {
public:
  LoopKernel(flow::GroupOp group, const GroupLayouts &layouts, const LoopAnalysis &analysis, Part part,
             KernelBuilder &kernel)
      : LoopCode(group, layouts, analysis, analysis.units, part, kernel, kernel.target().lanes()),
        schedule(analysis), registers(kernel.target().registers), kernel(kernel) {}

  LaunchSpec emit(GroupCode &code);

private:
  void bindBuffers(GroupCode &code);
  void emitUnits();
  void emitNests();
  void emitNest(const LoopNest &nest);
  void emitParallel(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  void emitColumns(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  void emitRows(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  Values combineTree(const LoopNest &nest, Values sums, unsigned count);
  Values vectorsInRuns(const LoopNest &nest, llvm::ArrayRef<unsigned> around, LoopRange range, unsigned count,
                       const Values &start,
                       llvm::function_ref<Values(mlir::Value, unsigned, Mask, Values)> body);
  /// A loop over a range in vectors: full ones, then a masked one for the rest.
  Values vectors(LoopRange range, unsigned count, Values carried,
                 llvm::function_ref<Values(mlir::Value, unsigned, Mask, Values)> body);
  Mask firstLanes(mlir::Value count);
  void finish(const LoopNest &nest, const LoopStage &stage, Values accumulators, Mask mask);
  bool isVectorChunk(unsigned dim) const { return schedule.vectorChunk && dim == schedule.units.back(); }

  const LoopAnalysis &schedule;
  int64_t registers;
  KernelBuilder &kernel;
  llvm::MapVector<mlir::Value, int64_t> chunkStride; // of stages in scratch, which have only the unit's chunk
};

} // namespace moe::cpu
