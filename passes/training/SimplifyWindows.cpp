// Rules of Simplify about contractions with windows, as grouped convolutions are written (dialects/flow/Windows.h). With an axis
// of groups, which both factors and the result have, such a contraction becomes a product of copies and a sum, which is one loop:
//
//     %windows = flow.window %x ... : [B,G,H,W] -> [B,G,OH,OW,K,K]
//     %y = flow.contract %windows, %w -> [B,G,OH,OW]              ==> flow.mul, flow.reduce
//
// and its gradient in the image is another one of that form, instead of windows that are added up.
#include "dialects/flow/Build.h"
#include "dialects/flow/Windows.h"
#include "passes/training/SimplifyPatterns.h"

using namespace mlir;
using namespace flow;

namespace {

bool has(ArrayRef<int64_t> labels, int64_t label) { return llvm::is_contained(labels, label); }

/// Whether an axis belongs to both operands and to the result: with such an axis, the contraction is many small products.
bool isGrouped(ContractOp op) {
  return llvm::any_of(op.getOutAxes(),
                      [&](int64_t label) { return has(op.getAAxes(), label) && has(op.getBAxes(), label); });
}

/// x in a shape whose axes have the labels `target`, from one whose axes have the labels `labels`.
Value spreadByLabel(OpBuilder &b, Location loc, Value x, ArrayRef<int64_t> labels, ArrayRef<int64_t> target,
                    ArrayRef<Extent> extents) {
  SmallVector<int64_t> perm(llvm::to_vector(llvm::seq<int64_t>(labels.size()))), dims;
  auto place = [&](int64_t axis) { return llvm::find(target, labels[axis]) - target.begin(); };
  llvm::sort(perm, [&](int64_t first, int64_t second) { return place(first) < place(second); });
  for (int64_t axis : perm)
    dims.push_back(place(axis));
  return broadcast(b, loc, llvm::is_sorted(perm) ? x : transpose(b, loc, x, perm), extents, dims);
}

// contract(window(x), w) ==> sum(window(x) * w)
struct ContractOfWindows : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    Value a = op.getA(), b = op.getB();
    if (!isGrouped(op) || (!windowsBehind(a) && !windowsBehind(b)))
      return failure();
    SmallVector<int64_t> labels(op.getOutAxes()), summed;
    SmallVector<Extent> extents = extentsOf(op.getY());
    for (auto [operand, axes] : {std::pair(a, op.getAAxes()), std::pair(b, op.getBAxes())})
      for (auto [axis, label] : llvm::enumerate(axes))
        if (!has(labels, label)) {
          summed.push_back(labels.size());
          labels.push_back(label);
          extents.push_back(Extent::of(operand, axis));
        }
    Location loc = op.getLoc();
    Value product = mul(rewriter, loc, spreadByLabel(rewriter, loc, a, op.getAAxes(), labels, extents),
                        spreadByLabel(rewriter, loc, b, op.getBAxes(), labels, extents));
    rewriter.replaceOp(op, sum(rewriter, loc, product, summed));
    return success();
  }
};

/// A filter [.., rows, columns] with both axes in the other order.
Value reversed(OpBuilder &b, Location loc, Value w) {
  SmallVector<Extent> extents = extentsOf(w), flat(extents.begin(), extents.end() - 1);
  flat.back() = flat.back() * extents.back();
  const int64_t last = flat.size() - 1, taps = *flat.back().constantValue();
  if (taps == 1)
    return w;
  Type index = b.getI32Type();
  Value at = iota(b, loc, {flat.back()}, 0, b.getF32Type());
  at = convert(b, loc, sub(b, loc, constant(b, loc, double(taps - 1), at.getType()), at), index);
  SmallVector<int64_t> toFront{last}, toBack;
  for (int64_t axis = 0; axis < last; ++axis)
    toFront.push_back(axis), toBack.push_back(axis + 1);
  toBack.push_back(0);
  Value turned = gather(b, loc, transpose(b, loc, reshape(b, loc, w, flat), toFront), at);
  return reshape(b, loc, transpose(b, loc, turned, toBack), extents);
}

