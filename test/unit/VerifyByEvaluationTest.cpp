// The check of passes by evaluation must itself notice what a wrong pass does.
#include "passes/pipeline/VerifyByEvaluation.h"
#include "mlir/IR/Diagnostics.h"
#include "test/unit/FlowCase.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe;
using namespace moe::test;

namespace {

struct Checked {
  FlowCase one;
  EntryValues values{{2, 3, 1}, 4};
  std::string message;
  flow::MulOp product;

  Checked() {
    std::mt19937_64 random(1);
    Value x =
        one.input("x", {flow::Extent::batch(&context()), flow::Extent::constant(&context(), 4)}, random);
    OpBuilder b = one.atEnd();
    Location loc = b.getUnknownLoc();
    auto type = RankedTensorType::get({4}, b.getF32Type());
    auto init = flow::InitAttr::get(&context(), flow::InitKind::constant, 0);
    Value w = flow::ParameterOp::create(b, loc, type, "w", init, false);
    Value y = flow::mul(b, loc, x, w);
    product = y.getDefiningOp<flow::MulOp>();
    one.addOutput("y", y);
    b = one.atEnd();
    flow::AssignOp::create(b, loc, "w", flow::sum(b, loc, y, {0}));
  }
  LogicalResult check(StringRef pass) {
    message.clear();
    ScopedDiagnosticHandler handler(&context(), [&](Diagnostic &diagnostic) {
      message += diagnostic.str() + "\n";
      return success();
    });
    return values.check(*one.module, pass);
  }
};

} // namespace

TEST(VerifyByEvaluation, acceptsWhatKeepsTheValues) {
  Checked checked;
  ASSERT_TRUE(succeeded(checked.check("first")));
  OpBuilder b(checked.product);
  Value swapped = flow::MulOp::create(b, b.getUnknownLoc(), checked.product.getType(), checked.product.getB(),
                                      checked.product.getA());
  checked.product.getY().replaceAllUsesWith(swapped);
  checked.product.erase();
  EXPECT_TRUE(succeeded(checked.check("swap")));
  EXPECT_EQ(checked.values.comparisons(), 2u);
}

TEST(VerifyByEvaluation, namesThePassThatChangesAValue) {
  Checked checked;
  ASSERT_TRUE(succeeded(checked.check("first")));
  OpBuilder b(checked.product);
  Value wrong = flow::AddOp::create(b, b.getUnknownLoc(), checked.product.getType(), checked.product.getA(),
                                    checked.product.getB());
  checked.product.getY().replaceAllUsesWith(wrong);
  EXPECT_TRUE(failed(checked.check("moe-wrong")));
  EXPECT_NE(checked.message.find("pass 'moe-wrong' changed output 'y'"), std::string::npos)
      << checked.message;
  EXPECT_NE(checked.message.find("changed state 'w'"), std::string::npos) << checked.message;
  EXPECT_TRUE(checked.values.failed());
}

TEST(VerifyByEvaluation, noticesWhatIsGone) {
  Checked checked;
  ASSERT_TRUE(succeeded(checked.check("first")));
  for (Operation &op : llvm::make_early_inc_range(checked.one.entry.getBody().front()))
    if (isa<flow::OutputOp, flow::AssignOp>(op))
      op.erase();
  EXPECT_TRUE(failed(checked.check("moe-drop")));
  EXPECT_NE(checked.message.find("output 'y' of entry 'main': expected it to stay"), std::string::npos)
      << checked.message;
  EXPECT_NE(checked.message.find("state 'w'"), std::string::npos) << checked.message;
}
