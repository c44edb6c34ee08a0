// Custom directives of the declarative formats: how an op's words become attributes. Each has a parse and a
// print half.
#pragma once
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Options.h"

namespace moe {

/// Declares the operands that the op's expressions take sizes from; the directives that read these add to them.
inline mlir::ParseResult parseSized(mlir::OpAsmParser &, llvm::SmallVectorImpl<Unresolved> &) {
  return mlir::success();
}
inline void printSized(mlir::OpAsmPrinter &, mlir::Operation *, mlir::OperandRange) {}

/// An expression of an op; Expr.h has the other half.
void printExpr(mlir::OpAsmPrinter &p, mlir::Operation *op, ExprAttr expr, mlir::OperandRange sized);

/// As many values as `names` has, each of which may be an expression instead: `1, %x`. `numbers` is null where none is one.
mlir::ParseResult parseOperands(mlir::OpAsmParser &p, llvm::SmallVectorImpl<Unresolved> &values,
                                mlir::ArrayAttr &numbers, llvm::SmallVectorImpl<Unresolved> &sized,
                                llvm::StringRef names);
void printOperands(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::OperandRange values,
                   mlir::ArrayAttr numbers, mlir::OperandRange sized, llvm::StringRef names);

/// A word that an op needs, such as `to`.
mlir::ParseResult parseClause(mlir::OpAsmParser &p, llvm::StringRef word);
inline void printClause(mlir::OpAsmPrinter &p, mlir::Operation *, llvm::StringRef word) { p << word; }

/// `@name`, `shared @name`, `frozen @name`.
mlir::ParseResult parsePath(mlir::OpAsmParser &p, mlir::StringAttr &path, mlir::StringAttr &mode);
void printPath(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::StringAttr path, mlir::StringAttr mode);

mlir::ParseResult parseWord(mlir::OpAsmParser &p, mlir::StringAttr &word);
void printWord(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::StringAttr word);
mlir::OptionalParseResult parseOptionalWord(mlir::OpAsmParser &p, mlir::StringAttr &word);
void printOptionalWord(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::StringAttr word);

/// Behind a chain's list, in any order: `with %a, %b` and `ramp drop from 0.0 to 0.1`.
mlir::ParseResult parseChainWords(mlir::OpAsmParser &p, llvm::SmallVectorImpl<Unresolved> &with,
                                  mlir::StringAttr &ramp, ExprAttr &first, ExprAttr &last,
                                  llvm::SmallVectorImpl<Unresolved> &sized);
void printChainWords(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::OperandRange with,
                     mlir::StringAttr ramp, ExprAttr first, ExprAttr last, mlir::OperandRange sized);

/// What stands after `over`: an axis word, or axes by number.
mlir::ParseResult parseAxes(mlir::OpAsmParser &p, ExprAttr &axes);

/// Comma separated expressions.
mlir::ParseResult parseExprs(mlir::OpAsmParser &p, mlir::ArrayAttr &list,
                             llvm::SmallVectorImpl<Unresolved> &sized);
void printExprs(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::ArrayAttr list, mlir::OperandRange sized);

/// `logits = %y, hidden = %h`.
mlir::ParseResult parseNamed(mlir::OpAsmParser &p, llvm::SmallVectorImpl<Unresolved> &values,
                             mlir::ArrayAttr &names);
void printNamed(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::OperandRange values, mlir::ArrayAttr names);

/// `step mod 2 == 1`.
mlir::ParseResult parseCondition(mlir::OpAsmParser &p, ExprAttr &when, ExprAttr &is);
void printCondition(mlir::OpAsmPrinter &p, mlir::Operation *, ExprAttr when, ExprAttr is);

/// As many results as the author named.
mlir::ParseResult parseResults(mlir::OpAsmParser &p, llvm::SmallVectorImpl<mlir::Type> &types);
inline void printResults(mlir::OpAsmPrinter &, mlir::Operation *, mlir::TypeRange) {}

/// `<dim, drop: number = 0.0, @ffn>`.
mlir::ParseResult parseParams(mlir::OpAsmParser &p, mlir::ArrayAttr &params);
void printParams(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::ArrayAttr params);

/// `(%x, %y) { ... }`; without braces a declaration, whose block has arguments and nothing else. A model's
/// have types.
mlir::ParseResult parseBody(mlir::OpAsmParser &p, mlir::Region &body);
void printBody(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::Region &body);
/// A layer's: its values may have patterns, `(%x: [tokens, dim])`. `patterns` is null where none has one.
mlir::ParseResult parseHeader(mlir::OpAsmParser &p, mlir::ArrayAttr &patterns, mlir::Region &body);
void printHeader(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::ArrayAttr patterns, mlir::Region &body);
mlir::ParseResult parseSignature(mlir::OpAsmParser &p, mlir::ArrayAttr &inputs, mlir::Region &body);
void printSignature(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::ArrayAttr inputs, mlir::Region &body);
} // namespace moe
