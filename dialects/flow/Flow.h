// The dialect `flow`: one typed dataflow graph per entry, between the model language and the plan. This
// header declares its ops; Build.h has builders that infer types.
#pragma once
#include "dialects/flow/Extent.h"
#include "dialects/flow/Facts.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <deque>
#include <mutex>

namespace flow {
/// See FlowInterfaces.td.
template <typename Op> struct Boundary : mlir::OpTrait::TraitBase<Op, Boundary> {};
template <typename Op> struct Elementwise : mlir::OpTrait::TraitBase<Op, Elementwise> {};
template <typename Op> struct Identity : mlir::OpTrait::TraitBase<Op, Identity> {};
} // namespace flow

#include "dialects/flow/FlowDialect.h.inc"
#include "dialects/flow/FlowEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/flow/FlowAttrs.h.inc"
#include "dialects/flow/FlowInterfaces.h.inc"
#define GET_OP_CLASSES
#include "dialects/flow/FlowOps.h.inc"
