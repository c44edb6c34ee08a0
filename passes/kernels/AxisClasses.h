// Which axes of a set of ops always carry the same index: they are one class, and one loop runs over all of
// them. Every op says by its accesses which of its operands' axes go with which of its result's; what is read
// at another index (a slice, a gather, a window) keeps its axis apart.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace moe::kernels {

struct LoopClass {
  flow::Extent extent;
  bool pinned;    // does not collapse with its neighbours
  bool irregular; // a value of the set is read along it at another index than its own loop's
};

class LoopClasses {
public:
  static constexpr unsigned none = ~0u;

  // Fails where the ops cannot be one kernel; `why` then says it.
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
  // Axes are numbered: those of a value of the set, those of each use of a value from outside, and those that
  // a reduction combines over.
  llvm::DenseMap<mlir::Value, unsigned> valueBase;
  llvm::DenseMap<std::pair<mlir::Operation *, unsigned>, unsigned> useBase;
  llvm::DenseMap<mlir::Operation *, unsigned> reducedBase;
  llvm::SmallVector<unsigned> classOfAxis; // by base + axis
};

} // namespace moe::kernels
