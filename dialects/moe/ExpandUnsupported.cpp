// Ops that parse and verify but that elaboration does not support: they say so at the author's line.
#include "dialects/moe/MoeDialect.h"

using namespace mlir;
using namespace moe;

static LogicalResult unsupported(Operation *op) {
  return op->emitError() << "'" << op->getName().stripDialect() << "' is not supported yet by elaboration";
}

LogicalResult DispatchOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SelectOp::expand(Expander &) { return unsupported(*this); }
LogicalResult AttentionOp::expand(Expander &) { return unsupported(*this); }
LogicalResult CrossEntropyOp::expand(Expander &) { return unsupported(*this); }
LogicalResult CallOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SwitchOp::expand(Expander &) { return unsupported(*this); }
LogicalResult UpdateOp::expand(Expander &) { return unsupported(*this); }
