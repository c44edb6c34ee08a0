// The vocabulary of flow's interfaces: what an op's gradient is, how its elements are computed, what it
// costs, and the evaluator's arrays. FlowInterfaces.td says what each op answers in these words.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IntegerSet.h"
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

/// Which element of an operand a point of the iteration space needs. Where `valid` is set and does not hold,
/// or where the mapped index lies outside the operand, the element is `otherwise`.
struct Access {
  mlir::AffineMap map;
  mlir::IntegerSet valid = {};
  bool bounded = false;
  double otherwise = 0;
};

/// Every operand at the point's own index: what an elementwise op reads.
llvm::SmallVector<Access> sameIndexAccesses(mlir::Operation *op);

/// `flops` counts a multiply-add as two. `contraction` says that the flops are a contraction's or a
/// convolution's: what "FLOPs of a model" customarily count.
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

/// The batched form of an elementwise op: operands without the leading axis are copied along it.
llvm::LogicalResult batchElementwise(mlir::Operation *op, mlir::OpBuilder &builder, mlir::ValueRange operands,
                                     llvm::ArrayRef<bool> carries, int64_t experts, mlir::Value &result);

/// A test's program under construction: RandomCase.h.
struct RandomCase;

} // namespace flow
