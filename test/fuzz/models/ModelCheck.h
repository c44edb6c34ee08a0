// Compiles a model for one target as moec does, runs its entries as moert does, and says what is wrong, if anything: a
// text that is refused, a result farther from the evaluator than rounding explains, other bytes on another number of
// threads, another signature than the evaluator's.
#pragma once
#include "mlir/IR/MLIRContext.h"
#include "test/fuzz/models/ModelCase.h"

namespace moe::test {

enum class ModelVerdict {
  right,
  undecided, ///< rounding may turn one of the model's choices, for all values that were tried
  wrong
};

struct ModelOptions {
  std::string target = "cpu";
  uint64_t seed = 1;               ///< draws parameters, inputs and labels
  bool verifyByEvaluation = false; ///< each pass too is held against the evaluator
};

/// `problem` says what is wrong or undecided.
ModelVerdict checkModel(const ModelCase &one, const ModelOptions &options, mlir::MLIRContext &context,
                        std::string &problem);

} // namespace moe::test
