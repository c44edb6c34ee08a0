// What `moec evaluate` does once the model is a graph.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "runtime/base/Status.h"
#include <string>
#include <vector>

namespace moe {

struct EvaluateOptions {
  std::string entry = "main", parameters;   // a safetensors file
  std::vector<std::string> inputs, outputs; // name=@file.npy
  std::string outputFolder;                 // every output as <name>.npy; empty: none
  double progress = 0;                      // step / total steps
  uint64_t seed = 0, step = 0;              // of random numbers
  int64_t domains = 1;                      // rows are split evenly among them
};

/// Evaluates an entry in f64, writes outputs and prints the scalar ones. `sources` are the files that the
/// module was read from, which no output may replace.
moert::Status evaluateModule(mlir::ModuleOp module, const EvaluateOptions &options,
                             const std::vector<std::string> &sources);

} // namespace moe
