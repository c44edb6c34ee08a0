// Values of a loop kernel at an index: the code of one point (of one vector of points) of a nest. A value
// that is stored is loaded; every other one is computed from its operands at the index that its op's access
// maps to.
#pragma once
#include "dialects/plan/FromFlow.h"
#include "passes/cpu/loops/LoopAnalysis.h"
#include "passes/cpu/loops/LoopIndex.h"
#include <array>
#include <map>
#include <tuple>

namespace moe::cpu {

// Where a tensor lies: an element's place is the sum of index * stride over its axes.
struct Storage {
  mlir::Value pointer;
  mlir::Type element; // f32, i32, i1 (a byte in memory)
  llvm::SmallVector<mlir::Value> strides;
  bool rowMajor = false;
  bool scratch = false; // written by this kernel: loads stay in the nest that they are in
  int input = -1;       // number of the group's operand
  bool viewed = false;  // of another shape than the operand's own
};

// A nest, and an index in it as something to compare.
struct Place {
  unsigned nest = 0;
  llvm::SmallVector<std::array<const void *, 3>> index; // base, step and lanes of each axis
  bool operator==(const Place &other) const { return nest == other.nest && index == other.index; }
  bool operator<(const Place &other) const {
    return std::tie(nest, index) < std::tie(other.nest, other.index);
  }
};

// Loads of the group's operands, by the place that they were made at; nothing for one through the strides of
// another shape.
struct LoadRecord {
  int input;
  std::optional<Place> place;
};

class LoopValues {
public:
  LoopValues(KernelBuilder &kernel, IndexMath &math, int64_t width) : k(kernel), m(math), width(width) {}

  llvm::DenseMap<mlir::Value, Storage> stored;      // inputs, and stages once their nest is done
  llvm::DenseMap<mlir::Value, mlir::Value> uniform; // stages without an axis of their own: a splat
  mlir::Block *nestBlock = nullptr;                 // where the present nest begins
  unsigned nest = 0;
  std::vector<LoadRecord> loads;

  // Starts a point: what was computed at another one is forgotten.
  void newPoint() { memo.clear(); }
  mlir::Value get(mlir::Value value, llvm::ArrayRef<Index> index, Mask mask);
  // The expression of a stage itself, though it is (to be) stored.
  mlir::Value compute(mlir::Value value, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value load(const Storage &storage, llvm::ArrayRef<Index> index, Mask mask);
  void store(mlir::Value value, const Storage &storage, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value constant(mlir::Type element, double value);
  mlir::Value extent(flow::Extent extent) { return k.extent(plan::fromExtent(extent)); }
  Index offsetOf(const Storage &storage, llvm::ArrayRef<Index> index);
  Place placeOf(llvm::ArrayRef<Index> index) const;

  // What an op reads of an operand at a point of its iteration space, and where that is an element of it.
  struct Element {
    mlir::Value value;
    Mask inside;
  };
  Element element(mlir::Operation *op, llvm::ArrayRef<flow::Access> accesses, unsigned operand,
                  llvm::ArrayRef<Index> point, Mask mask);
  // Where the segment at a point begins and ends: vectors of i32.
  std::pair<mlir::Value, mlir::Value> segment(mlir::Operation *op, llvm::ArrayRef<flow::Access> accesses,
                                              flow::Access::Within within, llvm::ArrayRef<Index> point,
                                              Mask mask);
  // Dimensions of ops that the loops run through the segment of alone, so that no point is to be compared with it.
  llvm::SmallDenseSet<std::pair<mlir::Operation *, unsigned>> cut;

private:
  // Indices that one access maps a point to; a quotient and its remainder are one division.
  struct Mapped {
    Mapped(mlir::Operation *op, const flow::Access &access, llvm::ArrayRef<Index> point)
        : op(op), access(access), point(point) {}
    mlir::Operation *op;
    const flow::Access &access;
    llvm::ArrayRef<Index> point;
    llvm::DenseMap<std::pair<mlir::AffineExpr, mlir::AffineExpr>, std::pair<Index, Index>> divided;
  };
  Index indexOf(mlir::AffineExpr expression, Mapped &mapped);
  mlir::Value sizeOf(mlir::AffineExpr expression, const flow::Access &access);
  std::optional<int64_t> leastOf(mlir::AffineExpr expression, Mapped &mapped);
  std::pair<Index, Index> divide(mlir::AffineExpr dividend, mlir::AffineExpr divisor, Mapped &mapped);
  std::pair<Index, Mask> lookUp(mlir::Operation *op, llvm::ArrayRef<flow::Access> accesses, unsigned operand,
                                llvm::ArrayRef<Index> point, Mask mask);
  mlir::Value view(mlir::Operation *op, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value viewed(const Storage &storage, mlir::Value view, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value random(flow::RandomOp op, llvm::ArrayRef<Index> index, Mask mask);

  KernelBuilder &k;
  IndexMath &m;
  int64_t width;
  std::map<std::tuple<const void *, Place, const void *, const void *>, mlir::Value> memo;
};

} // namespace moe::cpu
