// What names may be. Programs record the names of models, parameters, inputs, results and losses, and paths
// made of them; checkpoints have them as keys, reports and commands as words. So one rule holds for all names
// that an author gives, and it is at least as strict as the loader's rule for texts (docs/program.md, V10).
#pragma once
#include "mlir/IR/Diagnostics.h"

namespace moe {

/// In bytes. A program's texts have at most 4096, and what is made of a path has words before and behind it.
constexpr size_t longestName = 255, longestPath = 4000;

/// Reports at `at` a name that is empty, too long, not UTF-8, or has control characters. `mark` is written
/// before it, such as "@".
mlir::LogicalResult checkName(mlir::Location at, llvm::StringRef mark, llvm::StringRef name);

} // namespace moe
