// Builders of softmax, norms, statistics and losses from elementwise ops and reductions. Their gradients
// follow from the ops' rules, and fusion makes each of them one kernel or a few. Only statistics are reshaped
// here, never rank-4 values: a reshape would keep those from being NHWC in memory.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/Builders.h"

namespace flow {

/// The mean over axes, which are dropped.
mlir::Value mean(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x,
                 llvm::ArrayRef<int64_t> axes);

/// The mean squared distance from the mean, in two passes; `unbiased` divides by one less than the count.
/// Axes are dropped.
mlir::Value variance(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x,
                     llvm::ArrayRef<int64_t> axes, bool unbiased = false);

/// 1 / max(|x|, eps), where |x| is the Euclidean norm over axes, which are dropped.
mlir::Value inverseNorm(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x,
                        llvm::ArrayRef<int64_t> axes, double eps);
/// x / max(|x|, eps), where |x| is the Euclidean norm over axes.
mlir::Value normalize(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x,
                      llvm::ArrayRef<int64_t> axes, double eps);

/// log(sum(x * x) + eps) over axes, which are dropped; also where the squares of finite numbers overflow.
mlir::Value logSquares(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x,
                       llvm::ArrayRef<int64_t> axes, double eps);

/// log(sum(exp x)) over an axis, which is dropped; shifted by the largest, so that nothing overflows.
mlir::Value logSumExp(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x, int64_t axis);
mlir::Value softmax(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x, int64_t axis);
mlir::Value logSoftmax(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x, int64_t axis);

/// The cross-entropy of every row: `scores` [..., classes] f32 and `label` [...] i32 give [...]. A label that
/// is none of the classes, such as -1, means unknown: the row's loss is 0.
mlir::Value crossEntropyRows(mlir::OpBuilder &builder, mlir::Location location, mlir::Value scores,
                             mlir::Value label);

/// The mean of per-row values [...] over the rows whose label [...] is known, one of so many classes; 0 where
/// there are none.
mlir::Value meanOverKnown(mlir::OpBuilder &builder, mlir::Location location, mlir::Value rows,
                          mlir::Value label, Extent classes);

/// The mean of crossEntropyRows over the rows whose label is known: tensor<f32>.
mlir::Value crossEntropy(mlir::OpBuilder &builder, mlir::Location location, mlir::Value scores,
                         mlir::Value label);

/// Normalises over the last axes, as many as `weight` has; null weight or bias are left out, and `axes` then
/// counts the normalised axes.
mlir::Value layerNorm(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x, mlir::Value weight,
                      mlir::Value bias, double eps, int64_t axes = 1);

/// Normalises [B, C, ...] over groups of C / groups channels and all later axes; `weight` and `bias` are [C]
/// or null.
mlir::Value groupNorm(mlir::OpBuilder &builder, mlir::Location location, mlir::Value x, mlir::Value weight,
                      mlir::Value bias, int64_t groups, double eps);

} // namespace flow
