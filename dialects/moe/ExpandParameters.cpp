// Ops that own parameters. Where a body's weights have a leading expert axis (mode `every`), each op
// multiplies or adds with that axis in front; an op that has no such form says so at the author's line.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Expander.h"

using namespace mlir;
using namespace moe;

FailureOr<Tensor> moe::expandLinear(Expander &in, Operation *op, const Tensor &x, int64_t to,
                                    StringRef prefix, const LinearRules &rules) {
  const int64_t from = x.last();
  FailureOr<Tensor> w = in.parameter(op, (prefix + "weight").str(), {to, from}, rules.init,
                                     {from, false, rules.bias, "linear"});
  if (failed(w))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  Tensor y = joined(in, {}, x, *w);
  if (w->experts && x.batch && in.weights.rows) {
    // Labels: expert 0, row 1, sample axes from 2, features last, outputs after them.
    auto left = llvm::to_vector(llvm::seq<int64_t>(1, 2 + x.rank())), out = left;
    const int64_t features = left.back(), outputs = features + 1;
    out.back() = outputs;
    y.value = flow::groupedContract(b, loc, x.value, left, w->value, {0, outputs, features},
                                    in.weights.rows->offsets, out, 1, 0);
  } else if (!w->experts) {
    y.value = flow::linear(b, loc, x.value, w->value);
  } else {
    // Labels: expert 0, batch 1, sample axes from 2, features last, outputs after them.
    SmallVector<int64_t> left, out{0};
    if (x.experts)
      left.push_back(0);
    if (x.batch)
      left.push_back(1);
    for (unsigned i = 0; i < x.rank(); ++i)
      left.push_back(2 + i);
    for (int64_t label : ArrayRef(left).drop_back())
      if (label != 0)
        out.push_back(label);
    int64_t features = left.back(), outputs = features + 1;
    out.push_back(outputs);
    y.value = flow::contract(b, loc, x.value, left, w->value, {0, outputs, features}, out);
  }
  if (!rules.bias)
    return y;
  FailureOr<Tensor> bias =
      in.parameter(op, (prefix + "bias").str(), {to}, rules.initBias, {from, true, true, "linear"});
  if (failed(bias))
    return failure();
  Tensor both[] = {y, *bias};
  if (failed(align(in, op, both, {})))
    return failure();
  y.value = flow::add(b, loc, both[0].value, both[1].value);
  return y;
}

LogicalResult LinearOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() == 0) {
    InFlightDiagnostic diag = emitError()
                              << "expected at least one axis of features, found a number a sample";
    in.noteMade(diag, getX());
    return diag;
  }
  FailureOr<int64_t> to = in.env().positive(*this, getTo(), "'to'");
  if (failed(to))
    return failure();
  FailureOr<Tensor> y = expandLinear(in, *this, *x, *to, "",
                                     {.init = getInit().value_or(ExprAttr()),
                                      .initBias = getInitBias().value_or(ExprAttr()),
                                      .bias = !getNoBias()});
  if (failed(y))
    return failure();
  in.set(getY(), *y);
  return success();
}

static FailureOr<double> epsilon(Expander &in, Operation *op, ExprAttr e) {
  if (!e)
    return 1e-5;
  FailureOr<double> eps = in.env().number(op, e);
  if (succeeded(eps) && !(float(*eps) > 0)) // in 32 bits, which programs compute in
    return op->emitError() << "expected 'eps' above 0, found " << numberText(*eps);
  return eps;
}

/// `weight` starts at one, `bias` at zero.
static FailureOr<std::pair<Tensor, Tensor>> affine(Expander &in, Operation *op, int64_t size) {
  MLIRContext *context = op->getContext();
  FailureOr<Tensor> weight = in.parameter(
      op, "weight", {size}, ExprAttr::get(context, ExprKind::Name, "ones", {}), {0, false, true});
  if (failed(weight))
    return failure();
  FailureOr<Tensor> bias =
      in.parameter(op, "bias", {size}, ExprAttr::get(context, ExprKind::Name, "zeros", {}), {0, true});
  if (failed(bias))
    return failure();
  return std::make_pair(*weight, *bias);
}

LogicalResult LayerNormOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() == 0) {
    InFlightDiagnostic diag = emitError()
                              << "expected at least one axis to normalise, found a number a sample";
    in.noteMade(diag, getX());
    return diag;
  }
  FailureOr<double> eps = epsilon(in, *this, getEpsAttr());
  if (failed(eps))
    return failure();
  auto parameters = affine(in, *this, x->last());
  if (failed(parameters))
    return failure();
  auto [weight, bias] = *parameters;
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  if (!weight.experts) {
    in.set(getY(), {flow::layerNorm(b, loc, x->value, weight.value, bias.value, *eps), x->experts, x->batch});
    return success();
  }
  Tensor y{flow::layerNorm(b, loc, x->value, {}, {}, *eps), x->experts, x->batch};
  Tensor scaled[] = {y, weight};
  if (failed(align(in, *this, scaled, {})))
    return failure();
  y = joined(in, flow::mul(b, loc, scaled[0].value, scaled[1].value), y, weight);
  Tensor shifted[] = {y, bias};
  if (failed(align(in, *this, shifted, {})))
    return failure();
  in.set(getY(), joined(in, flow::add(b, loc, shifted[0].value, shifted[1].value), y, bias));
  return success();
}

