// Custom directives of the declarative formats: how an op's words become attributes. Each has a parse and a
// print half.
#pragma once
#include "dialects/moe/MoeDialect.h"

#define MOE_KEYS(...) #__VA_ARGS__

namespace moe {
using Unresolved = mlir::OpAsmParser::UnresolvedOperand;

/// `key = value`, needed (`key!` in `keys`) or not, and flags (`key?`), in any order. Without a leading comma
/// they begin with a word before '=' (no op does) or with one of this op's flags. Gives the op its author's
/// %name as location.
mlir::ParseResult parseOptions(mlir::OpAsmParser &p, mlir::OperationState &state, llvm::StringRef keys);
mlir::ParseResult parseKeysOptions(mlir::OpAsmParser &p, std::optional<Unresolved> &keys,
                                   mlir::OperationState &state, llvm::StringRef names);
void printOptionList(mlir::OpAsmPrinter &p, mlir::Operation *op, llvm::StringRef keys, bool comma);
template <typename Properties>
void printOptions(mlir::OpAsmPrinter &p, mlir::Operation *op, const Properties &, llvm::StringRef keys) {
  printOptionList(p, op, keys, false);
}
template <typename Properties>
void printKeysOptions(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::Value keys, const Properties &,
                      llvm::StringRef names) {
  if (keys)
    p << ", keys = " << keys;
  printOptionList(p, op, names, true);
}

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

/// What stands after `over`: an axis word, or axes by number.
mlir::ParseResult parseAxes(mlir::OpAsmParser &p, ExprAttr &axes);
void printAxes(mlir::OpAsmPrinter &p, mlir::Operation *, ExprAttr axes);

/// Comma separated expressions.
mlir::ParseResult parseExprs(mlir::OpAsmParser &p, mlir::ArrayAttr &list);
void printExprs(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::ArrayAttr list);

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
mlir::ParseResult parseSignature(mlir::OpAsmParser &p, mlir::ArrayAttr &inputs, mlir::Region &body);
void printSignature(mlir::OpAsmPrinter &p, mlir::Operation *, mlir::ArrayAttr inputs, mlir::Region &body);
} // namespace moe
