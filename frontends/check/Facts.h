// Whether an op states what the compiler takes for granted of it: every op of the graph all facts of
// dialects/flow/FlowInterfaces.td, and nothing else but ops of the language.
#pragma once
#include "mlir/IR/OperationSupport.h"
#include "runtime/base/Status.h"

namespace moe {

/// invalid_input: the fact that the op lacks, or states and should not. Draws one of its random cases.
moert::Status checkFacts(mlir::RegisteredOperationName name);

} // namespace moe
