// The optimisers as functional updates: each trained parameter and each state gets an `assign` of its value
// after the step, computed by elementwise ops. Every number of an optimiser is a `scalar` (optimizer.lr,
// optimizer.beta1, ...), so that a recipe can change it without recompilation. All updates have the predicate
// `finite`: if the loss, the sum of squared gradients or a buffer's new value is not finite, every parameter and state keeps
// its value.
#pragma once
#include "dialects/flow/Flow.h"
#include <optional>

namespace flow {

/// sgd: with momentum and coupled decay; adam: coupled decay; adamw: decoupled decay. All three as
/// torch.optim does.
enum class OptimizerKind { sgd, adam, adamw };

/// From "sgd", "adam", "adamw".
std::optional<OptimizerKind> parseOptimizerKind(llvm::StringRef name);
/// The three names, for diagnostics.
llvm::ArrayRef<llvm::StringRef> optimizerNames();

/// Whether a path is reserved for the states of an optimiser, so that no parameter can have it. The states of
/// all three optimisers are reserved, whichever one trains the model.
bool isOptimizerState(llvm::StringRef path);

/// A buffer of the model, a state without a gradient, and the value that it has after the step.
struct Buffer {
  std::string path;
  mlir::Value old, next;
  mlir::Location at;
};

/// Emits the updates of `parameters` by their `gradients` (one each, of the parameter's type) at the
/// builder's insertion point, those of `buffers`, the `assign`s, and the output "finite" (tensor<f32>, 1 or 0). `loss` is
/// tensor<f32>.
void buildUpdate(mlir::OpBuilder &builder, mlir::Location location, OptimizerKind kind, mlir::Value loss,
                 llvm::ArrayRef<ParameterOp> parameters, mlir::ValueRange gradients,
                 llvm::ArrayRef<Buffer> buffers = {});

} // namespace flow