// window_sum(contract(dy, w)) ==> contract(window(dy), reversed w): each pixel gathers the results that it has a part in. They lie
// `stride` apart, with zeros between and around them.
struct WindowSumOfContract : OpRewritePattern<WindowSumOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WindowSumOp op, PatternRewriter &rewriter) const override {
    auto view = op.getX().getDefiningOp<ReshapeOp>();
    auto contract = (view ? view.getX() : op.getX()).getDefiningOp<ContractOp>();
    if (!contract || !contract->hasOneUse() || (view && !view->hasOneUse()) || !isGrouped(contract))
      return failure();
    // The result's last four axes are rows and columns of windows, which `dy` has, and those within a window, which `w` has.
    ArrayRef<int64_t> out = contract.getOutAxes();
    for (bool swapped : {false, true}) {
      Value dy = swapped ? contract.getB() : contract.getA(), w = swapped ? contract.getA() : contract.getB();
      ArrayRef<int64_t> dyAxes = swapped ? contract.getBAxes() : contract.getAAxes(),
                        wAxes = swapped ? contract.getAAxes() : contract.getBAxes();
      if (out.size() < 5 || dyAxes.size() < 3 || wAxes.size() < 2)
        continue;
      ArrayRef<int64_t> places = out.take_back(4).take_front(2), taps = out.take_back(2);
      // dy [batch, .., rows, columns] and w [.., rows, columns]
      if (dyAxes.take_back(2) != places || wAxes.take_back(2) != taps || dyAxes.front() != out.front() ||
          has(wAxes, out.front()) || has(wAxes, places[0]) || has(wAxes, places[1]) || has(dyAxes, taps[0]) ||
          has(dyAxes, taps[1]))
        continue;
      SmallVector<Extent> pixels = extentsOf(op.getY()), inner = extentsOf(dy);
      SmallVector<int64_t> size, low{0, 0}, interior{0, 0};
      for (int64_t axis : {0, 1}) {
        std::optional<int64_t> taken = Extent::of(w, wAxes.size() - 2 + axis).constantValue();
        size.push_back(taken.value_or(0));
        low.push_back(size.back() - 1 - op.getPads()[axis]);
        interior.push_back(op.getStrides()[axis] - 1);
      }
      if (size[0] == 0 || size[1] == 0 || low[2] < 0 || low[3] < 0)
        return failure();
      Location loc = op.getLoc();
      MLIRContext *context = op.getContext();
      SmallVector<Extent> flat{inner[0], Extent::constant(context, 1), inner[inner.size() - 2], inner.back()};
      for (const Extent &extent : ArrayRef(inner).drop_front().drop_back(2))
        flat[1] = flat[1] * extent;
      SmallVector<Extent> wide{flat[0], flat[1], pixels[2] + Extent::constant(context, size[0] - 1),
                               pixels[3] + Extent::constant(context, size[1] - 1)};
      Value spaced = pad(rewriter, loc, reshape(rewriter, loc, dy, flat), low, interior, wide);
      Value windows = window(rewriter, loc, spaced, size, {1, 1}, {0, 0, 0, 0});
      // The labels of the windows' axes: rows and columns are the pixels' now, those within a window are summed.
      SmallVector<Extent> cut(inner.begin(), inner.end() - 2);
      cut.append(
          {pixels[2], pixels[3], Extent::constant(context, size[0]), Extent::constant(context, size[1])});
      SmallVector<int64_t> labels(dyAxes);
      labels.append(taps.begin(), taps.end());
      Value turned = reversed(rewriter, loc, w);
      Value dx = flow::contract(rewriter, loc, reshape(rewriter, loc, windows, cut), labels, turned, wAxes,
                                out.drop_back(2));
      rewriter.replaceOp(op, reshape(rewriter, loc, dx, pixels));
      return success();
    }
    return failure();
  }
};

} // namespace

void moe::addWindowRules(RewritePatternSet &patterns) {
  patterns.add<ContractOfWindows, WindowSumOfContract>(patterns.getContext());
}
