// How a set of flow ops becomes loop nests. Back ends decide how the nests run: in which threads, and along
// which dimension vectors lie.
//   - An axis class (LoopClasses.h) is a set of axes that always have the same index.
//   - A dimension is one loop: an axis class, or several that are adjacent in the memory of every tensor.
//   - A stage is a value that is stored: an output, a reduction, or a value that several nests need and that
//     is slow to compute. Every other value is computed where it is used.
//   - A nest is the loops over some dimensions, with the stages that have these dimensions.
#pragma once
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"
#include "passes/kernels/LoopClasses.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include <optional>

namespace moe::kernels {

// A set of ops in program order, its outputs, and the layouts of its inputs and outputs.
struct LoopSource {
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> outputs;
  llvm::function_ref<Layout(mlir::Value)> layout; // of the outputs and inputs
  flow::Symbols batch = {};                       // for estimates
  int64_t savedBytes = 64 * 1024; // the most memory of a value that is stored only to avoid recomputation
};

// Whether a loop kernel can compute the op at all.
bool isLoopOp(mlir::Operation *op);

// The axes of a tensor in the order of memory, outermost first.
llvm::SmallVector<int64_t> axisOrder(const Layout &layout, int64_t rank);

struct LoopDim {
  llvm::SmallVector<unsigned>
      classes; // outermost first; the loop's index is that of the last one, the others' are 0
  flow::Extent extent;
};

// A reduced dimension that a stage runs through in segments (flow.segment_sum). The elements of `offsets` are
// the segments' bounds; the indices along the dimensions `at` say which segment it is.
struct LoopSegments {
  mlir::Value offsets;
  unsigned dim; // `none` if the dimension is of extent 1
  llvm::SmallVector<unsigned> at;
  bool operator==(const LoopSegments &other) const {
    return offsets == other.offsets && dim == other.dim && at == other.at;
  }
};

struct LoopStage {
  mlir::Value value;
  bool reduces = false; // reduces over `reduced`
  bool output = false;
  llvm::SmallVector<unsigned> dims, reduced; // in loop order
  llvm::SmallVector<LoopSegments> segments;
  unsigned nest = 0;
};

struct LoopNest {
  llvm::SmallVector<unsigned> dims, reduced;
  llvm::SmallVector<unsigned> stages;
  llvm::SmallVector<unsigned> reductions;   // one of its stages for each op that reduces
  llvm::SmallVector<LoopSegments> segments; // of each stage
  bool reduces = false;                     // its stages reduce; `reduced` may be empty, for axes of extent 1
  int vector = -1;                          // the dimension that vectors lie along, which a back end chooses
};

// What a stage's expression reads: other stages, each with whether it is read at the stage's own index
// (through elementwise ops only), and inputs, each as an op and the number of its operand.
struct StageReads {
  llvm::SmallDenseMap<mlir::Value, bool> stages;
  llvm::SmallVector<std::pair<mlir::Operation *, unsigned>> leaves;
};

class LoopNests {
public:
  static constexpr unsigned none = LoopClasses::none;

  // Nothing if the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopNests> find(const LoopSource &source, std::string *reason = nullptr);

  unsigned classOf(mlir::Value value, unsigned axis) const { return classes.classOf(value, axis); }
  unsigned classOf(mlir::Operation *user, unsigned operand, unsigned axis) const {
    return classes.classOf(user, operand, axis);
  }
  // The classes of a value's axes, without axes of extent 1.
  llvm::SmallVector<unsigned> classesOf(mlir::Value value) const;
  bool inside(mlir::Operation *op) const { return classes.inside(op); }
  bool inside(mlir::Value value) const { return classes.inside(value); }
  const LoopStage *stageOf(mlir::Value value) const {
    auto found = stageIndex.find(value);
    return found == stageIndex.end() ? nullptr : &stages[found->second];
  }

  // The dimension along which most of the memory that a nest accesses is contiguous; -1 if it has no dimension.
  // Excluded are the dimensions `barred`, and those that select a segment, since segments differ in length and
  // each lane would need its own loop.
  int vectorDim(const LoopNest &nest, const LoopSource &source, llvm::ArrayRef<unsigned> barred = {}) const;
  // The elements that a nest computes, at a batch.
  double volume(const LoopNest &nest, const flow::Symbols &batch) const;
  // The dimensions that every stage has and that work units can split: no unit reads another's part.
  llvm::SmallVector<unsigned> unitCandidates() const;

  LoopClasses classes;
  llvm::SmallVector<LoopDim> dims;        // in loop order, outermost first
  llvm::SmallVector<unsigned> dimOfClass; // `none` for classes without a loop
  std::vector<LoopStage> stages;
  std::vector<StageReads> reads; // by stage
  std::vector<LoopNest> nests;
  llvm::SmallDenseSet<unsigned> shared; // classes that every stage has
  // The number of values that the code of one point computes; a value that is read at several indices counts
  // once for each. Fusion accepts at most `maxValues`, and counting stops there.
  static constexpr size_t maxValues = 1024;
  size_t values = 0;

protected:
  friend class LoopNestFinder;
  llvm::SmallVector<unsigned> classesAlong(mlir::Value value) const;
  mlir::Operation *readerInside(mlir::Operation *op) const;
  llvm::DenseMap<mlir::Value, unsigned> stageIndex;
};

} // namespace moe::kernels
