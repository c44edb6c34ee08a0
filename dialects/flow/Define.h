// Helpers for implementing the interfaces of ops (FlowInterfaces.td), in `flow` and in plugins: short names
// for the types of their signatures, loops over a tensor's indices for evaluators, and constants for scalar
// bodies. Code that only builds ops needs Build.h or Emit.h instead.
#pragma once
#include "dialects/flow/Flow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"

namespace flow {

using Operands = llvm::ArrayRef<const Array *>;
using Upstream = llvm::ArrayRef<mlir::Value>;
using Gradients = llvm::SmallVectorImpl<mlir::Value>;
using Index = llvm::SmallVector<int64_t, 8>;

/// Calls `function(index, position)` for every index of a shape, in row-major order.
template <typename Function> void forEachIndex(llvm::ArrayRef<int64_t> shape, Function function) {
  int64_t size = 1;
  for (int64_t extent : shape)
    size *= extent;
  Index index(shape.size(), 0);
  for (int64_t position = 0; position < size; ++position) {
    function(index, position);
    for (size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis])
        break;
      index[axis] = 0;
    }
  }
}

/// The row-major position of an index.
inline int64_t positionOf(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> index) {
  int64_t position = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis)
    position = position * shape[axis] + index[axis];
  return position;
}
inline double at(const Array &x, llvm::ArrayRef<int64_t> index) { return x.data[positionOf(x.shape, index)]; }
inline double &at(Array &x, llvm::ArrayRef<int64_t> index) { return x.data[positionOf(x.shape, index)]; }

/// Calls `function(row, elements)` for each row along an axis of a shape: `row` is its position in the shape
/// without that axis, `elements` are the positions of its elements.
template <typename Function> void forEachRow(llvm::ArrayRef<int64_t> shape, int64_t axis, Function function) {
  llvm::SmallVector<int64_t> others(shape);
  others.erase(others.begin() + axis);
  llvm::SmallVector<int64_t> elements(shape[axis]);
  forEachIndex(others, [&](llvm::ArrayRef<int64_t> index, int64_t row) {
    Index full(index);
    full.insert(full.begin() + axis, 0);
    for (int64_t &i = full[axis]; i < shape[axis]; ++i)
      elements[i] = positionOf(shape, full);
    function(row, llvm::ArrayRef<int64_t>(elements));
  });
}

/// A number of a scalar or vector type, in every lane.
inline mlir::Value splat(mlir::OpBuilder &b, mlir::Location loc, mlir::Type type, double value) {
  mlir::Type element = mlir::getElementTypeOrSelf(type);
  mlir::TypedAttr number = mlir::isa<mlir::FloatType>(element)
                               ? mlir::TypedAttr(b.getFloatAttr(element, value))
                               : mlir::TypedAttr(b.getIntegerAttr(element, int64_t(value)));
  if (auto vector = mlir::dyn_cast<mlir::VectorType>(type))
    number = mlir::DenseElementsAttr::get(vector, mlir::Attribute(number));
  return mlir::arith::ConstantOp::create(b, loc, type, number);
}

} // namespace flow
