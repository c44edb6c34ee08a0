// Checks every pass over flow by evaluation: evaluates all entries in f64, on random values, before and after
// the pass, and compares outputs and new states. It does so at several batches: one domain and many, one row
// of each and many. An error in the order of rows, or in a size that counts domains instead of rows, shows
// only if neither number is 1 and both differ. For tests and for `moec compile --verify-by-evaluation`; it
// takes seconds per pass of a model.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassInstrumentation.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moe {

/// One walk through the pipeline, over any number of pass managers.
class EntryValues {
public:
  explicit EntryValues(std::vector<flow::Symbols> batches = {{1, 1}, {2, 1}, {1, 3}, {3, 2}},
                       uint64_t seed = 1);
  /// Evaluates the entries of a module, compares the values with those before, and keeps them for the next
  /// call. Every earlier output must still be there with the same value, up to the rounding of folded
  /// constants to f32, and so must every new state, unless the state keeps its old value. Reports differences
  /// as errors at the entry; `culprit` is the name of the pass.
  llvm::LogicalResult check(mlir::Operation *root, llvm::StringRef culprit);
  bool failed() const { return anyFailed; }
  /// How many values were compared.
  size_t comparisons() const { return compared; }

private:
  llvm::LogicalResult check(flow::EntryOp entry, const flow::Symbols &symbols, flow::Evaluation &known,
                            bool isKnown, llvm::StringRef culprit);
  llvm::LogicalResult compare(flow::EntryOp entry, llvm::StringRef what, const flow::Bindings &bindings,
                              const std::map<std::string, flow::Array> &before,
                              const std::map<std::string, flow::Array> &after, llvm::StringRef culprit);
  std::vector<flow::Symbols> batches;
  uint64_t seed;
  std::map<std::string, std::vector<flow::Evaluation>> known; // by entry and batch
  bool anyFailed = false;
  size_t compared = 0;
};

/// Checks after each pass; `values` outlives the pass manager.
std::unique_ptr<mlir::PassInstrumentation> verifyByEvaluation(EntryValues &values);

} // namespace moe
