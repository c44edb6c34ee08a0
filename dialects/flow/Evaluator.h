// The f64 evaluator: an interpreter of flow entries on plain arrays, before and after differentiation and
// fusion. It is the reference for compiled code, gradient rules and passes. It is therefore written to be
// obviously correct rather than fast, and shares no code with the emitters.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include <map>
#include <random>
#include <string>

namespace flow {

/// The arguments of an entry: the batch, inputs by name, parameters and states by path, scalars by key. A
/// scalar that is absent has its fallback; everything else that the entry reads must be there.
struct Bindings {
  Setting setting;
  double progress = 0;
  std::map<std::string, Array> inputs, states;
  std::map<std::string, double> scalars;
};

/// The results of an entry: outputs and exposed values by name, assigned values by path. Results that depend
/// on a `flow.grad`, before differentiation, are left out.
struct Evaluation {
  std::map<std::string, Array> outputs, exposed, assigned;
};

/// Evaluates an entry. Fails, with a diagnostic at the op, if a binding is missing or has another shape than
/// declared, or if a size has no value.
mlir::FailureOr<Evaluation> evaluate(EntryOp entry, const Bindings &bindings);

/// The value's shape for given symbols; nothing where an extent has no value or is negative.
std::optional<llvm::SmallVector<int64_t>> shapeOf(mlir::Type type, const Symbols &symbols);

/// For tests, binds everything that the entry reads and `bindings` lacks to random numbers: parameters and
/// inputs around 0 (parameters scaled by their fan-in, so that values stay moderate in deep models), other
/// states small and positive, indices in [0, classes). All values are f32 numbers, so that compiled code can
/// be given the same.
void bindRandom(EntryOp entry, Bindings &bindings, std::mt19937_64 &random, int64_t classes);

} // namespace flow
