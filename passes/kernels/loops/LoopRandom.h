// Random numbers inside kernels: Philox 4x32-10 on all lanes at once. Uniform numbers are exactly those that
// docs/architecture.md defines ("Random numbers"); normal numbers use the kernels' polynomials for the
// logarithm, sine and cosine.
#pragma once
#include "mlir/IR/Builders.h"

namespace moe::kernels {

struct PhiloxKey {
  mlir::Value seed, step, stream; // i64 each
};

// `logical`: vector of i64. The result is a vector of f32.
mlir::Value philoxUniform(mlir::OpBuilder &builder, mlir::Location location, PhiloxKey key,
                          mlir::Value logical);
mlir::Value philoxNormal(mlir::OpBuilder &builder, mlir::Location location, PhiloxKey key,
                         mlir::Value logical);

// The same for `lanes` consecutive indices from `first` (i64) on, a multiple of 4: this takes a quarter of
// the work.
mlir::Value philoxUniformRun(mlir::OpBuilder &builder, mlir::Location location, PhiloxKey key,
                             mlir::Value first, int64_t lanes);
mlir::Value philoxNormalRun(mlir::OpBuilder &builder, mlir::Location location, PhiloxKey key,
                            mlir::Value first, int64_t lanes);

} // namespace moe::kernels
