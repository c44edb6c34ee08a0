// Sizes of a plan: building them with folding, and evaluating them for a bound batch with checked arithmetic.
#pragma once
#include "dialects/plan/Plan.h"
#include <optional>

namespace plan {

// The codes and symbols of the schema's ExprOp, in its order.
enum class Code : int64_t { constant, symbol, add, sub, mul, floordiv, ceildiv };
enum class Symbol : int64_t { D, N };
/// Their names, in text and in a program.
inline constexpr llvm::StringRef symbolNames[] = {"D", "N"};

ExprAttr constant(mlir::MLIRContext *context, int64_t value);
ExprAttr symbol(mlir::MLIRContext *context, Symbol symbol);
// a `code` b; folds constants and the neutral 0 and 1, never by more than that, so that text and file agree.
ExprAttr combine(Code code, ExprAttr a, ExprAttr b);
inline ExprAttr operator+(ExprAttr a, ExprAttr b) { return combine(Code::add, a, b); }
inline ExprAttr operator*(ExprAttr a, ExprAttr b) { return combine(Code::mul, a, b); }

// The value of a constant expression, nothing for others.
std::optional<int64_t> constantValue(ExprAttr expr);
// The value for a bound batch; nothing on overflow, division by zero, or a malformed program.
std::optional<int64_t> evaluate(ExprAttr expr, int64_t domains, int64_t rows);

// What a launch does, as text: "units D * N grain 2", "grid [N, 1, 1] block [256, 1, 1] shared 0", "copy", "fill 0".
mlir::ParseResult parseWorkAttr(mlir::AsmParser &parser, mlir::Attribute &work);
void printWorkAttr(mlir::AsmPrinter &printer, mlir::Attribute work);

} // namespace plan
