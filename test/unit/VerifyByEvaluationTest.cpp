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
  EntryValues values{{{2, 3}}, 4};
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

// What a kernel may leave out is taken for 0 while it is evaluated, so a mark on what is needed is noticed. The mark stays as it was.
TEST(VerifyByEvaluation, noticesWrongMarksOfWhatCanBeSkipped) {
  for (const bool wrong : {false, true}) {
    Checked checked;
    ASSERT_TRUE(succeeded(checked.check("first")));
    OpBuilder b(checked.product);
    Location loc = b.getUnknownLoc();
    Value x = checked.product.getA(), zero = flow::constant(b, loc, 0.0, x.getType());
    // Where x is 0, it makes no difference that it is skipped; elsewhere it does.
    Value live = wrong ? flow::compare(b, loc, flow::Predicate::eq, x, zero)
                       : flow::compare(b, loc, flow::Predicate::ne, x, zero);
    auto mark = flow::skippable(b, loc, x, live).getDefiningOp<flow::SkippableOp>();
    checked.product.getAMutable().assign(mark);
    Block &block = *mark->getBlock();
    const size_t ops = block.getOperations().size();
    EXPECT_EQ(succeeded(checked.check("marks")), !wrong) << checked.message;
    EXPECT_EQ(mark.getX(), x);
    EXPECT_EQ(block.getOperations().size(), ops);
  }
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
  EXPECT_NE(checked.message.find("output 'y' of entry 'main' for 2 x 3 rows: expected it to stay"),
            std::string::npos)
      << checked.message;
  EXPECT_NE(checked.message.find("state 'w'"), std::string::npos) << checked.message;
}

namespace {

// A program whose output is one value a row, and passes that are right only at some batches.
struct Rows {
  FlowCase one;
  flow::Extent rows = flow::Extent::batch(&context());
  Value x;
  flow::OutputOp output;
  std::string message;

  Rows() {
    std::mt19937_64 random(1);
    x = one.input("x", {rows}, random);
    one.addOutput("y", x);
    output = *one.entry.getBody().getOps<flow::OutputOp>().begin();
  }
  bool isCaught(EntryValues values, llvm::function_ref<Value(OpBuilder &)> wrong) {
    EXPECT_TRUE(succeeded(values.check(*one.module, "first")));
    OpBuilder b(output);
    output.setOperand(wrong(b));
    ScopedDiagnosticHandler handler(&context(), [&](Diagnostic &diagnostic) {
      message += diagnostic.str() + "\n";
      return success();
    });
    return failed(values.check(*one.module, "moe-wrong"));
  }
};

// Rows by domain become rows by place.
Value reordered(OpBuilder &b, Rows &rows) {
  Location loc = b.getUnknownLoc();
  flow::Extent domains = flow::Extent::symbol(&context(), flow::Symbol::D);
  flow::Extent each = flow::Extent::symbol(&context(), flow::Symbol::N);
  Type element = b.getF32Type();
  Value table = flow::ReshapeOp::create(b, loc, flow::tensorType({domains, each}, element), rows.x);
  Value turned = flow::TransposeOp::create(b, loc, flow::tensorType({each, domains}, element), table,
                                           ArrayRef<int64_t>{1, 0});
  return flow::ReshapeOp::create(b, loc, flow::tensorType({rows.rows}, element), turned);
}

// x times D / (D * N): the same where a domain has one row.
Value scaledByDomains(OpBuilder &b, Rows &rows) {
  Location loc = b.getUnknownLoc();
  auto scalar = RankedTensorType::get({}, b.getF32Type());
  Value domains = flow::ExtentOp::create(
      b, loc, scalar, flow::ExtentAttr::get(&context(), flow::Extent::symbol(&context(), flow::Symbol::D)));
  Value batch = flow::ExtentOp::create(b, loc, scalar, flow::ExtentAttr::get(&context(), rows.rows));
  Value ratio = flow::DivOp::create(b, loc, scalar, domains, batch);
  Value copies = flow::BroadcastOp::create(b, loc, rows.x.getType(), ratio, ArrayRef<int64_t>{});
  return flow::mul(b, loc, rows.x, copies);
}

} // namespace

TEST(VerifyByEvaluation, noticesWhatIsWrongAtOtherBatchesOnly) {
  const flow::Symbols oneRow = {2, 1};
  for (auto wrong : {reordered, scaledByDomains}) {
    Rows few, many;
    EXPECT_FALSE(few.isCaught(EntryValues({oneRow}), [&](OpBuilder &b) { return wrong(b, few); }));
    EXPECT_TRUE(many.isCaught(EntryValues(), [&](OpBuilder &b) { return wrong(b, many); }));
    EXPECT_NE(many.message.find("of entry 'main' for "), std::string::npos) << many.message;
  }
}

// What one pass spoils at the first batch is not blamed on the next pass because of the others.
TEST(VerifyByEvaluation, blamesNoPassForWhatAnEarlierOneDid) {
  Rows rows;
  EntryValues values;
  ScopedDiagnosticHandler quiet(&context(), [](Diagnostic &) { return success(); });
  ASSERT_TRUE(succeeded(values.check(*rows.one.module, "first")));
  OpBuilder b(rows.output);
  rows.output.setOperand(flow::mul(b, b.getUnknownLoc(), rows.x, rows.x));
  EXPECT_TRUE(failed(values.check(*rows.one.module, "moe-wrong")));
  EXPECT_TRUE(succeeded(values.check(*rows.one.module, "moe-harmless")));
  EXPECT_TRUE(values.failed());
}
