// Rules of Simplify about rows that an index names.
//
//     %rows = flow.gather %table, %places : [K,384], [B*197,2] -> [B*197,2,384]
//     %sum = flow.reduce sum %rows over [1] : [B*197,2,384] -> [B*197,384]
//     %y = flow.reshape %sum : [B*197,384] -> [B,197,384]
//   ==>
//     %few = flow.reshape %places : [B*197,2] -> [B,197,2]
//     %rows = flow.gather %table, %few : [K,384], [B,197,2] -> [B,197,2,384]
//     %y = flow.reduce sum %rows over [2] : [B,197,2,384] -> [B,197,384]
//
// So rows that come back from experts are computed in the shape of what reads them, and are one loop with it.
#include "dialects/flow/Build.h"
#include "passes/training/SimplifyPatterns.h"

using namespace mlir;
using namespace flow;

namespace {

// reshape(gather(table, index)) ==> gather(table, reshape(index)), where the rows keep their shape; also with a sum between
// the two, over the last axes of the index.
struct GatherInShape : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op, PatternRewriter &rewriter) const override {
    auto sum = op.getX().getDefiningOp<ReduceOp>();
    auto gather = (sum ? sum.getX() : op.getX()).getDefiningOp<GatherOp>();
    if (!gather || !gather->hasOneUse() || (sum && (sum.getKind() != ReduceKind::sum || !sum->hasOneUse())))
      return failure();
    SmallVector<Extent> shape = extentsOf(op.getY()), row = extentsOf(gather.getTable()),
                        places = extentsOf(gather.getIndex());
    row.erase(row.begin());
    // A row of one number is as small as its index.
    if (row.empty() || ArrayRef(shape).take_back(row.size()) != ArrayRef(row))
      return failure();
    shape.truncate(shape.size() - row.size());
    SmallVector<Extent> summed;
    if (sum) {
      const int64_t kept = places.size() - sum.getAxes().size();
      for (auto [i, axis] : llvm::enumerate(sum.getAxes()))
        if (axis != kept + int64_t(i))
          return failure();
      summed.assign(places.begin() + kept, places.end());
      places.truncate(kept);
    }
    auto axes = llvm::to_vector(llvm::seq<int64_t>(shape.size(), shape.size() + summed.size()));
    llvm::append_range(shape, summed);
    Value index = flow::reshape(rewriter, gather.getLoc(), gather.getIndex(), shape);
    Value rows = flow::gather(rewriter, gather.getLoc(), gather.getTable(), index);
    rewriter.replaceOp(op, sum ? flow::sum(rewriter, sum.getLoc(), rows, axes) : rows);
    return success();
  }
};

} // namespace

void moe::addRowRules(RewritePatternSet &patterns) { patterns.add<GatherInShape>(patterns.getContext()); }