LogicalResult LayerScaleOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() == 0) {
    InFlightDiagnostic diag = emitError()
                              << "expected at least one axis of features, found a number a sample";
    in.noteMade(diag, getX());
    return diag;
  }
  MLIRContext *context = getContext();
  ExprAttr rule = getInitAttr();
  if (!rule)
    rule = ExprAttr::get(context, ExprKind::Call, "constant",
                         ExprAttr::get(context, ExprKind::Number, "1e-5", {}));
  FailureOr<Tensor> gamma = in.parameter(*this, "gamma", {x->last()}, rule, {});
  if (failed(gamma))
    return failure();
  Tensor both[] = {*x, *gamma};
  if (failed(align(in, *this, both, {})))
    return failure();
  in.set(getY(), joined(in, flow::mul(in.builder, in.loc(*this), both[0].value, both[1].value), *x, *gamma));
  return success();
}

LogicalResult GroupNormOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (x->rank() < 1 || !x->batch || x->experts) {
    if (x->experts)
      return refuseExperts(in, *this, "before 'experts'");
    InFlightDiagnostic diag =
        emitError() << "expected channels first, as in [channels, height, width], found " << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  FailureOr<int64_t> groups = in.env().positive(*this, getGroups(), "'groups'");
  FailureOr<double> eps = epsilon(in, *this, getEpsAttr());
  if (failed(groups) || failed(eps))
    return failure();
  int64_t channels = x->sample()[0];
  if (channels % *groups) {
    InFlightDiagnostic diag = emitError() << "expected 'groups' that divides " << channels
                                          << " channels, found " << *groups;
    in.noteMade(diag, getX());
    return diag;
  }
  auto parameters = affine(in, *this, channels);
  if (failed(parameters))
    return failure();
  auto [weight, bias] = *parameters;
  if (weight.experts)
    return emitError()
           << "'group_norm' is not compiled yet with weights that differ by expert; put it before 'experts'";
  in.set(getY(),
         {flow::groupNorm(in.builder, in.loc(*this), x->value, weight.value, bias.value, *groups, *eps),
          false, true});
  return success();
}

/// A shape as it is written: [experts, dim].
static FailureOr<SmallVector<int64_t>> writtenShape(Expander &in, Operation *op, ExprAttr e) {
  if (e.getKind() != ExprKind::List)
    return op->emitError() << "expected a shape such as [experts, dim], found '" << e.str() << "'";
  SmallVector<int64_t> shape;
  for (ExprAttr item : e.positional()) {
    FailureOr<int64_t> extent = in.env().positive(op, item, "an axis");
    if (failed(extent))
      return failure();
    shape.push_back(*extent);
  }
  if (shape.size() != e.getArgs().size())
    return op->emitError() << "expected sizes in a shape, found '" << e.str() << "'";
  return shape;
}

LogicalResult ParamOp::expand(Expander &in) {
  FailureOr<SmallVector<int64_t>> shape = writtenShape(in, *this, getShape());
  if (failed(shape))
    return failure();
  FailureOr<Tensor> made = in.parameter(*this, "", *shape, getInit(), {});
  if (failed(made))
    return failure();
  in.set(getY(), *made);
  return success();
}

LogicalResult StateOp::expand(Expander &in) {
  if (getMode() && *getMode() == "frozen")
    return emitError() << "a buffer has no gradient; remove 'frozen'";
  if (in.weights.at) {
    InFlightDiagnostic diag = emitError() << "'state' is not compiled yet inside experts; put it before them";
    diag.attachNote(in.weights.at->getLoc()) << "the experts";
    return diag;
  }
  FailureOr<SmallVector<int64_t>> shape = writtenShape(in, *this, getShape());
  if (failed(shape))
    return failure();
  FailureOr<Tensor> made = in.buffer(*this, *shape);
  if (failed(made))
    return failure();
  in.set(getY(), *made);
  return success();
}

LogicalResult AssignOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  std::string path = in.path(getLabel());
  Value old = in.findBuffer(path);
  if (!old)
    return emitError() << "expected a buffer that 'state @" << getLabel() << "' declares before, found "
                       << (in.isParameter(path) ? "a parameter, which the optimizer updates"
                                                : "none with the path '" + path + "'");
  ArrayRef<int64_t> shape = flow::typeOf(old).getShape();
  if (x->lead() || x->sample() != shape) {
    InFlightDiagnostic diag = emitError() << "expected a value of ";
    diag << shapeText(Tensor{old}) << ", the same for all samples, as buffer '" << path << "' is, found "
         << shapeText(*x) << (x->batch ? " of each sample" : "");
    in.noteMade(diag, getX());
    return diag;
  }
  for (const flow::Buffer &other : in.assigned)
    if (other.path == path) {
      InFlightDiagnostic diag = emitError() << "buffer '" << path << "' is assigned twice in a step";
      diag.attachNote(other.at) << "the first is here";
      return diag;
    }
  in.assigned.push_back({path, old, x->value, in.loc(*this)});
  return success();
}
