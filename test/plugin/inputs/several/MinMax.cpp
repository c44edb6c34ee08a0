// The facts of an op with several results: two accumulators, one result from each, and a gradient that takes one upstream a
// result, either of which may be missing.
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"
#include "dialects/flow/RandomCase.h"
#include "frontends/driver/Plugin.h"
#include "MinMaxDialect.h.inc"
#define GET_OP_CLASSES
#include "MinMax.h.inc"

using namespace flow;
using namespace mlir;
using namespace several;

#include "MinMaxDialect.cpp.inc"
#define GET_OP_CLASSES
#include "MinMax.cpp.inc"

void SeveralDialect::initialize() { moe::addOps<MinMaxOp>(*this); }

SmallVector<Extent> MinMaxOp::iterationSpace() { return reductionSpace(getX(), int64_t(getAxis())); }
SmallVector<Access> MinMaxOp::accesses() { return {reductionAccess(getX(), int64_t(getAxis()))}; }
SmallVector<Accumulator> MinMaxOp::accumulators() {
  return realAccumulators(getContext(), {INFINITY, -INFINITY});
}
SmallVector<Value> MinMaxOp::buildElement(OpBuilder &, Location, ValueRange x, ValueRange) {
  return {x[0], x[0]};
}
SmallVector<Value> MinMaxOp::buildCombine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) {
  return {arith::MinimumFOp::create(b, loc, x[0], y[0]), arith::MaximumFOp::create(b, loc, x[1], y[1])};
}
SmallVector<Value> MinMaxOp::buildFinish(OpBuilder &, Location, ValueRange accumulators) {
  return SmallVector<Value>(accumulators);
}

LogicalResult MinMaxOp::buildGradient(OpBuilder &b, Upstream upstream, Gradients &gradients) {
  Emit e{b, getLoc()};
  gradients.assign(1, Value());
  for (auto [dy, result] : llvm::zip_equal(upstream, getResults())) {
    if (!dy)
      continue;
    auto along = [&](Value value) { return e.spreadOver(value, getX(), int64_t(getAxis())); };
    Value part = e.keep(e.compare(Predicate::eq, getX(), along(result)), along(dy));
    gradients[0] = gradients[0] ? e.add(gradients[0], part) : part;
  }
  return success();
}

void MinMaxOp::evaluate(Operands v, llvm::MutableArrayRef<Array> results, const Setting &) {
  forEachRow(v[0]->shape, getAxis(), [&](int64_t at, ArrayRef<int64_t> row) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i : row) {
      low = std::min(low, v[0]->data[i]);
      high = std::max(high, v[0]->data[i]);
    }
    results[0].data[at] = low;
    results[1].data[at] = high;
  });
}

void MinMaxOp::buildRandomCase(RandomCase &r) {
  Value x = r.distinct(r.extents(1, 4));
  const int64_t axis = r.number(0, rankOf(x) - 1);
  Type y = reducedType(x.getType(), axis);
  r.results(MinMaxOp::create(r.builder, r.location, y, y, x, axis).getResults());
}
double MinMaxOp::errorFactor() { return 0; }
SmallVector<Array> MinMaxOp::magnitude(Operands, ArrayRef<Array> results) {
  return {sizesOf(results[0]), sizesOf(results[1])};
}

MOE_PLUGIN("several", [](moe::PluginRegistry &registry) { registry.dialect<SeveralDialect>(); })
