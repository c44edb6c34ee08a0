// Holds the cost that an op states (dialects/flow/FlowInterfaces.td, CostInterface) against what can be counted of
// the op, so that a mistyped cost does not go unnoticed: reports of FLOPs and rematerialisation use it.
#pragma once
#include "frontends/check/OpCase.h"
#include "runtime/base/Status.h"

namespace moe {

/// What differs, as what was expected and what was found, and the case's text. Counted are operations of the body
/// times points of the iteration space; a contraction's two a point; and a composite's ops.
moert::Status checkCost(OpCase &one, mlir::Operation *op);

} // namespace moe
