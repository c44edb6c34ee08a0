// Ops that parse and verify but that elaboration does not support: they say so at the author's line.
#include "dialects/moe/MoeDialect.h"

using namespace mlir;
using namespace moe;

LogicalResult moe::reportUnsupported(Operation *op) {
  return op->emitError() << "'" << op->getName().stripDialect() << "' is not compiled yet";
}
