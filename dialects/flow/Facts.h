// The types that flow's interfaces (FlowInterfaces.td) are written with: the kind of an op's gradient, how
// its elements are computed, what it costs, and the evaluator's arrays.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IntegerSet.h"
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace flow {

enum class GradientKind { rule, inactive, surrogate };

/// What an op's rule multiplies a gradient by. A gradient of 0 that is multiplied by an infinite number is NaN,
/// where a select that did not choose the op's result wants 0, so differentiation masks it there.
///   constant  numbers that no operand decides: a sum, a copy, a choice. The results are infinite or NaN only
///             where an operand is
///   product   the other operands: a product, a contraction or a convolution. The results as with `constant`
///   finite    numbers that are finite, as the results are, wherever the operands are: tanh
///   any       numbers that may be infinite or NaN for finite operands, or the results may be: sqrt
enum class Slope { constant, product, finite, any };

/// The slope of an op that states none: that of its kind, which is never too good.
Slope defaultSlope(mlir::Operation *op);

/// Whether all elements are one number that is known not to be 0: a constant or a size, or copies of it.
bool isKnownNonzero(mlir::Value x);

/// How an op's elements are computed.
///   elementwise  by a scalar body, from the operands' elements at the same index
///   view         as one element of one operand, or the access's `otherwise`
///   reduction    by accumulators over the reduced axes: ReductionInterface
///   generator    by a scalar body, from the element's own indices along `indexDims`. A NumberInterface has
///                one number instead, and each target knows how to make random numbers
///   emitter      by a kernel that the target writes for this op: contraction, convolution and sort
///   composite    by other ops, which `decompose` puts in the op's place after differentiation
enum class ComputeKind { elementwise, view, reduction, generator, emitter, composite };

/// What it costs to compute an element again, without the cost of the operands' elements.
///   free            never worth a load from memory: constants, and views that only rename indices
///   simple          one fast instruction or a few
///   slow            a division, a root, or a lookup
///   transcendental  a polynomial, or random numbers
enum class Effort { free, simple, slow, transcendental };

/// Which element of an operand a point of the iteration space reads. An index is an affine expression of the
/// point's coordinates, constants and sizes, with floor division and remainder. The point reads `otherwise`
/// instead if `valid` is set and does not hold, if an index along a `bounded` axis lies outside the operand,
/// or if `within` does not hold; such a point adds nothing to a reduction.
struct Access {
  /// The index along `axis` is read from another operand, `operand`, at this point. The map has 0 there.
  struct Lookup {
    unsigned axis, operand;
  };
  /// Holds where the point's own index along `dim` lies in a segment: from the element of another operand at
  /// this point to the next one along that operand's last axis, without it.
  struct Within {
    unsigned operand, dim;
  };

  mlir::AffineMap map; ///< from the space's dimensions; its symbols stand for `sizes`
  llvm::SmallVector<Extent> sizes = {};
  mlir::IntegerSet valid = {};          ///< equations `expression = 0`, in the map's dimensions and symbols
  llvm::SmallVector<bool> bounded = {}; ///< by axis of the operand; empty: no index lies outside
  double otherwise = 0;
  std::optional<Lookup> lookup = {};
  std::optional<Within> within = {};

  bool isBounded(unsigned axis) const { return axis < bounded.size() && bounded[axis]; }
};

/// The operands that the result's elements are computed from, without operands that only give indices to
/// other accesses, such as the index of a gather.
llvm::SmallVector<unsigned> valueOperands(llvm::ArrayRef<Access> accesses);

/// Why loops cannot be made of an op's accesses and ComputeKind; empty if they can. `accesses` are the op's.
std::string faultOf(mlir::Operation *op, llvm::ArrayRef<Access> accesses);

/// For a view that is no more than a broadcast or transpose: for each axis of its operand, the axis of the
/// result with the same index and extent, or -1 for an axis of extent 1. Nothing for other ops.
std::optional<llvm::SmallVector<int64_t>> axesOfView(mlir::Operation *op);

/// Every operand at the point's own index: what an elementwise op reads.
llvm::SmallVector<Access> sameIndexAccesses(mlir::Operation *op);

/// The iteration space and access of a reduction of one operand over some of its axes. The reduced axes come
/// last in the space, in the operand's order.
llvm::SmallVector<Extent> reductionSpace(mlir::Value x, llvm::ArrayRef<int64_t> axes);
Access reductionAccess(mlir::Value x, llvm::ArrayRef<int64_t> axes);
/// The type of a reduction's result, which lacks these axes of x; null where x has no such axis.
mlir::RankedTensorType reducedType(mlir::Type x, llvm::ArrayRef<int64_t> axes);
/// Reports where x has no such axis, or y other axes than the rest of x's.
mlir::LogicalResult verifyAxisReduction(mlir::Operation *op, mlir::Value x, int64_t axis, mlir::Value y);

/// A reshape in independent pieces: two ranges [first, last) of neighbouring axes, one of each shape, with as
/// many elements. An index along the one range follows from the index along the other range alone.
struct ReshapeSegment {
  unsigned fromFirst, fromLast, toFirst, toLast;
};
llvm::SmallVector<ReshapeSegment> reshapeSegments(mlir::Type from, mlir::Type to);

/// Whether each target writes a kernel of its own for the op (ComputeKind::emitter).
bool isEmitter(mlir::Operation *op);
/// Whether the op is a contraction or a convolution, which take most of a model's time.
bool isProduct(mlir::Operation *op);
/// Whether an op gathers rows that nothing but grouped contractions read, each as the rows that belong to its groups. So a
/// kernel of theirs can read the rows where they are.
bool isRowLoad(mlir::Operation *op);

/// The number that all elements of a NumberInterface's result are: a constant, a size, or a number that each
/// step is given under a key.
struct Number {
  std::optional<double> value = {};
  Extent size = {};
  mlir::StringAttr key = {};
};

/// One value that a reduction carries: its element type and its initial value.
struct Accumulator {
  mlir::Type element;
  double start;
};
/// Accumulators of f32 with these initial values.
llvm::SmallVector<Accumulator> realAccumulators(mlir::MLIRContext *context, llvm::ArrayRef<double> starts);

/// `flops` counts a multiply-add as two. `contraction` says that the flops are a contraction's or a
/// convolution's: what "FLOPs of a model" customarily count.
struct Cost {
  Extent flops;
  bool contraction = false;
};

/// One operation per element of the iteration space; none for views.
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

/// The magnitude of each element, and `more`.
inline Array sizesOf(Array x, double more = 0) {
  for (double &value : x.data)
    value = std::fabs(value) + more;
  return x;
}

/// What a step is given besides tensors: the batch's sizes, and the seed and step of its random numbers.
struct Setting {
  Symbols symbols;
  uint64_t seed = 0;
  uint32_t step = 0;
};

/// A random program of one op, for tests: see RandomCase.h.
struct RandomCase;

} // namespace flow
