// How a set of flow ops runs as loops, before a back end says who runs them. Axes of all values that always carry the
// same index are one class; classes that lie side by side in every tensor are one dimension. A stage is a value that is
// stored (an output, a reduction, something that takes long to compute and that several nests read); everything else
// is computed where it is used. Stages with the same dimensions share a nest.
#pragma once
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"
#include "passes/kernels/LoopClasses.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include <optional>

namespace moe::kernels {

// A set of ops in program order, what leaves it, and the layouts at its boundary.
struct LoopSource {
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> outputs;
  llvm::function_ref<Layout(mlir::Value)> layout; // of outputs, and of values that come from outside
  flow::Symbols batch = {};                       // for estimates
  int64_t savedBytes = 64 * 1024; // that values which are stored only to save recomputation may take
};

// Ops that a loop kernel can run, whatever is around them.
bool isLoopOp(mlir::Operation *op);

// The axes of a tensor in the order of memory, outermost first.
llvm::SmallVector<int64_t> axisOrder(const Layout &layout, int64_t rank);

struct LoopDim {
  llvm::SmallVector<unsigned> classes; // outermost first; the last one carries the index, the others are 0
  flow::Extent extent;
};

// A reduced dimension that a stage runs through in segments: `offsets` says where one begins and ends, at the
// indices along the dimensions `at`.
struct LoopSegments {
  mlir::Value offsets;
  unsigned dim; // `none` where the dimension is of extent 1
  llvm::SmallVector<unsigned> at;
  bool operator==(const LoopSegments &other) const {
    return offsets == other.offsets && dim == other.dim && at == other.at;
  }
};

struct LoopStage {
  mlir::Value value;
  bool reduces = false; // combines over `reduced`
  bool output = false;
  llvm::SmallVector<unsigned> dims, reduced; // in loop order
  llvm::SmallVector<LoopSegments> segments;
  unsigned nest = 0;
};

struct LoopNest {
  llvm::SmallVector<unsigned> dims, reduced;
  llvm::SmallVector<unsigned> stages;
  llvm::SmallVector<unsigned> reductions;   // of its stages one for each op that reduces
  llvm::SmallVector<LoopSegments> segments; // of each of them
  bool reduces = false;                     // its stages combine, though perhaps over axes of extent 1 alone
  int vector = -1; // the dimension that lanes run along, which a back end chooses
};

// What a stage's expression reads: stages, by whether they are read at the same index (through elementwise ops
// alone), and operands from outside.
struct StageReads {
  llvm::SmallDenseMap<mlir::Value, bool> stages;
  llvm::SmallVector<std::pair<mlir::Operation *, unsigned>> leaves;
};

class LoopNests {
public:
  static constexpr unsigned none = LoopClasses::none;

  // Nothing where the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopNests> find(const LoopSource &source, std::string *reason = nullptr);

  unsigned classOf(mlir::Value value, unsigned axis) const { return classes.classOf(value, axis); }
  unsigned classOf(mlir::Operation *user, unsigned operand, unsigned axis) const {
    return classes.classOf(user, operand, axis);
  }
  // Those of a value's axes that are longer than 1.
  llvm::SmallVector<unsigned> classesOf(mlir::Value value) const;
  bool inside(mlir::Operation *op) const { return classes.inside(op); }
  bool inside(mlir::Value value) const { return classes.inside(value); }
  const LoopStage *stageOf(mlir::Value value) const {
    auto found = stageIndex.find(value);
    return found == stageIndex.end() ? nullptr : &stages[found->second];
  }

  LoopClasses classes;
  llvm::SmallVector<LoopDim> dims;        // in loop order, outermost first
  llvm::SmallVector<unsigned> dimOfClass; // `none` for classes that are no loop
  std::vector<LoopStage> stages;
  std::vector<StageReads> reads; // by stage
  std::vector<LoopNest> nests;
  llvm::SmallDenseSet<unsigned> shared; // classes that every stage has
  // Values that the code of a point computes, one that is read at several indices at each of them; not counted
  // beyond the limit, from which on several ops are not worth being one kernel.
  static constexpr size_t mostValues = 1024;
  size_t values = 0;

protected:
  friend class LoopNestFinder;
  llvm::DenseMap<mlir::Value, unsigned> stageIndex;
};

} // namespace moe::kernels
