// The kernel of a loop group under construction. LoopEmitter.cpp describes its structure. LoopKernel.cpp
// emits the loops, LoopBuffers.cpp decides where values are stored, and LoopReductions.cpp emits reductions.
#pragma once
#include "passes/cpu/loops/LoopAnalysis.h"
#include "passes/cpu/loops/LoopValues.h"

namespace moe::cpu {

struct LoopRange {
  mlir::Value low, high;       // i64
  std::optional<int64_t> size; // if it is known
};

class LoopKernel {
public:
  enum Part { whole, partial, combine };

  LoopKernel(flow::GroupOp group, const GroupLayouts &layouts, const LoopAnalysis &analysis,
             KernelModule &module, Part part, const CpuTarget &target)
      : group(group), layouts(layouts), a(analysis), width(target.lanes()), registers(target.registers),
        part(part), k(module.begin("loop", group.getLoc())), m(k, width), values(k, m, width) {}

  LaunchSpec emit(GroupCode &code);

private:
  mlir::OpBuilder &b() { return k.builder(); }
  mlir::Location loc() { return k.loc(); }
  mlir::Value extent(flow::Extent e) { return k.extent(plan::fromExtent(e)); }
  mlir::Value yielded(unsigned i) { return group.getBody().front().getTerminator()->getOperand(i); }
  bool mayOverwrite(unsigned result, unsigned operand);

  void bindBuffers(GroupCode &code);
  Storage tensorStorage(mlir::Value pointer, mlir::Value value, Layout layout);
  void bindPartials(GroupCode &code);
  void emitUnits();
  void emitNests();
  void emitNest(const LoopNest &nest);
  void emitParallel(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  void emitColumns(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  void emitRows(const LoopNest &nest, llvm::ArrayRef<unsigned> loops);
  Values combineTree(const LoopNest &nest, Values sums, unsigned count);

  /// In a list of dimensions, stands for the loop over the chunks of a split reduction.
  static constexpr unsigned chunkDim = LoopAnalysis::none - 1;
  LoopRange rangeOf(unsigned dim);
  /// Sets the current index along the dimension.
  void enter(unsigned dim, mlir::Value i);
  /// for i in [low, high) by step, with carried values.
  Values loop(mlir::Value low, mlir::Value high, int64_t step, Values carried,
              llvm::function_ref<Values(mlir::Value, Values)> body);
  void loop(mlir::Value low, mlir::Value high, int64_t step, llvm::function_ref<void(mlir::Value)> body) {
    loop(low, high, step, {}, [&](mlir::Value i, Values) {
      body(i);
      return Values();
    });
  }
  /// Nested loops over dimensions, with the innermost body.
  Values loops(llvm::ArrayRef<unsigned> dims, Values carried, bool unroll,
               llvm::function_ref<Values(Values)> body);
  Values loopsInRuns(const LoopNest &nest, llvm::ArrayRef<unsigned> dims, int64_t turns, const Values &start,
                     llvm::function_ref<Values(Values)> body);
  Values vectorsInRuns(const LoopNest &nest, llvm::ArrayRef<unsigned> around, LoopRange range, unsigned count,
                       const Values &start,
                       llvm::function_ref<Values(mlir::Value, unsigned, Mask, Values)> body);
  Values inSegments(const LoopNest &nest, llvm::function_ref<Values()> body);
  Values beginRuns(const LoopNest &nest, const Values &start);
  Values addRun(const LoopNest &nest, const Values &state, const Values &run);
  Values endRuns(const LoopNest &nest, const Values &state, size_t accumulators);
  void forEachAccumulator(const LoopNest &nest, size_t accumulators,
                          llvm::function_ref<void(unsigned, size_t)> function);
  /// A loop over a range in vectors: full ones, then a masked one for the rest.
  Values vectors(LoopRange range, unsigned count, Values carried,
                 llvm::function_ref<Values(mlir::Value, unsigned, Mask, Values)> body);
  Mask firstLanes(mlir::Value count);

  /// The current index along an axis class.
  Index indexAlong(unsigned axisClass);
  llvm::SmallVector<Index> indexOf(mlir::Value value);
  /// The current point of an op's iteration space.
  llvm::SmallVector<Index> pointOf(mlir::Operation *op);
  /// A reduction's accumulators: their initial values, those of one point, and two sets combined.
  Values startOf(const LoopStage &stage);
  Values elements(const LoopStage &stage, Mask mask);
  Values combined(const LoopStage &stage, mlir::ValueRange x, mlir::ValueRange y);
  Values acrossLanes(const LoopStage &stage, Values accumulators);
  void finish(const LoopNest &nest, const LoopStage &stage, Values accumulators, Mask mask);
  bool isVectorChunk(unsigned dim) const { return a.vectorChunk && dim == a.units.back(); }

  flow::GroupOp group;
  const GroupLayouts &layouts;
  const LoopAnalysis &a;
  int64_t width, registers;
  Part part;
  KernelBuilder k;
  IndexMath m;
  LoopValues values;
  llvm::DenseMap<mlir::Value, Storage> targets; // where stages are stored
  // The temporaries with a split reduction's accumulators of each chunk, from the first kernel to the second.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<Storage>> partials;
  llvm::MapVector<mlir::Value, int64_t> chunkStride; // of stages in scratch, which have only the unit's chunk
  llvm::SmallVector<Index> at;                       // the current index along each dimension
  llvm::DenseMap<unsigned, LoopRange> chunks; // the unit's ranges of dimensions that are split among units
  // Each result that was stored, and the point where; no point for a reduction's result.
  std::vector<std::pair<unsigned, std::optional<Place>>> stores;
  mlir::Value chunkIndex; // of the split dimension
  flow::Extent chunkCount;

public:
  // Set by emit: the results that may be written to an operand's buffer, each with the operand.
  llvm::SmallVector<std::pair<unsigned, unsigned>> inPlace;
};

} // namespace moe::cpu
