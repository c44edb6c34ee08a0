// How far compiled f32 code may be from the f64 evaluator in a whole entry. The entry is evaluated once exactly and
// several times with a random rounding error at each op, of the size that the op states for compiled code (Truth
// interface). How much a result moves then is its noise: what the model itself makes of rounding, whatever its depth,
// its cancellations and its optimiser. A result is right if it lies within a few times its noise.
#pragma once
#include "dialects/flow/Evaluator.h"

namespace moe::test {

struct NoisyValue {
  flow::Array value, noise; ///< noise is the root mean square of each element's movement
};

struct NoisyEvaluation {
  std::map<std::string, NoisyValue> outputs, exposed, assigned;
  /// The first op that chooses by values so close that rounding may turn the choice, such as ReLU's mask next to
  /// 0 or the largest of two nearly equal ones; or that f32 has no number for. Everything behind it may differ by far;
  /// empty where there is none.
  std::string undecided;
};

/// Evaluates a differentiated entry; nothing after a diagnostic.
std::optional<NoisyEvaluation> evaluateWithNoise(flow::EntryOp entry, const flow::Bindings &bindings,
                                                 uint64_t seed);

/// What is wrong with a compiled result, naming the worst element; empty where it agrees. Elements that are no
/// finite number must be none in the compiled result either.
std::string disagreement(const std::string &name, const NoisyValue &expected, const flow::Array &found);

/// What is wrong with the outputs and states that a compiled entry gave, naming the first; empty where all agree.
/// `expected` is what `evaluateWithNoise` gave for the same entry, values and seed. Its few runs find a noise that is
/// by chance far too small once in thousands of results, so that a result that seems wrong is held against the noise of
/// many runs.
std::string disagreement(flow::EntryOp entry, const flow::Bindings &bindings, uint64_t seed,
                         const NoisyEvaluation &expected, const flow::Evaluation &found);

} // namespace moe::test
