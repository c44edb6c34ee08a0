// The optimisers as functional updates: each trained parameter and each state gets an `assign` of its value
// after the step, built from elementwise ops. Every number of an optimiser is a `scalar` (optimizer.lr,
// optimizer.beta1, ...), so that a recipe changes it without a recompile. All updates are predicated on
// `finite`: where the loss or the sum of squared gradients is not finite, every parameter and state keeps its
// value.
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

/// Whether an optimiser may keep a state of its own under that path, which no parameter can have then: of any
/// of the three, so that a model's names do not depend on which one trains it.
bool isOptimizerState(llvm::StringRef path);

/// Emits the updates of `parameters` by their `gradients` (one each, of the parameter's type) at the
/// builder's place, the `assign`s, and the output "finite" (tensor<f32>, 1 or 0). `loss` is tensor<f32>.
void buildUpdate(mlir::OpBuilder &builder, mlir::Location location, OptimizerKind kind, mlir::Value loss,
                 llvm::ArrayRef<ParameterOp> parameters, mlir::ValueRange gradients);

} // namespace flow
