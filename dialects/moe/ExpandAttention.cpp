// The words of attention: `attention`, which projects its operand by parameters of its own, and `attend`, whose
// operands are projected already. Both become one op of the graph, which never stores a weight of a token for
// another one. Heads are ranges of features, so that nothing is transposed. Axes in front of the tokens, of
// experts and of the batch as well, are independent problems.
#include "dialects/flow/Attention.h"
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"
#include <cmath>

using namespace mlir;
using namespace moe;

/// Reports that a value does not have the shape that the op needs.
static InFlightDiagnostic wrongValue(Expander &in, Operation *op, Value source, const Tensor &x,
                                     const Twine &expected) {
  InFlightDiagnostic diag = op->emitError() << "expected " << expected << ", found " << shapeText(x);
  in.noteMade(diag, source);
  return diag;
}

static LogicalResult checkHeads(Expander &in, Operation *op, Value source, const Tensor &x, int64_t heads) {
  if (x.last() % heads == 0)
    return success();
  InFlightDiagnostic diag = op->emitError()
                            << "expected 'heads' that divides " << x.last() << " features, found " << heads;
  in.noteMade(diag, source);
  return diag;
}

static Value attend(Expander &in, Operation *op, ArrayRef<Value> inputs, int64_t heads, double scale) {
  const flow::AttentionShape shape = flow::AttentionShape::of(inputs, heads);
  return flow::AttentionOp::create(in.builder, in.loc(op), shape.resultType(), shape.sumType(), inputs, heads,
                                   APFloat(scale))
      .getY();
}

static double usualScale(const Tensor &x, int64_t heads) { return 1 / std::sqrt(double(x.last() / heads)); }

LogicalResult AttentionOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() < 2)
    return wrongValue(in, *this, getX(), *x, "tokens [.., tokens, features]");
  FailureOr<int64_t> heads = in.env().positive(*this, getHeads(), "'heads'");
  if (failed(heads) || failed(checkHeads(in, *this, getX(), *x, *heads)))
    return failure();
  const int64_t features = x->last();
  if (features > INT32_MAX / 3)
    return wrongValue(in, *this, getX(), *x, "at most " + Twine(INT32_MAX / 3) + " features");
  FailureOr<Tensor> qkv = expandLinear(in, *this, *x, 3 * features, "qkv.", {.bias = !getNoQkvBias()});
  if (failed(qkv))
    return failure();
  const Tensor mixed{attend(in, *this, {qkv->value}, *heads, usualScale(*x, *heads)), qkv->experts,
                     qkv->batch};
  FailureOr<Tensor> y = expandLinear(in, *this, mixed, features, "proj.", {});
  if (failed(y))
    return failure();
  in.set(getY(), *y);
  return success();
}

/// The value with all leading axes that one of the operands has: `experts` and the batch.
static Value withLead(Expander &in, Operation *op, const Tensor &x, const Tensor &all,
                      ArrayRef<flow::Extent> lead) {
  if (x.experts == all.experts && x.batch == all.batch)
    return x.value;
  SmallVector<flow::Extent> extents(lead);
  SmallVector<int64_t> dims;
  if (x.experts)
    dims.push_back(0);
  if (x.batch)
    dims.push_back(all.experts);
  for (unsigned axis = 0; axis < x.rank(); ++axis) {
    dims.push_back(extents.size());
    extents.push_back(flow::Extent::of(x.value, x.lead() + axis));
  }
  return flow::broadcast(in.builder, in.loc(op), x.value, extents, dims);
}

LogicalResult AttendOp::expand(Expander &in) {
  const Value sources[] = {getQ(), getK(), getV()};
  SmallVector<Tensor> parts;
  for (Value source : sources) {
    FailureOr<Tensor> part = in.tensor(*this, source);
    if (failed(part))
      return failure();
    if (part->rank() < 2)
      return wrongValue(in, *this, source, *part, "tokens [.., tokens, features]");
    parts.push_back(*part);
  }
  const Tensor &q = parts[0], &k = parts[1], &v = parts[2];
  auto unfit = [&](const Twine &expected, unsigned a, unsigned b) {
    InFlightDiagnostic diag = emitError() << "expected " << expected << ", found " << shapeText(parts[a])
                                          << " and " << shapeText(parts[b]);
    in.noteMade(diag, sources[a]);
    in.noteMade(diag, sources[b]);
    return diag;
  };
  auto front = [](const Tensor &x) { return x.sample().drop_back(2); };
  auto tokens = [](const Tensor &x) { return x.sample().drop_back().back(); };
  for (unsigned other : {1u, 2u})
    if (front(parts[other]) != front(q))
      return unfit(Twine("the same axes in front of the tokens of q and of ") + (other == 1 ? "k" : "v"), 0,
                   other);
  if (q.last() != k.last())
    return unfit("q and k with as many features", 0, 1);
  if (tokens(k) != tokens(v))
    return unfit("k and v with as many tokens", 1, 2);
  FailureOr<int64_t> heads = in.env().positive(*this, getHeads(), "'heads'");
  if (failed(heads) || failed(checkHeads(in, *this, getQ(), q, *heads)) ||
      failed(checkHeads(in, *this, getV(), v, *heads)))
    return failure();
  double scale = usualScale(q, *heads);
  if (ExprAttr given = getScaleAttr()) {
    FailureOr<double> number = in.env().number(*this, given);
    if (failed(number))
      return failure();
    scale = *number;
  }

  Tensor all{{}, false, false};
  flow::Extent experts, batch;
  unsigned first = 0; // the operand that the number of experts is of
  for (auto [i, part] : llvm::enumerate(parts)) {
    if (part.experts && !all.experts)
      experts = flow::Extent::of(part.value, 0), first = i;
    if (part.experts && flow::Extent::of(part.value, 0) != experts)
      return unfit("values of as many experts", first, i);
    if (part.batch)
      batch = flow::Extent::of(part.value, part.experts);
    all.experts |= part.experts;
    all.batch |= part.batch;
  }
  SmallVector<flow::Extent> lead;
  if (all.experts)
    lead.push_back(experts);
  if (all.batch)
    lead.push_back(batch);
  SmallVector<Value> inputs;
  for (const Tensor &part : parts)
    inputs.push_back(withLead(in, *this, part, all, lead));
  in.set(getY(), {attend(in, *this, inputs, *heads, scale), all.experts, all.batch});
  return success();
}
