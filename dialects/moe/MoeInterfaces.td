// How an op of the language becomes typed ops: which parameters it owns, with shape and initial value, and which flow
// ops it becomes.
#ifndef MOE_INTERFACES_TD
#define MOE_INTERFACES_TD
include "mlir/IR/OpBase.td"

def Moe_ExpandInterface : OpInterface<"ExpandInterface"> {
  let cppNamespace = "::moe";
  let methods = [InterfaceMethod<
    "Binds a record to each result, building flow ops at the author's line. A failure has been reported there.",
    "::llvm::LogicalResult", "expand", (ins "::moe::Expander &":$in)>,
  InterfaceMethod<
    "The operands that the op's expressions take sizes from, in the order of their numbers: `size(%x, tokens)`.",
    "::mlir::Operation::operand_range", "getSized", (ins), "", "return $_op->getOperands().take_front(0);">];
}
#endif
