// Sizes in a plan: what combining folds is what evaluation gives of the two apart.
#include "dialects/plan/Expr.h"
#include "test/unit/FlowCase.h"
#include <gtest/gtest.h>

using plan::Code;
using plan::ExprAttr;

TEST(PlanExpr, foldingKeepsTheValue) {
  mlir::MLIRContext *context = &moe::test::context();
  ExprAttr symbol = plan::symbol(context, plan::Symbol::N);
  const int64_t rows = 7;
  auto valueOf = [&](ExprAttr e) { return plan::evaluate(e, 2, rows); };
  auto exact = [](Code code, int64_t a, int64_t b) -> std::optional<int64_t> {
    auto floor = [](int64_t x, int64_t y) { return x / y - (x % y < 0); };
    if (code == Code::floordiv || code == Code::ceildiv)
      return b <= 0 ? std::nullopt : std::optional(code == Code::floordiv ? floor(a, b) : -floor(-a, b));
    return code == Code::add ? a + b : code == Code::sub ? a - b : a * b;
  };
  for (Code code : {Code::add, Code::sub, Code::mul, Code::floordiv, Code::ceildiv})
    for (int64_t number = -3; number <= 3; ++number) {
      ExprAttr constant = plan::constant(context, number);
      for (auto [a, b, x, y] :
           {std::tuple(symbol, constant, rows, number), std::tuple(constant, symbol, number, rows),
            std::tuple(constant, constant, number, number)})
        if (std::optional<int64_t> right = exact(code, x, y))
          EXPECT_EQ(valueOf(plan::combine(code, a, b)), right) << int(code) << ": " << x << ", " << y;
    }
}
