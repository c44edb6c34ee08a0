// Emits the code of one point, or one vector of points, of a loop nest: the value of an op at an index. A
// value that is stored is loaded. Every other value is computed from its operands, at the indices that the
// op's accesses give.
#pragma once
#include "dialects/plan/FromFlow.h"
#include "passes/kernels/LoopNests.h"
#include "passes/kernels/loops/LoopIndex.h"
#include <array>
#include <map>
#include <tuple>

namespace moe::kernels {

// A tensor in memory: the offset of an element is the sum of index * stride over its axes.
struct Storage {
  mlir::Value pointer;
  mlir::Type element; // f32, i32, i1 (a byte in memory)
  llvm::SmallVector<mlir::Value> strides;
  bool rowMajor = false;
  bool scratch = false; // written by this kernel: its loads must not be hoisted out of their nest
  int input = -1;       // the number of the group's operand, or -1
  bool viewed = false;  // has another shape than the operand
};

// A point of a nest, as a key that can be compared.
struct Place {
  unsigned nest = 0;
  llvm::SmallVector<std::array<const void *, 3>> index; // base, step and lanes of each axis
  bool operator==(const Place &other) const { return nest == other.nest && index == other.index; }
  bool operator<(const Place &other) const {
    return std::tie(nest, index) < std::tie(other.nest, other.index);
  }
};

// A load of one of the group's operands, and its point; no point if the load is through the strides of
// another shape.
struct LoadRecord {
  int input;
  std::optional<Place> place;
};

class LoopValues {
public:
  LoopValues(KernelCode &kernel, IndexMath &math, int64_t width) : k(kernel), m(math), width(width) {}

  llvm::DenseMap<mlir::Value, Storage> stored;      // inputs, and stages whose nest is complete
  llvm::DenseMap<mlir::Value, mlir::Value> uniform; // stages without an axis within the unit, as splats
  mlir::Block *nestBlock = nullptr;                 // the block where the current nest begins
  mlir::Block *unitBlock = nullptr;                 // no load is placed in front of this block; may be null
  unsigned nest = 0;
  std::vector<LoadRecord> loads;

  // Starts a new point: forgets the values of the one before.
  void newPoint() { memo.clear(); }
  mlir::Value get(mlir::Value value, llvm::ArrayRef<Index> index, Mask mask);
  // Computes a stage's value, even if it is already stored.
  mlir::Value compute(mlir::Value value, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value load(const Storage &storage, llvm::ArrayRef<Index> index, Mask mask);
  void store(mlir::Value value, const Storage &storage, llvm::ArrayRef<Index> index, Mask mask);
  mlir::Value constant(mlir::Type element, double value);
  mlir::Value extent(flow::Extent extent) { return k.extent(plan::fromExtent(extent)); }
  Index offsetOf(const Storage &storage, llvm::ArrayRef<Index> index);
  Place placeOf(llvm::ArrayRef<Index> index) const;

  // The index of an operand's element that an op reads at a point, and the mask of lanes where there is one.
  struct Element {
    mlir::Value value;
    Mask inside;
  };
  Element element(mlir::Operation *op, llvm::ArrayRef<flow::Access> accesses, unsigned operand,
                  llvm::ArrayRef<Index> point, Mask mask);
  // The bounds of the segment at a point: vectors of i32.
  std::pair<mlir::Value, mlir::Value> segment(mlir::Operation *op, llvm::ArrayRef<flow::Access> accesses,
                                              flow::Access::Within within, llvm::ArrayRef<Index> point,
                                              Mask mask);
  // Dimensions whose loops run over the current segment only, so that no point has to be compared with its
  // bounds.
  llvm::SmallDenseSet<std::pair<mlir::Operation *, unsigned>> cut;

private:
  // The indices that an access maps a point to. Quotients and remainders are remembered, so that a pair of
  // them takes one division.
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

  KernelCode &k;
  IndexMath &m;
  int64_t width;
  std::map<std::tuple<const void *, Place, const void *, const void *>, mlir::Value> memo;
};

} // namespace moe::kernels
