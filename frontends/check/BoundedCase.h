// A random case of an op with what its evaluator gives, and how far compiled code may be from that: within
// c * eps * sum|terms|, where the op states c (TruthInterface). The walk over ops checks such cases where they
// are compiled, and writes them for machines that have no compiler (WriteCases.h).
#pragma once
#include "frontends/check/OpCase.h"
#include "runtime/base/Result.h"
#include <vector>

namespace moe {

struct BoundedCase {
  struct Output {
    std::string name;
    flow::Array value, bound; // of each element; a bound of 0 asks for the value itself
  };
  OpCase one;
  std::vector<Output> outputs;
};

/// The case of that seed. invalid_input: it cannot be evaluated, or the op states too few terms.
moert::Result<BoundedCase> boundedCase(mlir::RegisteredOperationName name, uint64_t seed);

} // namespace moe
