// What the kernels of loop groups have in common on all targets: where operands, results and partial results are
// stored, the current index along each dimension, loops over dimensions, and the accumulators of reductions. A
// target derives its kernel from this: it decides which dimensions are split among work units or threads, along
// which one vectors lie, and where values that one nest passes to another are kept.
#pragma once
#include "passes/kernels/loops/LoopValues.h"

namespace moe::kernels {

struct LoopRange {
  mlir::Value low, high;       ///< i64
  std::optional<int64_t> size; ///< if it is known
};

/// A loop group as LoopNests reads it, and what its launches record.
class LoopGroup {
public:
  LoopGroup(flow::GroupOp group, const GroupLayouts &layouts);
  LoopGroup(const LoopGroup &) = delete;
  /// Fails with a diagnostic if one value is two results.
  mlir::LogicalResult verify();
  /// Sets the op, FLOPs and bytes of a launch. The kernel that combines partial results has none of these.
  void describe(LaunchSpec &launch, bool main) const;

  LoopSource source;

private:
  flow::GroupOp group;
  std::function<Layout(mlir::Value)> layoutOf;
};

class LoopCode {
public:
  /// A reduction that is split into chunks takes two kernels: partial results of each chunk, and their
  /// combination.
  enum Part { whole, partial, combine };

  /// The results that may be written to an operand's buffer, each with the operand.
  llvm::SmallVector<std::pair<unsigned, unsigned>> resultsInPlace();

protected:
  LoopCode(flow::GroupOp group, const GroupLayouts &layouts, const LoopNests &nests,
           llvm::ArrayRef<unsigned> units, Part part, KernelCode &code, int64_t width)
      : group(group), layouts(layouts), a(nests), units(units), width(width), part(part), k(code),
        m(k, width), values(k, m, width) {}

  mlir::OpBuilder &b() { return k.builder(); }
  mlir::Location loc() { return k.loc(); }
  mlir::Value extent(flow::Extent e) { return k.extent(plan::fromExtent(e)); }
  mlir::Value yielded(unsigned i) { return group.getBody().front().getTerminator()->getOperand(i); }

  // Buffers.
  Storage tensorStorage(mlir::Value pointer, mlir::Value value, Layout layout);
  /// The operands that this kernel's nests read.
  void bindOperands();
  void bindResults();
  void bindPartials(GroupCode &code);
  bool mayOverwrite(unsigned result, unsigned operand);

  // Loops.
  /// In a list of dimensions, stands for the loop over the chunks of a split reduction.
  static constexpr unsigned chunkDim = LoopNests::none - 1;
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

  /// The current index along an axis class.
  Index indexAlong(unsigned axisClass);
  llvm::SmallVector<Index> indexOf(mlir::Value value);
  /// The current point of an op's iteration space.
  llvm::SmallVector<Index> pointOf(mlir::Operation *op);

  // Reductions.
  static flow::ReductionInterface reductionOf(const LoopStage &stage);
  static size_t countOf(const LoopStage &stage);
  /// A reduction's accumulators: their initial values, those of one point, and two sets combined.
  Values startOf(const LoopStage &stage);
  Values elements(const LoopStage &stage, Mask mask);
  Values combined(const LoopStage &stage, mlir::ValueRange x, mlir::ValueRange y);
  Values acrossLanes(const LoopStage &stage, Values accumulators);
  Values inSegments(const LoopNest &nest, llvm::function_ref<Values()> body);
  /// The number of iterations of a run. The rounding error of a running sum grows with the number of its terms,
  /// so longer loops are cut into runs.
  static constexpr int64_t runLength = 32;
  Values loopsInRuns(const LoopNest &nest, llvm::ArrayRef<unsigned> dims, int64_t turns, const Values &start,
                     llvm::function_ref<Values(Values)> body);
  Values beginRuns(const LoopNest &nest, const Values &start);
  Values addRun(const LoopNest &nest, const Values &state, const Values &run);
  Values endRuns(const LoopNest &nest, const Values &state, size_t accumulators);
  void forEachAccumulator(const LoopNest &nest, size_t accumulators,
                          llvm::function_ref<void(unsigned, size_t)> function);

  flow::GroupOp group;
  const GroupLayouts &layouts;
  const LoopNests &a;
  llvm::ArrayRef<unsigned> units; ///< the dimensions that are split among work units
  int64_t width;                  ///< elements of a vector
  Part part;
  KernelCode &k;
  IndexMath m;
  LoopValues values;
  llvm::DenseMap<mlir::Value, Storage> targets; ///< where stages are stored
  /// The temporaries with a split reduction's accumulators of each chunk, from the first kernel to the second.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<Storage>> partials;
  llvm::SmallVector<Index> at; ///< the current index along each dimension
  llvm::DenseMap<unsigned, LoopRange>
      chunks; ///< the unit's ranges of dimensions that are not run through whole
  /// Each result that was stored, and the point where; no point for a reduction's result.
  std::vector<std::pair<unsigned, std::optional<Place>>> stores;
  mlir::Value chunkIndex; ///< of the split dimension
  flow::Extent chunkCount;
};

} // namespace moe::kernels
