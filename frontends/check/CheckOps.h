// Holds what an op states of itself (dialects/flow/FlowInterfaces.td) against its evaluator on random cases:
// the gradient, once, twice and behind a select, against central differences; iteration space, accesses and
// accumulators against the op's own result; the ops that it is made of, against the op; its cost against what its body
// has; its text and bytecode; and compiled code, within the error that the
// op states. The tests of the project's own ops and `moec check-ops` are both this walk.
#pragma once
#include "mlir/IR/OperationSupport.h"
#include "runtime/base/Status.h"
#include <string>
#include <vector>

namespace moe {

/// One thing that is held against the evaluator.
struct OpCheck {
  const char *name;
  /// Of so many cases, every how many-th has it: what takes long has fewer.
  unsigned every;
  /// What differs in the case of that seed, as what was expected and what was found, and the case's text.
  moert::Status (*run)(mlir::RegisteredOperationName op, uint64_t seed);
};

moert::Status checkVerifies(mlir::RegisteredOperationName op, uint64_t seed);
moert::Status checkText(mlir::RegisteredOperationName op, uint64_t seed);
moert::Status checkGradient(mlir::RegisteredOperationName op, uint64_t seed);
moert::Status checkSecondGradient(mlir::RegisteredOperationName op, uint64_t seed);
/// The gradients where a select chooses some of the results' elements, and where it chooses none at points where
/// slopes are infinite.
moert::Status checkSelected(mlir::RegisteredOperationName op, uint64_t seed);
moert::Status checkAccesses(mlir::RegisteredOperationName op, uint64_t seed);
/// The other ops that compute the same (ComputeInterface::decompose), where there are any.
moert::Status checkParts(mlir::RegisteredOperationName op, uint64_t seed);
/// At the host's level and the one below.
moert::Status checkCompiled(mlir::RegisteredOperationName op, uint64_t seed);

const std::vector<OpCheck> &opChecks();

/// A number with as many digits as tell it apart from every other.
std::string exactText(double number);

struct CheckOpsOptions {
  std::vector<std::string> dialects; ///< whose ops; empty: those of all loaded plugins
  std::vector<std::string> ops;      ///< only these of them; empty: all
  uint64_t seed = 1000;              ///< of the first case; each has a seed of its own, the next number
  unsigned cases = 24;
  /// Where the cases are written (WriteCases.h) instead of checked; empty: checked. `targets` is what they are
  /// compiled for.
  std::string write;
  std::vector<std::string> targets;
};

/// `moec check-ops`: all checks of all ops, one line an op on standard output, what differs on standard
/// error. A dialect or plugin whose ops do not compute, such as one of words that other ops are made of, has
/// nothing to check, which is said on standard output.
moert::Status checkOps(const CheckOpsOptions &options);

} // namespace moe
