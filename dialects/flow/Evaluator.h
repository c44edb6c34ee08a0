// The f64 evaluator: runs any entry of flow, as elaborated, differentiated or grouped, on plain arrays. It is
// the truth that compiled code, gradient rules and passes are held against, so it is written to be read, not
// to be fast, and shares nothing with the emitters.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include <map>
#include <random>
#include <string>

namespace flow {

/// What an entry is given: the batch, inputs by name, parameters and states by path, numbers by key. A recipe
/// key that is absent has its fallback; everything else that the entry reads must be there.
struct Bindings {
  Setting setting;
  double progress = 0;
  std::map<std::string, Array> inputs, states;
  std::map<std::string, double> scalars;
};

/// What came out: outputs and exposed values by name, assigned values by path. What depends on a `flow.grad`
/// that is not differentiated yet is left out.
struct Evaluation {
  std::map<std::string, Array> outputs, exposed, assigned;
};

/// Evaluates an entry. Fails, with a diagnostic at the op, where a binding is missing or its shape is not the
/// declared one, or where a size has no value.
mlir::FailureOr<Evaluation> evaluate(EntryOp entry, const Bindings &bindings);

/// The value's shape for given symbols; nothing where an extent has no value or is negative.
std::optional<llvm::SmallVector<int64_t>> shapeOf(mlir::Type type, const Symbols &symbols);

/// Binds whatever the entry reads and `bindings` lacks, for tests: parameters and inputs to numbers around 0
/// (parameters scaled by their fan-in, so that deep models stay tame), other states to small positive ones,
/// indices to [0, classes). The values are f32 numbers, so that compiled code can be given the same.
void bindRandom(EntryOp entry, Bindings &bindings, std::mt19937_64 &random, int64_t classes);

} // namespace flow
