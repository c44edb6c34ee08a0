// Partitions the axes of a set of ops into axis classes: the axes of a class always have the same index, so
// one loop runs over all of them. For each op, its accesses (flow/Facts.h) say which axes of its operands and
// of its result have the same index. An operand's axis that is read at another index, by a slice, a gather or
// a window, is in another class than the result's axis.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace moe::kernels {

struct LoopClass {
  flow::Extent extent;
  bool pinned;    // must not be merged with a neighbouring class into one loop
  bool irregular; // some value computed by the set is read along this class at another index than the loop's
};

class LoopClasses {
public:
  static constexpr unsigned none = ~0u;

  // Fails if the ops cannot be one loop kernel; `why` then gives the reason.
  mlir::LogicalResult find(llvm::ArrayRef<mlir::Operation *> ops, std::string &why);

  llvm::ArrayRef<LoopClass> all() const { return classes; }
  // The class of an operand's or a value's axis; `none` for an axis of extent 1.
  unsigned classOf(mlir::Value value, unsigned axis) const;
  unsigned classOf(mlir::Operation *user, unsigned operand, unsigned axis) const;
  // The class of a dimension of an op's iteration space.
  unsigned classOfDim(mlir::Operation *op, unsigned dim) const;
  bool inside(mlir::Operation *op) const { return op && members.contains(op); }
  bool inside(mlir::Value value) const { return inside(value.getDefiningOp()); }

private:
  friend class LoopClassFinder;
  llvm::DenseSet<mlir::Operation *> members;
  std::vector<LoopClass> classes;
  // Axes have numbers: first those of the values that the set computes, those of each use of a value from
  // outside, and those that a reduction combines over; each of these runs of axes begins at its base.
  llvm::DenseMap<mlir::Value, unsigned> valueBase;
  llvm::DenseMap<std::pair<mlir::Operation *, unsigned>, unsigned> useBase;
  llvm::DenseMap<mlir::Operation *, unsigned> reducedBase;
  llvm::SmallVector<unsigned> classOfAxis; // by base + axis
};

} // namespace moe::kernels
