// What the words become: with one operand and two, with a number, over all axes, and without a result.
#include "dialects/flow/Build.h"
#include "dialects/moe/Directives.h"
#include "dialects/moe/Expander.h"
#include "frontends/driver/Plugin.h"

#include "WordsDialect.h.inc"
#define GET_OP_CLASSES
#include "Words.h.inc"

using namespace mlir;
using namespace moe;
using namespace words;

#include "WordsDialect.cpp.inc"
#define GET_OP_CLASSES
#include "Words.cpp.inc"

void WordsDialect::initialize() { addOps<HalfOp, ScaledOp, DistanceOp, TotalOp, RemarkOp>(*this); }

static LogicalResult scale(Expander &in, Operation *op, double by) {
  FailureOr<Tensor> x = in.tensor(op, op->getOperand(0));
  if (failed(x))
    return failure();
  in.set(op->getResult(0), {flow::mul(in.builder, in.loc(op), x->value, by), x->experts, x->batch});
  return success();
}
LogicalResult HalfOp::expand(Expander &in) { return scale(in, *this, 0.5); }
LogicalResult ScaledOp::expand(Expander &in) {
  FailureOr<double> by = getBy() ? in.env().number(*this, *getBy()) : FailureOr<double>(2);
  return failed(by) ? failure() : scale(in, *this, *by);
}

LogicalResult DistanceOp::expand(Expander &in) {
  FailureOr<Tensor> a = in.tensor(*this, getA()), b = in.tensor(*this, getB());
  if (failed(a) || failed(b))
    return failure();
  Tensor both[] = {*a, *b};
  if (failed(align(in, *this, both, getOperands())))
    return failure();
  Value difference = flow::sub(in.builder, in.loc(*this), both[0].value, both[1].value);
  in.set(getY(), joined(in, flow::abs(in.builder, in.loc(*this), difference), *a, *b));
  return success();
}

LogicalResult TotalOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  SmallVector<int64_t> axes;
  for (unsigned axis = x->lead(); axis < x->lead() + x->rank(); ++axis)
    axes.push_back(axis);
  in.set(getY(), {flow::sum(in.builder, in.loc(*this), x->value, axes), x->experts, x->batch});
  return success();
}

LogicalResult RemarkOp::expand(Expander &) { return success(); }

MOE_PLUGIN("words", [](PluginRegistry &registry) { registry.dialect<WordsDialect>(); })
