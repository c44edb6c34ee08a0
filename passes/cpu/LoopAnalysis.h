// How a set of flow ops runs as one loop kernel. Fusion asks whether a set can, and what parallelism it has;
// the emitter follows the answer. Axes of all values that always carry the same index are one class; classes
// that lie side by side in every tensor are one dimension. A stage is a value that is stored (an output, a
// reduction, something dear that several nests read); everything else is computed where it is used. Stages
// with the same dimensions share a nest. Dimensions that every stage has are split among work units; where
// there are none, a reduction is cut into chunks whose partial results a second kernel combines.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/cpu/CpuTarget.h"
#include "passes/cpu/KernelEmitter.h"
#include "passes/cpu/LoopClasses.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include <optional>

namespace moe::cpu {

// A set of ops in program order, what leaves it, and the layouts at its boundary.
struct LoopSource {
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> outputs;
  llvm::function_ref<Layout(mlir::Value)> layout; // of outputs, and of values that come from outside
};

// Ops that a loop kernel can run, whatever is around them.
bool isLoopOp(mlir::Operation *op);

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
  int vector = -1;                          // the dimension that lanes run along
};

class LoopAnalysis {
public:
  static constexpr unsigned none = LoopClasses::none;

  // Nothing where the set cannot be one kernel; `reason` then says why.
  static std::optional<LoopAnalysis> run(const LoopSource &source, const CpuTarget &target,
                                         std::string *reason = nullptr);

  unsigned classOf(mlir::Value value, unsigned axis) const { return classes.classOf(value, axis); }
  unsigned classOf(mlir::Operation *user, unsigned operand, unsigned axis) const {
    return classes.classOf(user, operand, axis);
  }
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
  std::vector<LoopNest> nests;
  llvm::SmallVector<unsigned> units; // dimensions that work units run over; the last in chunks
  int64_t chunk = 1;        // of the last unit dimension; a multiple of the lanes where it is a vector
  bool vectorChunk = false; // the chunked dimension is the one that lanes run along
  bool split = false;       // two kernels: partial results a chunk of `splitDim`, then their sum
  unsigned splitDim = none;
  int64_t splitChunk = 1;
  // Values that the code of a point computes, one that is read at several indices at each of them; not counted
  // beyond the limit, from which on several ops are not worth being one kernel.
  static constexpr size_t mostValues = 1024;
  size_t values = 0;
  double work = 0;        // elements that the nests touch, at a customary batch
  double parallelism = 1; // work units at that batch

private:
  friend class LoopAnalyzer;
  llvm::DenseMap<mlir::Value, unsigned> stageIndex;
};

// A size for estimates: 5 domains of 64 rows.
double estimate(flow::Extent extent);
/// A tensor's elements at that batch.
double estimateElements(mlir::Type type);

} // namespace moe::cpu
