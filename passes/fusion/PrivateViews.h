// Views for each reader of its own, where one for all would keep an op from being a kernel. A group takes the
// views of its operands along, and in a kernel a value has one index along each axis: of x + transpose(x),
// where x is a view itself, both readers would have it at two indices at once.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe {

/// Gives each of the ops that no kernel could run with the free ops that it reads its own copies of them, one
/// a use. `isFree` says which ops cost nothing where they are used.
void makeViewsPrivate(llvm::ArrayRef<mlir::Operation *> readers,
                      llvm::function_ref<bool(mlir::Operation *)> isFree);

} // namespace moe
