// The tokens of a text, comments among them, whatever is wrong with it: for what has to keep an author's text, or to find its way
// in one that MLIR's parser refuses. What a text means is the parser's to say.
#pragma once
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <string>
#include <vector>

namespace moe {

enum class TokenKind { comment, string, value, symbol, word, number, mark };

struct Token {
  TokenKind kind;
  llvm::StringRef
      text; // a value's with '%', a symbol's with '@', a comment's with '//', and without blanks behind it
  bool first = false; // of its line

  bool is(llvm::StringRef what) const { return text == what; }
  /// The name of a value, symbol or string, without its mark and quotes.
  llvm::StringRef name() const;
};

/// What some editors put in front of a text. It means nothing.
constexpr llvm::StringLiteral byteOrderMark = "\xef\xbb\xbf";

/// A text with '\n' in the place of each '\r' that ends a line alone. For editors and for MLIR's lexer such a line has ended, but places
/// count lines in '\n' only. All characters stay where they are.
std::string withLineFeeds(llvm::StringRef text);

std::vector<Token> tokensOf(llvm::StringRef text);

/// A part of a text that begins on a line of its own: the header of a layer, model, objective or entry up to its '{'; an op; or the
/// '}' of a body. `tokens` are those of the whole text.
struct Statement {
  enum Kind { header, entry, op, close } kind;
  size_t begin, end;                                  // tokens
  size_t word;                                        // the token of the op's name; `end` where there is none
  llvm::SmallVector<llvm::StringRef, 2> results = {}; // with '%'

  /// From its first character to behind its last, without a comment at its end.
  llvm::StringRef text(const std::vector<Token> &tokens) const;
};

/// The statements of a text, in order. `isOp` knows the names of ops, by which one that makes no value begins.
std::vector<Statement> statementsOf(const std::vector<Token> &tokens,
                                    llvm::function_ref<bool(llvm::StringRef)> isOp);

} // namespace moe
