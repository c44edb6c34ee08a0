// The vocabulary of flow's interfaces: what an op's gradient is, how its elements are computed, what it costs, the
// evaluator's arrays and the builder of random cases. FlowInterfaces.td says what each op answers in these words.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IntegerSet.h"
#include <functional>
#include <map>
#include <random>
#include <vector>

namespace flow {

enum class GradientKind { rule, inactive, surrogate };

/// What makes an op's elements.
///   elementwise  a scalar body over the operands' elements at the same place
///   view         one element of one operand, or the access's `otherwise`
///   reduction    `buildScalar` combines from `identity` over the reduced axes
///   generator    from the index alone
///   indirect     which element is read or written depends on data (gather, scatter_add, argmax)
///   emitter      contraction and convolution: emitters of their own
enum class ComputeKind { elementwise, view, reduction, generator, indirect, emitter };

/// Which element of an operand a point of the iteration space needs. Where `valid` is set and does not hold, or where
/// the mapped index lies outside the operand, the element is `otherwise`.
struct Access {
  mlir::AffineMap map;
  mlir::IntegerSet valid = {};
  bool bounded = false;
  double otherwise = 0;
};

/// Every operand at the point's own index: what an elementwise op reads.
llvm::SmallVector<Access> sameIndexAccesses(mlir::Operation *op);

/// `flops` counts a multiply-add as two. `contraction` says that the flops are a contraction's or a convolution's:
/// what "FLOPs of a model" customarily count.
struct Cost {
  Extent flops, bytes;
  bool contraction = false;
};

/// One operation an element of the iteration space, and every operand and result once through memory.
Cost elementwiseCost(mlir::Operation *op);

/// A tensor of the evaluator: row-major f64. Masks are 0 and 1, indices whole numbers.
struct Array {
  std::vector<int64_t> shape;
  std::vector<double> data;

  Array() = default;
  explicit Array(llvm::ArrayRef<int64_t> shape, double value = 0) : shape(shape.begin(), shape.end()) {
    data.assign(size(), value);
  }
  int64_t size() const {
    int64_t n = 1;
    for (int64_t extent : shape)
      n *= extent;
    return n;
  }
};

/// What a step is given beside tensors: the batch's sizes, and what random numbers follow from.
struct Setting {
  Symbols symbols;
  uint64_t seed = 0;
  uint32_t step = 0;
};

/// A test's program under construction: inputs with values away from kinks, then one op's results as outputs.
struct RandomCase {
  mlir::OpBuilder &builder;
  mlir::Location location;
  std::mt19937_64 &random;
  Symbols symbols;
  std::map<std::string, Array> inputs;

  /// A whole number in [low, high].
  int64_t number(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }
  double uniform(double low, double high) {
    return low + (high - low) * (double(random() >> 11) * 0x1p-53);
  }
  bool coin() { return random() & 1; }
  /// An extent: a small constant, or one of the symbols' expressions.
  Extent extent();
  llvm::SmallVector<Extent> extents(unsigned low, unsigned high);
  /// A new input of that type, whose elements are drawn one by one.
  mlir::Value input(mlir::Type type, std::function<double()> draw);
  /// f32 in (-2, 2), at least `gap` away from zero.
  mlir::Value values(llvm::ArrayRef<Extent> extents, double gap = 0);
  /// f32 in (low, high).
  mlir::Value values(llvm::ArrayRef<Extent> extents, double low, double high);
  /// f32, all pairwise at least 0.01 apart: no ties.
  mlir::Value distinct(llvm::ArrayRef<Extent> extents);
  mlir::Value mask(llvm::ArrayRef<Extent> extents);
  /// i32 in [0, limit).
  mlir::Value indices(llvm::ArrayRef<Extent> extents, int64_t limit);
  /// Names a result.
  void output(mlir::Value value);
};

} // namespace flow
