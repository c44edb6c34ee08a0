// Limits on a text that MLIR's parser itself does not have, and characters that nobody sees. MLIR's lexer and
// parser recurse on brackets, and convert numbers of any length with work that grows as the square of it, or
// beyond a buffer of fixed size. So what no person writes is refused, at its place, before the parser reads
// it.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include <optional>

namespace moe {

/// The longest text of a model, in bytes.
constexpr size_t longestModel = size_t(64) << 20;
/// The longest number, in characters. All digits of any 64-bit floating point number fit.
constexpr size_t longestNumber = 1100;

struct TextFault {
  size_t at;
  std::string message;
};

/// The first number of the text that begins with a dot, number or name that is too long, invisible character, or bracket that nests too
/// deep; or the last bracket that nothing closes.
std::optional<TextFault> findFault(llvm::StringRef text);

/// A character, for a message: 'é'; or, where it would not be seen, U+00A0 (no-break space). `text` begins
/// with it.
std::string shownCharacter(llvm::StringRef text);

/// Reports the first fault of a file's text at its line.
llvm::LogicalResult checkText(llvm::StringRef text, llvm::StringRef name, mlir::MLIRContext *context);

/// Warns where '//', which begins a comment, seems to be meant as a division: between an expression and a number or
/// parameter that is the whole comment. `module` is what `text` was read as.
void warnOfDivisions(llvm::StringRef text, llvm::StringRef name, mlir::ModuleOp module);

} // namespace moe
