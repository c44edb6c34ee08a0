// What of a text errors have been reported of. A text with an error is read and elaborated to its end, so that its other errors
// are reported in the same run; what depends on a fault is left out, so that one mistake is one error.
#pragma once
#include "llvm/ADT/DenseSet.h"

namespace mlir {
class Operation;
}

namespace moe {

/// Of one reading of a text; whoever reads a text clears it before. The operations live as long as the module that was read.
struct Faults {
  /// Ops that an error was reported of, and what stands for ops that could not be read: their values are lost. Of a layer or
  /// model, its header is wrong.
  llvm::DenseSet<mlir::Operation *> ops;
  /// Layers and models from whose bodies ops without values are missing, such as the last one.
  llvm::DenseSet<mlir::Operation *> cut;
  /// Layers, models and objectives all of whose body has been verified.
  llvm::DenseSet<mlir::Operation *> checked;

  void clear() { ops.clear(), cut.clear(), checked.clear(); }
};

} // namespace moe
