// Sums of products in which one factor is the windows of an image: grouped convolutions, as they are written in flow. They are
// loops, because a product of matrices would have to write every pixel once for each window that it is in.
#pragma once
#include "dialects/flow/Flow.h"

namespace flow {

/// The windows that a value is, but for views that have its elements in the same or another order; null if it is none.
inline WindowOp windowsBehind(mlir::Value value) {
  for (mlir::Operation *op = value.getDefiningOp();
       op && mlir::isa<ReshapeOp, BroadcastOp, TransposeOp, WindowOp>(op);
       op = op->getOperand(0).getDefiningOp())
    if (auto windows = mlir::dyn_cast<WindowOp>(op))
      return windows;
  return {};
}

/// Whether the op is a product with windows, and nothing but sums reads it.
inline bool isWindowProduct(mlir::Operation *op) {
  auto product = mlir::dyn_cast_or_null<MulOp>(op);
  return product && (windowsBehind(product.getA()) || windowsBehind(product.getB())) &&
         llvm::all_of(op->getUsers(), [](mlir::Operation *user) {
           auto reduce = mlir::dyn_cast<ReduceOp>(user);
           return reduce && reduce.getKind() == ReduceKind::sum;
         });
}

/// Whether the op is windows, or a view of windows, that nothing but such products reads.
inline bool isFactorOfWindowProducts(mlir::Operation *op) {
  return mlir::isa_and_nonnull<ReshapeOp, BroadcastOp, TransposeOp, WindowOp>(op) && !op->use_empty() &&
         windowsBehind(op->getResult(0)) && llvm::all_of(op->getUsers(), [](mlir::Operation *user) {
           return isWindowProduct(user) || isFactorOfWindowProducts(user);
         });
}

/// Whether the op sums products with windows.
inline bool sumsWindows(ReduceOp op) {
  return op.getKind() == ReduceKind::sum && isWindowProduct(op.getX().getDefiningOp());
}

} // namespace flow
