// The vocabulary of flow's interfaces: what an op's gradient is, how its elements are computed, what it
// costs, and the evaluator's arrays. FlowInterfaces.td says what each op answers in these words.
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

/// What makes an op's elements.
///   elementwise  a scalar body over the operands' elements at the same place
///   view         one element of one operand, or the access's `otherwise`
///   reduction    accumulators over the reduced axes: ReductionInterface
///   generator    a scalar body over the point's own indices along `indexDims`; a NumberInterface has one
///                number instead, and random numbers are known to every target
///   emitter      contraction, convolution and sort: emitters of their own
///   composite    other ops make them: `decompose`, once everything is differentiated
enum class ComputeKind { elementwise, view, reduction, generator, emitter, composite };

/// What computing an element once more costs beside the elements that it is made of.
///   free            nothing worth storing a value for: constants, and views that only rename indices
///   simple          one fast instruction or a few
///   slow            a division, a root, or an element that has to be looked up
///   transcendental  a polynomial, or random numbers
enum class Effort { free, simple, slow, transcendental };

/// Which element of an operand a point of the iteration space needs. Indices are sums and products with
/// constants and sizes of the space's dimensions, and floor quotients and remainders of such by them. Where
/// `valid` is set and does not hold, where an index lies outside the operand along an axis that is `bounded`,
/// or where `within` does not hold, the element is `otherwise`; to a reduction such a point adds nothing.
struct Access {
  /// The index along `axis` is the element of another operand, `operand`, at this point. The map has 0 there.
  struct Lookup {
    unsigned axis, operand;
  };
  /// Holds where the point's own index along `dim` lies in a segment: from the element of another operand at this
  /// point to the next one along that operand's last axis, without it.
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

/// The operands whose elements the result follows from: without those that are read for the accesses of
/// others alone, such as the index of a gather.
llvm::SmallVector<unsigned> valueOperands(llvm::ArrayRef<Access> accesses);

/// What is wrong with an op's accesses, or with what it says that it is; empty where loops can be made of
/// them. `accesses` are the op's.
std::string faultOf(mlir::Operation *op, llvm::ArrayRef<Access> accesses);

/// Of a view that copies elements along axes or puts axes in another order, and does no more: for each axis of
/// its operand the axis of the result that has its index and its extent, -1 where the axis is of extent 1. Nothing
/// for other ops.
std::optional<llvm::SmallVector<int64_t>> axesOfView(mlir::Operation *op);

/// Every operand at the point's own index: what an elementwise op reads.
llvm::SmallVector<Access> sameIndexAccesses(mlir::Operation *op);

/// What a reduction of one operand over some axes of it states: its iteration space, the reduced axes last and in
/// the operand's order, and its access.
llvm::SmallVector<Extent> reductionSpace(mlir::Value x, llvm::ArrayRef<int64_t> axes);
Access reductionAccess(mlir::Value x, llvm::ArrayRef<int64_t> axes);
/// The type of a reduction's result, which lacks these axes of x; null where x has no such axis.
mlir::RankedTensorType reducedType(mlir::Type x, llvm::ArrayRef<int64_t> axes);
/// Reports where x has no such axis, or y other axes than the rest of x's.
mlir::LogicalResult verifyAxisReduction(mlir::Operation *op, mlir::Value x, int64_t axis, mlir::Value y);

/// Equal products of neighbouring axes in two shapes of as many elements, as axis ranges [first, last) of
/// each: what a reshape reads is found in each of them by itself.
struct ReshapeSegment {
  unsigned fromFirst, fromLast, toFirst, toLast;
};
llvm::SmallVector<ReshapeSegment> reshapeSegments(mlir::Type from, mlir::Type to);

/// Whether each target has an emitter for the op alone; false for what is no ComputeInterface.
bool isEmitter(mlir::Operation *op);
/// Whether it is one of those that take most of a model's time: a contraction or convolution.
bool isProduct(mlir::Operation *op);

/// The number that all elements of a NumberInterface are: one of a constant, a size, and what a step is given under
/// a key.
struct Number {
  std::optional<double> value = {};
  Extent size = {};
  mlir::StringAttr key = {};
};

/// One value that a reduction carries: its type's element, and where it starts.
struct Accumulator {
  mlir::Type element;
  double start;
};
/// Some of f32, by their starts.
llvm::SmallVector<Accumulator> realAccumulators(mlir::MLIRContext *context, llvm::ArrayRef<double> starts);

/// `flops` counts a multiply-add as two. `contraction` says that the flops are a contraction's or a
/// convolution's: what "FLOPs of a model" customarily count.
struct Cost {
  Extent flops;
  bool contraction = false;
};

/// One operation an element of the iteration space; views take none.
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

/// What a step is given beside tensors: the batch's sizes, and what random numbers follow from.
struct Setting {
  Symbols symbols;
  uint64_t seed = 0;
  uint32_t step = 0;
};

/// A test's program under construction: RandomCase.h.
struct RandomCase;

} // namespace flow
