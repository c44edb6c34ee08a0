// The normal form of sizes: equal ones are one object however they were written, and text, postfix and
// evaluation agree.
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "test/unit/FlowCase.h"
#include <gtest/gtest.h>

using namespace mlir;
using flow::Extent;

namespace {

Extent size(int64_t value) { return Extent::constant(&moe::test::context(), value); }
Extent D() { return Extent::symbol(&moe::test::context(), flow::Symbol::D); }
Extent N() { return Extent::symbol(&moe::test::context(), flow::Symbol::N); }
Extent B() { return Extent::batch(&moe::test::context()); }

Extent parsed(const std::string &text) {
  auto attribute =
      dyn_cast_or_null<flow::ExtentAttr>(parseAttribute("#flow.extent<" + text + ">", &moe::test::context()));
  return attribute ? attribute.getExtent() : Extent();
}

/// What the schema's stack machine gives.
std::optional<int64_t> run(ArrayRef<Extent::Step> steps, const flow::Symbols &symbols) {
  std::vector<int64_t> stack;
  for (Extent::Step step : steps) {
    if (step.code == Extent::Code::constant || step.code == Extent::Code::symbol) {
      stack.push_back(step.code == Extent::Code::constant ? step.value
                      : step.value == 0                   ? symbols.D
                                                          : symbols.N);
      continue;
    }
    int64_t r = stack.back();
    stack.pop_back();
    int64_t &l = stack.back();
    l = step.code == Extent::Code::add        ? l + r
        : step.code == Extent::Code::sub      ? l - r
        : step.code == Extent::Code::mul      ? l * r
        : step.code == Extent::Code::floordiv ? llvm::divideFloorSigned(l, r)
                                              : llvm::divideCeilSigned(l, r);
  }
  EXPECT_EQ(stack.size(), 1u);
  return stack[0];
}

} // namespace

TEST(Extent, equalSizesAreOneObject) {
  EXPECT_EQ(D() * N(), N() * D());
  EXPECT_EQ((D() + N()) * N(), N() * N() + B());
  EXPECT_EQ(B() * 4 - B() * 3, B());
  EXPECT_EQ(B() - B(), size(0));
  EXPECT_EQ((B() * 6).floordiv(3), B() * 2);
  EXPECT_EQ((B() * 6).floordiv(B()), size(6));
  EXPECT_EQ(B().floordiv(4) * N(), N() * B().floordiv(4));
  EXPECT_NE(B().floordiv(4), B().ceildiv(4));
  EXPECT_NE(D(), N());
}

TEST(Extent, textIsTheNormalForm) {
  EXPECT_EQ((N() * D() * 197 + 3).str(), "B * 197 + 3");
  EXPECT_EQ((size(3) + B() * 2 - N()).str(), parsed("B * 2 - N + 3").str());
  EXPECT_EQ((size(0) - B()).str(), "0 - B");
  EXPECT_EQ((D() * D() * N()).str(), "D * B");
  EXPECT_EQ((B() + 3).floordiv(4).str(), "floor(B + 3, 4)");
  EXPECT_EQ(parsed("(D + 1) * N"), B() + N());
  EXPECT_EQ(parsed("ceil(N, 2) * 2"), N().ceildiv(2) * 2);
}

TEST(Extent, whatIsNoSizeIsRefused) {
  std::string message;
  ScopedDiagnosticHandler handler(&moe::test::context(), [&](Diagnostic &diagnostic) {
    message += diagnostic.str() + "\n";
    return success();
  });
  for (const char *text : {"", "B +", "a.b", "floor(B)", "floor(B, 0)", "B / 2", "(B"}) {
    message.clear();
    EXPECT_FALSE(parsed(text)) << text;
    EXPECT_NE(message, "") << text;
  }
  // The innermost size is one of the 64 as well.
  auto nested = [](unsigned times) {
    return parsed(std::string(times, '(') + "B" + std::string(times, ')'));
  };
  message.clear();
  EXPECT_TRUE(nested(63)) << message;
  EXPECT_FALSE(nested(64));
  EXPECT_NE(message.find("nested at most 64 deep"), std::string::npos) << message;
}

TEST(Extent, SymbolsAreAnOpenList) {
  Extent align = Extent::symbol(&moe::test::context(), "row_align");
  Extent rows = B() + (align - 1) * 6;
  EXPECT_EQ(rows.str(), "row_align * 6 + B - 6");
  EXPECT_EQ(parsed(rows.str()), rows);
  EXPECT_EQ(parsed("B + 6 * row_align - 6"), rows);
  EXPECT_NE(rows, B() + (Extent::symbol(&moe::test::context(), "tile") - 1) * 6);
  // Whoever binds nothing takes 1, and what is bound is as if it had been written so.
  EXPECT_EQ(rows.evaluate({5, 64}), 320);
  EXPECT_EQ(rows.openSymbols(), SmallVector<StringRef>{"row_align"});
  Extent bound = rows.bind({{"row_align", 16}, {"tile", 3}});
  EXPECT_EQ(bound, B() + 90);
  EXPECT_TRUE(bound.openSymbols().empty());
  EXPECT_EQ(rows.floordiv(align).ceildiv(B()).bind({{"row_align", 4}}), (B() + 18).floordiv(4).ceildiv(B()));
}

TEST(Extent, evaluationIsChecked) {
  flow::Symbols huge{int64_t(1) << 40, int64_t(1) << 40};
  EXPECT_FALSE(B().evaluate(huge));
  EXPECT_FALSE((D() + std::numeric_limits<int64_t>::max()).evaluate(huge));
  EXPECT_FALSE(D().floordiv(N() - 1).evaluate({3, 1}));
  EXPECT_EQ(B().evaluate({5, 64}), 320);
}

TEST(Extent, randomSizesAgreeWithTheirTextAndPostfix) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 500; ++round) {
    std::vector<Extent> all{D(), N(), B(), size(int64_t(random() % 9) + 1)};
    for (int i = 0; i < 6; ++i) {
      Extent a = all[random() % all.size()], b = all[random() % all.size()];
      switch (random() % 5) {
      case 0:
        all.push_back(a + b);
        break;
      case 1:
        all.push_back(a - b);
        break;
      case 2:
        all.push_back(a * b);
        break;
      case 3:
        all.push_back(a.floordiv(int64_t(random() % 4) + 1));
        break;
      default:
        all.push_back(a.ceildiv(int64_t(random() % 4) + 1));
      }
    }
    Extent last = all.back();
    EXPECT_EQ(parsed(last.str()), last) << last.str();
    for (flow::Symbols symbols : {flow::Symbols{1, 1}, flow::Symbols{3, 7}, flow::Symbols{5, 64}})
      EXPECT_EQ(last.evaluate(symbols), run(last.postfix(), symbols)) << last.str();
  }
}

// A coefficient that does not fit stays at the end of the range, from where no sum brings it back in.
TEST(Extent, CoefficientsDoNotWrap) {
  Extent large = size(INT64_MAX);
  EXPECT_EQ(large + 1, large);
  EXPECT_EQ(large * 2, large);
  EXPECT_EQ(size(0) - large - large, size(-INT64_MAX));
  EXPECT_EQ(size(INT64_MIN) * size(-1), large);
  EXPECT_EQ(B() * INT64_MAX + B(), B() * INT64_MAX);
  EXPECT_EQ((B() * INT64_MAX).evaluate({2, 1}), std::nullopt);
  EXPECT_EQ(parsed("B * 4611686018427387904 * 4"), B() * INT64_MAX);
}
