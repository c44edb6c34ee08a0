// The end of an op's text: its options (`key = value`), its flags, and its keywords with what they take (`to 8`, `init zeros`).
// They stand behind the op's values in any order; only options that follow each other are separated by commas. Each op lists
// its own in its definition, separated by commas; printed are the options, then the keywords, each as the list has them:
//   key      an option            key!           one that is needed
//   flag?    a flag               key%           an option that takes a value: `keys = %keys`
//   key^rows by         an option that takes these words and one more, which is stored: `choose = rows by image`
//   kind*    an option without a key, which stands first: `cosine`
//   word:attribute      a keyword that takes an expression, which is stored as this attribute; `word:attribute!` is needed
//   word:first+second   a keyword that takes one or two expressions: `init normal(0.1), zeros`
//   word:%              a keyword that takes a value: `weights %theta`
#pragma once
#include "dialects/moe/MoeDialect.h"

#define MOE_KEYS(...) #__VA_ARGS__

namespace moe {
using Unresolved = mlir::OpAsmParser::UnresolvedOperand;

/// Gives the op its author's %name as location. `values` are the operands that options or keywords take, in the list's order.
mlir::ParseResult parseOptionList(mlir::OpAsmParser &p, llvm::ArrayRef<std::optional<Unresolved> *> values,
                                  llvm::SmallVectorImpl<Unresolved> &sized, mlir::OperationState &state,
                                  llvm::StringRef keys);
void printOptionList(mlir::OpAsmPrinter &p, mlir::Operation *op, llvm::ArrayRef<mlir::Value> values,
                     mlir::OperandRange sized, llvm::StringRef keys);

inline mlir::ParseResult parseOptions(mlir::OpAsmParser &p, llvm::SmallVectorImpl<Unresolved> &sized,
                                      mlir::OperationState &state, llvm::StringRef keys) {
  return parseOptionList(p, {}, sized, state, keys);
}
inline mlir::ParseResult parseValueOptions(mlir::OpAsmParser &p, std::optional<Unresolved> &value,
                                           llvm::SmallVectorImpl<Unresolved> &sized,
                                           mlir::OperationState &state, llvm::StringRef keys) {
  return parseOptionList(p, {&value}, sized, state, keys);
}
inline mlir::ParseResult parseValueOptions(mlir::OpAsmParser &p, std::optional<Unresolved> &first,
                                           std::optional<Unresolved> &second,
                                           llvm::SmallVectorImpl<Unresolved> &sized,
                                           mlir::OperationState &state, llvm::StringRef keys) {
  return parseOptionList(p, {&first, &second}, sized, state, keys);
}
template <typename Properties>
void printOptions(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::OperandRange sized, const Properties &,
                  llvm::StringRef keys) {
  printOptionList(p, op, {}, sized, keys);
}
template <typename Properties>
void printValueOptions(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::Value value,
                       mlir::OperandRange sized, const Properties &, llvm::StringRef keys) {
  printOptionList(p, op, {value}, sized, keys);
}
template <typename Properties>
void printValueOptions(mlir::OpAsmPrinter &p, mlir::Operation *op, mlir::Value first, mlir::Value second,
                       mlir::OperandRange sized, const Properties &, llvm::StringRef keys) {
  printOptionList(p, op, {first, second}, sized, keys);
}

/// What the author has written of the op that is being parsed, on its first line: `linear @fc(%x)`.
llvm::StringRef writtenOf(mlir::OpAsmParser &p);
inline mlir::SMLoc behind(llvm::StringRef text) { return mlir::SMLoc::getFromPointer(text.end()); }

/// A location, named by the author's %name.
mlir::Location namedLocation(mlir::OpAsmParser &p, llvm::StringRef name, mlir::Location loc);
} // namespace moe
