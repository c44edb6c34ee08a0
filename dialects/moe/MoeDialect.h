// The model language as MLIR sees it: dialect, value type, attributes and ops.
#pragma once
#include "dialects/moe/Expr.h"
#include "dialects/moe/Faults.h"
#include "dialects/moe/Listener.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"

namespace moe {
class Expander;
/// Reports that an op is read but not compiled.
llvm::LogicalResult reportUnsupported(mlir::Operation *op);
class MoeDialect;
/// The language as it is loaded in a context.
MoeDialect &languageOf(mlir::MLIRContext *context);
} // namespace moe

#include "dialects/moe/MoeDialect.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/moe/MoeTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/moe/MoeAttrs.h.inc"
#include "dialects/moe/MoeInterfaces.h.inc"
#define GET_OP_CLASSES
#include "dialects/moe/MoeOps.h.inc"
