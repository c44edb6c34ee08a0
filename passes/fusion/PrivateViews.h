// Copies views that an op reads at several indices. A group contains the views that its ops read, and in a
// loop kernel each value has one index along each axis. In x + transpose(x), where x is itself a view, x
// would need two indices; with a copy of x for each use, the op can be a kernel.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe {

/// For each of `readers` that cannot be a kernel together with the free ops that it reads, makes a copy of
/// them for each use. `isFree` says which ops are free.
void makeViewsPrivate(llvm::ArrayRef<mlir::Operation *> readers,
                      llvm::function_ref<bool(mlir::Operation *)> isFree);

} // namespace moe
