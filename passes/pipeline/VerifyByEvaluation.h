// Holds every pass over flow to account: evaluates all entries in f64 before and after it, on random values,
// and compares what comes out. For tests and for `moec compile --verify-by-evaluation`; a model takes seconds
// a pass.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassInstrumentation.h"
#include <map>
#include <memory>
#include <string>

namespace moe {

/// One walk through the pipeline, over any number of pass managers.
class EntryValues {
public:
  explicit EntryValues(flow::Symbols symbols = {2, 1, 1}, uint64_t seed = 1);
  /// Evaluates the entries of a module and compares with the values known so far, which it then replaces. An
  /// output that was there must still be, with the same value up to f32's rounding of folded constants; so
  /// must a new state, unless the state keeps its old value. Reports what differs as errors at the entry;
  /// `culprit` names the pass.
  llvm::LogicalResult check(mlir::Operation *root, llvm::StringRef culprit);
  bool failed() const { return anyFailed; }
  /// How many values were compared.
  size_t comparisons() const { return compared; }

private:
  llvm::LogicalResult compare(flow::EntryOp entry, llvm::StringRef what, const flow::Bindings &bindings,
                              const std::map<std::string, flow::Array> &before,
                              const std::map<std::string, flow::Array> &after, llvm::StringRef culprit);
  flow::Symbols symbols;
  uint64_t seed;
  std::map<std::string, flow::Evaluation> known;
  bool anyFailed = false;
  size_t compared = 0;
};

/// Checks after each pass; `values` outlives the pass manager.
std::unique_ptr<mlir::PassInstrumentation> verifyByEvaluation(EntryValues &values);

} // namespace moe
