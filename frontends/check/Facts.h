// Whether an op states what the compiler takes for granted of it: every op of the graph all facts of
// dialects/flow/FlowInterfaces.td, and nothing else but ops of the language.
#pragma once
#include "dialects/flow/Flow.h"
#include "mlir/IR/OperationSupport.h"
#include "runtime/base/Status.h"

namespace moe {

/// invalid_input: the fact that the op lacks, or states and should not. Draws one of its random cases.
moert::Status checkFacts(mlir::RegisteredOperationName name);
/// invalid_input: an accumulator of a type that kernels do not keep, or one of a sum that is not f32 or does not
/// start at 0. What an op says of these may depend on its attributes, so that each case is asked.
moert::Status checkAccumulators(flow::ReductionInterface reduction);

} // namespace moe
