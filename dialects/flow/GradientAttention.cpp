// The gradients of attention. Its own rule is attention_grad, which computes the weights again from the sums
// that the forward part has kept. attention_grad is differentiated as what it is made of: only second
// derivatives need that, and they may have values with an axis of rows and one of keys.
#include "dialects/flow/Attention.h"
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"
#include "llvm/ADT/DenseMap.h"

using namespace mlir;

namespace flow {

// Labels of the parts' axes.
enum : int64_t { group, head, row, key, feature, value };

namespace {

/// Builds attention from products, elementwise ops and reductions.
struct Parts {
  Emit e;
  AttentionShape shape;
  double scale;
  Value q, k, v; // [group, token, head, feature]

  Parts(OpBuilder &b, Location loc, AttentionShape of, ValueRange inputs, double scale)
      : e{b, loc}, shape(std::move(of)), scale(scale) {
    auto heads = [&](const AttentionShape::Rows &part, int64_t size) {
      Value x = inputs[part.operand];
      if (part.stride != shape.heads * size)
        x = flow::slice(b, loc, x, rankOf(x) - 1, part.offset, constant(shape.heads * size));
      return byHead(x, part.tokens, size);
    };
    q = heads(shape.q, shape.size), k = heads(shape.k, shape.size), v = heads(shape.v, shape.valueSize);
  }
  Extent constant(int64_t extent) { return Extent::constant(e.b.getContext(), extent); }
  Value byHead(Value x, Extent tokens, int64_t size) {
    return flow::reshape(e.b, e.loc, x, {shape.groups(), tokens, constant(shape.heads), constant(size)});
  }
  /// A number for each row and head [.., row, head], as [group, head, row, key].
  Value spread(Value x, Value like) {
    x = flow::reshape(e.b, e.loc, x, {shape.groups(), shape.rows(), constant(shape.heads)});
    return e.broadcast(flow::transpose(e.b, e.loc, x, {0, 2, 1}), like.getType(), {0, 1, 2});
  }
  Value contract(Value a, Axes aAxes, Value c, Axes cAxes, Axes out) {
    return flow::contract(e.b, e.loc, a, aAxes, c, cAxes, out);
  }
  Value scores() {
    return e.mul(
        contract(q, {group, row, head, feature}, k, {group, key, head, feature}, {group, head, row, key}),
        scale);
  }
};

/// The gradients of an op in its operands, by the rules of the ops that it is made of.
LogicalResult differentiateParts(ComputeInterface op, OpBuilder &builder, Upstream upstream,
                                 Gradients &gradients) {
  Block::iterator end = builder.getInsertionPoint();
  Block *block = builder.getInsertionBlock();
  Operation *before = end == block->begin() ? nullptr : &*std::prev(end);
  const SmallVector<Value> results = op.decompose(builder);
  SmallVector<Operation *> parts;
  for (Block::iterator at = before ? std::next(before->getIterator()) : block->begin(); at != end; ++at)
    parts.push_back(&*at);
  llvm::DenseMap<Value, Value> total;
  auto add = [&](Value to, Value gradient) {
    Value &sum = total[to];
    sum = sum ? Emit{builder, op->getLoc()}.add(sum, gradient) : gradient;
  };
  for (auto [result, gradient] : llvm::zip_equal(results, upstream))
    if (gradient)
      add(result, gradient);
  for (Operation *part : llvm::reverse(parts)) {
    SmallVector<Value> arriving, given;
    for (Value result : part->getResults())
      arriving.push_back(total.lookup(result));
    if (llvm::none_of(arriving, [](Value gradient) { return bool(gradient); }))
      continue;
    if (failed(cast<GradientInterface>(part).buildGradient(builder, arriving, given)))
      return failure();
    for (auto [operand, gradient] : llvm::zip_equal(part->getOperands(), given))
      if (gradient)
        add(operand, gradient);
  }
  // An operand that is there twice gets the whole gradient once.
  gradients.clear();
  for (Value operand : op->getOperands()) {
    gradients.push_back(total.lookup(operand));
    total.erase(operand);
  }
  return success();
}

} // namespace

SmallVector<Value> AttentionOp::decompose(OpBuilder &builder) {
  Parts p(builder, getLoc(), AttentionShape::of(*this), getInputs(), getScale().convertToDouble());
  Value scores = p.scores();
  auto over = [&](Value x) { return p.e.broadcast(x, scores.getType(), {0, 1, 2}); };
  Value largest = p.e.reduce(ReduceKind::max, scores, {3});
  Value powers = p.e.exp(p.e.sub(scores, over(largest))), sum = p.e.sum(powers, {3});
  Value y = p.contract(p.e.div(powers, over(sum)), {group, head, row, key}, p.v, {group, key, head, value},
                       {group, row, head, value});
  Value logSum = flow::transpose(builder, getLoc(), p.e.add(largest, p.e.log(sum)), {0, 2, 1});
  return {p.e.reshape(y, getY().getType()), p.e.reshape(logSum, getLogSum().getType())};
}

LogicalResult AttentionOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  Emit e{builder, getLoc()};
  Value dy = upstream[0] ? upstream[0] : e.zeros(getY().getType()), delta;
  if (upstream[0]) {
    const AttentionShape shape = AttentionShape::of(*this);
    SmallVector<Extent> split = extentsOf(getLogSum());
    split.push_back(Extent::constant(getContext(), shape.valueSize));
    delta =
        e.sum(e.reshape(e.mul(dy, getY()), tensorType(split, e.elementOf(dy))), {int64_t(split.size()) - 1});
  }
  if (upstream[1])
    delta = delta ? e.sub(delta, upstream[1]) : e.neg(upstream[1]);
  auto op = AttentionGradOp::create(builder, getLoc(), getInputs().getTypes(), getInputs(), getLogSum(), dy,
                                    delta, getHeadsAttr(), getScaleAttr());
  gradients.assign(op.getResults().begin(), op.getResults().end());
  return success();
}

SmallVector<Value> AttentionGradOp::decompose(OpBuilder &builder) {
  Parts p(builder, getLoc(), AttentionShape::of(*this), getInputs(), getScale().convertToDouble());
  const int64_t weightAxes[] = {group, head, row, key}, resultAxes[] = {group, row, head, value};
  Value dy = p.byHead(getDy(), p.shape.rows(), p.shape.valueSize), scores = p.scores();
  Value weights = p.e.exp(p.e.sub(scores, p.spread(getLogSum(), scores)));
  Value dWeights = p.contract(dy, resultAxes, p.v, {group, key, head, value}, weightAxes);
  Value dScores = p.e.mul(p.e.mul(weights, p.e.sub(dWeights, p.spread(getDelta(), scores))), p.scale);
  SmallVector<Value> all = {
      p.contract(dScores, weightAxes, p.k, {group, key, head, feature}, {group, row, head, feature}),
      p.contract(dScores, weightAxes, p.q, {group, row, head, feature}, {group, key, head, feature}),
      p.contract(weights, weightAxes, dy, resultAxes, {group, key, head, value})};
  if (getInputs().size() == all.size()) {
    for (auto [gradient, input] : llvm::zip_equal(all, getInputs()))
      gradient = p.e.reshape(gradient, input.getType());
    return all;
  }
  for (Value &gradient : all)
    gradient = p.e.reshape(gradient, p.shape.resultType());
  return {flow::concat(builder, getLoc(), all, p.e.rankOf(all[0]) - 1)};
}

LogicalResult AttentionGradOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  return differentiateParts(*this, builder, upstream, gradients);
}

} // namespace flow
