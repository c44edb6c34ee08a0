// The language's expressions: how they are read from and written to text. A tree has at most `maxHeight`
// levels, so that no input can exhaust the stack of what walks it.
#pragma once
#include "dialects/moe/Listener.h"
#include "mlir/IR/Attributes.h"
#include "mlir/IR/OpImplementation.h"

namespace moe {
/// What a node of an expression is. Operators come last; their operands are `args`. Those of Size, which is written `size(%x,
/// tokens)`, are the number of %x among the op's `sized` operands and the axis, a word or a number as text; its own text is the
/// value's name as the author wrote it, for reports, and empty where it is not known.
enum class ExprKind { Number, Name, Layer, List, Call, Key, Size, Add, Sub, Mod, Mul, Div };

constexpr unsigned maxHeight = 200;

class ExprAttr;
class ParamAttr;
class InputAttr;

/// Reports at `at` without the "custom op 'moe.linear' " that the parser's own emitError puts first.
mlir::InFlightDiagnostic reportAt(mlir::AsmParser &parser, mlir::SMLoc at);

/// The word in the source at `at`, and whether `=` follows it.
std::pair<llvm::StringRef, bool> peekWord(const char *at);

/// The text of the line that `at` is on, up to there; and that of the last line before the one that begins at
/// `start` which has any, without its comment.
llvm::StringRef lineUpTo(mlir::AsmParser &parser, const char *at);
llvm::StringRef lineBefore(mlir::AsmParser &parser, const char *start);

/// The text of the last line before the current token, without its comment, if the token is the first of its
/// own line; else empty.
llvm::StringRef lineThatEnded(mlir::AsmParser &parser);

/// That line where it ends in a word or '=', so that what it takes had to stand on it; else empty: behind a
/// comma or a bracket an op may go on in the next line.
llvm::StringRef lineCutShort(mlir::AsmParser &parser);

/// A line without `%name = ` in front.
llvm::StringRef opOfLine(llvm::StringRef line);

/// Tells the context's listener, if there is one, of a name in the source.
void tellName(mlir::AsmParser &parser, Listener::Name kind, llvm::StringRef written,
              llvm::StringRef layer = {});

/// Tells an editor that asks what may stand at the current place of words that may.
void offer(mlir::AsmParser &parser, llvm::ArrayRef<llvm::StringRef> words);
/// The same of the words of an attribute (Words.h).
void offerWordsOf(mlir::AsmParser &parser, llvm::StringRef attribute);

/// Null where an error was reported. Sizes of values can stand in the expressions of ops only.
ExprAttr parseExpr(mlir::AsmParser &parser);

/// Of an op: the values that it takes sizes from are added to `sized`, each once.
mlir::ParseResult parseExpr(mlir::OpAsmParser &parser, ExprAttr &expr,
                            llvm::SmallVectorImpl<mlir::OpAsmParser::UnresolvedOperand> &sized);
mlir::ParseResult parseExprList(mlir::OpAsmParser &parser, llvm::SmallVectorImpl<mlir::Attribute> &args,
                                llvm::SmallVectorImpl<mlir::OpAsmParser::UnresolvedOperand> &sized);
ParamAttr parseParam(mlir::AsmParser &parser);
InputAttr parseInput(mlir::AsmParser &parser);

/// Comma separated expressions; `key = value` is allowed among them.
mlir::ParseResult parseExprList(mlir::AsmParser &parser, mlir::AsmParser::Delimiter delimiter,
                                llvm::SmallVectorImpl<mlir::Attribute> &args);

/// How the value of a size is written: by its author's name, its number, or as the printer names the operand.
using SizedName = llvm::function_ref<void(llvm::raw_ostream &os, ExprAttr size)>;
void printExpr(llvm::raw_ostream &os, ExprAttr expr, SizedName name);

/// The number of a size's value among the op's `sized` operands.
uint64_t sizedNumber(ExprAttr size);
} // namespace moe
