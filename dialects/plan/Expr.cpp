#include "dialects/plan/Expr.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace plan {

static ExprAttr single(MLIRContext *context, Code code, int64_t value) {
  return ExprAttr::get(context, {static_cast<int64_t>(code), value});
}
ExprAttr constant(MLIRContext *context, int64_t value) { return single(context, Code::constant, value); }
ExprAttr symbol(MLIRContext *context, Symbol symbol) {
  return single(context, Code::symbol, static_cast<int64_t>(symbol));
}

std::optional<int64_t> constantValue(ExprAttr expr) {
  ArrayRef<int64_t> steps = expr.getSteps();
  if (steps.size() == 2 && steps[0] == static_cast<int64_t>(Code::constant))
    return steps[1];
  return std::nullopt;
}

// One arithmetic step; nothing where the result does not fit or does not exist. Quotients round toward minus
// and plus infinity.
static std::optional<int64_t> apply(Code code, int64_t a, int64_t b) {
  int64_t result;
  switch (code) {
  case Code::add:
    return llvm::AddOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case Code::sub:
    return llvm::SubOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case Code::mul:
    return llvm::MulOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case Code::floordiv:
  case Code::ceildiv:
    if (b == 0 || (a == INT64_MIN && b == -1))
      return std::nullopt;
    return code == Code::floordiv ? llvm::divideFloorSigned(a, b) : llvm::divideCeilSigned(a, b);
  default:
    return std::nullopt;
  }
}

ExprAttr combine(Code code, ExprAttr a, ExprAttr b) {
  std::optional<int64_t> ca = constantValue(a), cb = constantValue(b);
  if (ca && cb)
    if (std::optional<int64_t> folded = apply(code, *ca, *cb))
      return constant(a.getContext(), *folded);
  bool sum = code == Code::add, product = code == Code::mul;
  bool quotient = code == Code::floordiv || code == Code::ceildiv;
  if ((sum || code == Code::sub) && cb == 0)
    return a;
  if (sum && ca == 0)
    return b;
  if (product && (ca == 0 || cb == 1))
    return a;
  if (product && (cb == 0 || ca == 1))
    return b;
  if (quotient && cb == 1)
    return a;
  SmallVector<int64_t> steps(a.getSteps());
  llvm::append_range(steps, b.getSteps());
  steps.append({static_cast<int64_t>(code), 0});
  return ExprAttr::get(a.getContext(), steps);
}

std::optional<int64_t> evaluate(ExprAttr expr, int64_t domains, int64_t rows) {
  SmallVector<int64_t> stack;
  ArrayRef<int64_t> steps = expr.getSteps();
  for (size_t i = 0; i + 1 < steps.size(); i += 2) {
    Code code = static_cast<Code>(steps[i]);
    if (code == Code::constant) {
      stack.push_back(steps[i + 1]);
    } else if (code == Code::symbol) {
      switch (static_cast<Symbol>(steps[i + 1])) {
      case Symbol::D:
        stack.push_back(domains);
        break;
      case Symbol::N:
        stack.push_back(rows);
        break;
      default:
        return std::nullopt;
      }
    } else {
      if (stack.size() < 2)
        return std::nullopt;
      int64_t b = stack.pop_back_val();
      std::optional<int64_t> result = apply(code, stack.pop_back_val(), b);
      if (!result)
        return std::nullopt;
      stack.push_back(*result);
    }
  }
  if (stack.size() != 1)
    return std::nullopt;
  return stack.back();
}

} // namespace plan
