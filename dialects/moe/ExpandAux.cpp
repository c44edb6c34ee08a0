// Auxiliary losses. A weight is a constant factor, which becomes the default of a recipe key, times
// arithmetic on the training's progress. A factor of zero removes the loss: nothing then keeps what only it
// used alive.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using namespace moe;

namespace {
/// factor * graph; a null graph is 1.
struct Weight {
  double factor = 1;
  Value graph;
};
} // namespace

/// ramp(from, to, until = u): linear in the progress up to u, then `to`.
static FailureOr<Weight> ramp(Expander &in, Operation *op, ExprAttr e) {
  std::vector<ExprAttr> ends = e.positional();
  ExprAttr until = e.key("until");
  if (e.getText() != "ramp" || ends.size() != 2 || e.getArgs().size() != ends.size() + (until ? 1 : 0))
    return op->emitError() << "expected ramp(from, to) or ramp(from, to, until = 0.5), found '" << e.str()
                           << "'";
  FailureOr<double> from = in.env().number(op, ends[0]), to = in.env().number(op, ends[1]);
  FailureOr<double> end = until ? in.env().number(op, until) : FailureOr<double>(1.0);
  if (failed(from) || failed(to) || failed(end))
    return failure();
  if (!holdsInFloat(*to - *from))
    return op->emitError() << "expected a ramp whose rise 32-bit floating point holds, found '" << e.str()
                           << "'";
  if (!(float(*end) > 0 && *end <= 1))
    return op->emitError() << "expected 'until' above 0 and at most 1 (a part of the training), found "
                           << until.str();
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  Value part = flow::minimum(b, loc, flow::div(b, loc, in.progress(), *end), flow::number(b, loc, 1));
  Value rise = flow::mul(b, loc, part, *to - *from);
  return Weight{1, *from == 0 ? rise : flow::add(b, loc, rise, *from)};
}

static bool hasRamp(ExprAttr e) {
  bool found = false;
  e.walk([&](ExprAttr part) { found |= part.getKind() == ExprKind::Call; });
  return found;
}

static FailureOr<Weight> weightOf(Expander &in, Operation *op, ExprAttr e) {
  if (!hasRamp(e)) {
    FailureOr<double> factor = in.env().number(op, e);
    return failed(factor) ? FailureOr<Weight>(failure()) : Weight{*factor, {}};
  }
  if (e.getKind() == ExprKind::Call)
    return ramp(in, op, e);
  if (e.getKind() != ExprKind::Mul)
    return op->emitError() << "expected a number, a ramp, or products of them, found '" << e.str() << "'";
  // Nothing is emitted for a loss that a zero factor removes: constant factors come first.
  ExprAttr first = e.arg(0), second = e.arg(1);
  if (hasRamp(first) && !hasRamp(second))
    std::swap(first, second);
  FailureOr<Weight> a = weightOf(in, op, first);
  if (failed(a) || a->factor == 0)
    return a;
  FailureOr<Weight> c = weightOf(in, op, second);
  if (failed(c))
    return failure();
  Value graph = a->graph && c->graph ? flow::mul(in.builder, in.loc(op), a->graph, c->graph)
                : a->graph           ? a->graph
                                     : c->graph;
  if (!holdsInFloat(a->factor * c->factor))
    return op->emitError() << "expected factors whose product 32-bit floating point holds, found '" << e.str()
                           << "'";
  return Weight{a->factor * c->factor, graph};
}

FailureOr<Value> moe::expandSchedule(Expander &in, Operation *op, ExprAttr e) {
  FailureOr<Weight> weight = weightOf(in, op, e);
  if (failed(weight))
    return failure();
  if (!weight->graph)
    return flow::number(in.builder, in.loc(op), weight->factor);
  return weight->factor == 1 ? weight->graph
                             : flow::mul(in.builder, in.loc(op), weight->graph, weight->factor);
}

/// -sum p log p of each row, meaned; from the scores, and with p log p = 0 at p = 0, where scores are so far
/// apart that log p is not finite.
static Value entropy(OpBuilder &b, Location loc, const Routing &route) {
  Value logs = flow::logSoftmax(b, loc, route.scores, 1);
  Value used = flow::compare(b, loc, flow::Predicate::ne, route.gates, 0.0);
  logs = flow::select(b, loc, used, logs, flow::zerosLike(b, loc, logs));
  Value rows = flow::neg(b, loc, flow::sum(b, loc, flow::mul(b, loc, route.gates, logs), {1}));
  return flow::mean(b, loc, rows, {0});
}

/// KL(P || uniform) = sum_k P_k log(K P_k), P the mean gates of the batch (HMOE, equation 4). An expert that
/// the batch does not use adds 0 and has the gradient 0, the limits of the product and of its slope in the
/// scores.
static Value balance(OpBuilder &b, Location loc, const Routing &route) {
  Value share = flow::mean(b, loc, route.gates, {0});
  Value used = flow::compare(b, loc, flow::Predicate::ne, share, 0.0);
  Value ratio = flow::select(b, loc, used, flow::mul(b, loc, share, double(route.experts)),
                             flow::onesLike(b, loc, share));
  Value logs = flow::log(b, loc, ratio);
  return flow::sum(b, loc, flow::mul(b, loc, share, logs), {0});
}

/// The squared coefficient of variation of a number for each expert: the variance, of one less than the count, over the
/// squared mean (Tutel, impls/losses.py).
static Value variation(OpBuilder &b, Location loc, Value x) {
  Value mean = flow::mean(b, loc, x, {0});
  return flow::div(b, loc, flow::variance(b, loc, x, {0}, /*unbiased=*/true),
                   flow::add(b, loc, flow::mul(b, loc, mean, mean), 1e-10));
}

/// Half the variation of the experts' importance, the sum of their gates, and half that of their load: of the probabilities
/// that a row's noisy score of the expert is above its threshold, the noisy score of its last choice. As published, it
/// is the gate that is compared with the threshold; `corrected` compares the score (Tutel, impls/losses.py).
static FailureOr<Value> importanceLoad(Expander &in, AuxOp op, const Routing &route, bool corrected) {
  if (route.noise == 0 || route.experts < 2 || route.sigmoid)
    return op.emitError()
           << "'importance_load' is of routings with 'noise', over several experts, by softmax; '"
           << route.path << "' has "
           << (route.experts < 2 ? "one expert"
               : route.sigmoid   ? "sigmoid scores"
                                 : "no noise")
           << "; 'gshard' needs none of it";
  // Phi(x) = (1 + erf(x / sqrt 2)) / 2, of scores in units of the noise
  const double scale = M_SQRT1_2 / route.noise;
  if (!holdsInFloat(scale))
    return op.emitError() << "expected noise that scores can be divided by in 32-bit floating point for "
                             "'importance_load', found "
                          << numberText(route.noise) << " for each of " << route.experts
                          << " experts; write a larger 'noise'";
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  SmallVector<flow::Extent> extents = flow::extentsOf(route.scores);
  Value last = flow::slice(b, loc, route.chosen, 1, route.top - 1, flow::Extent::constant(b.getContext(), 1));
  Value chosen = flow::compare(b, loc, flow::Predicate::eq, flow::broadcast(b, loc, last, extents, {0, 1}),
                               flow::iota(b, loc, extents, 1, b.getI32Type()));
  Value zeros = flow::zerosLike(b, loc, route.scores);
  Value threshold = flow::sum(b, loc, flow::select(b, loc, chosen, route.noisyScores, zeros), {1});
  Value above = flow::sub(b, loc, corrected ? route.scores : route.gates,
                          flow::broadcastAlong(b, loc, threshold, extents, {1}));
  Value erf = flow::erf(b, loc, flow::mul(b, loc, above, scale));
  Value likely = flow::mul(b, loc, flow::add(b, loc, erf, 1.0), 0.5);
  Value importance = variation(b, loc, flow::sum(b, loc, route.gates, {0}));
  Value load = variation(b, loc, flow::sum(b, loc, likely, {0}));
  return flow::mul(b, loc, flow::add(b, loc, importance, load), 0.5);
}

/// E sum_e (mean score of e) (share of the rows whose first choice is e), before any is dropped (Tutel, impls/losses.py).
static Value gshard(OpBuilder &b, Location loc, const Routing &route) {
  SmallVector<flow::Extent> extents = flow::extentsOf(route.scores);
  Value first = flow::slice(b, loc, route.chosen, 1, 0, flow::Extent::constant(b.getContext(), 1));
  Value chosen = flow::compare(b, loc, flow::Predicate::eq, flow::broadcast(b, loc, first, extents, {0, 1}),
                               flow::iota(b, loc, extents, 1, b.getI32Type()));
  Value share = flow::mean(b, loc, flow::convert(b, loc, chosen, b.getF32Type()), {0});
  Value products = flow::mul(b, loc, flow::mean(b, loc, route.noisyGates, {0}), share);
  return flow::mul(b, loc, flow::sum(b, loc, products, {0}), double(route.experts));
}

/// The mean squared log(sum(exp)) of the scores without noise (ST-MoE, Zoph et al., 2022, equation 5).
static Value zLoss(OpBuilder &b, Location loc, const Routing &route) {
  Value logs = flow::logSumExp(b, loc, route.scores, 1);
  return flow::mean(b, loc, flow::mul(b, loc, logs, logs), {0});
}

/// `classes` is set to the labels that the scores tell apart.
static FailureOr<Value> crossEntropy(Expander &in, AuxOp op, ExprAttr target, int64_t &classes) {
  auto input = in.inputs.find(target.getText());
  if (target.getKind() != ExprKind::Name || (target.getText() != "label" && target.getText() != "domain") ||
      input == in.inputs.end())
    return op.emitError() << "expected 'label' or 'domain' as what 'cross_entropy' compares with, found '"
                          << target.str() << "'";
  const Record *found = in.record(op.getX());
  Value scores;
  if (auto *r = found ? std::get_if<Routing>(&found->is) : nullptr) {
    if (!r->tokens.empty()) {
      InFlightDiagnostic diag = op.emitError() << "expected a routing of samples, since each sample has one '"
                                               << target.getText() << "', found one of its tokens";
      in.noteMade(diag, op.getX());
      return diag;
    }
    scores = r->scores;
    classes = r->experts;
  } else {
    FailureOr<Tensor> t = in.tensor(op, op.getX());
    if (failed(t))
      return failure();
    if (!t->batch || t->experts || t->rank() != 1) {
      InFlightDiagnostic diag = op.emitError()
                                << "expected scores [classes] of each sample, found " << shapeText(*t);
      in.noteMade(diag, op.getX());
      return diag;
    }
    scores = t->value;
    classes = t->last();
  }
  return flow::crossEntropy(in.builder, in.loc(op), scores, input->second);
}

LogicalResult AuxOp::expand(Expander &in) {
  if (failed(refuseRows(in, *this)))
    return failure();
  StringRef rule = getRule().value_or("");
  // An evaluation reports the losses of routings: of all where rows are dropped as in training, else of those to some experts.
  const bool reported = !rule.empty() && rule != "cross_entropy";
  if (!in.training && !reported)
    return success();
  const auto rules = wordsOf("rule").names;
  if (!rule.empty() && !llvm::is_contained(rules, rule))
    return emitError() << "unknown auxiliary loss '" << rule << "'" << didYouMean(rule, rules)
                       << "; there are: " << llvm::join(rules, ", ") << ", or none for a plain value";
  size_t wanted = rule == "cross_entropy" ? 2 : 1;
  auto args = llvm::to_vector(getArgs().getAsRange<ExprAttr>());
  const bool corrected = rule == "importance_load" && args.size() == 2 && args.front().isName("corrected");
  if (corrected)
    args.erase(args.begin());
  if (args.size() != wanted)
    return emitError() << "expected " << (wanted == 2 ? "'label' or 'domain', then a weight" : "a weight")
                       << " after the value, found " << args.size() << " expressions";
  FailureOr<Weight> weight = weightOf(in, *this, args.back());
  if (failed(weight))
    return failure();
  if (weight->factor == 0)
    return success();
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  Value value;
  std::string target;
  int64_t labels = 0;
  if (rule == "cross_entropy") {
    FailureOr<Value> loss = crossEntropy(in, *this, args.front(), labels);
    if (failed(loss))
      return failure();
    value = *loss;
    target = args.front().getText().str();
  } else if (!rule.empty()) {
    FailureOr<Routing> route = in.routing(*this, getX());
    if (failed(route))
      return failure();
    if (!in.training && in.dropless && !route->top)
      return success();
    if ((rule == "importance_load" || rule == "gshard") && !route->top)
      return emitError() << "'" << rule << "' is of routings to some experts of each row; '" << route->path
                         << "' is over all of them";
    if ((rule == "importance_load" || rule == "gshard") && route->byExperts)
      return emitError() << "'" << rule << "' is of routings in which rows choose; in '" << route->path
                         << "' the experts do, and each has as many rows";
    if (rule == "importance_load") {
      FailureOr<Value> loss = importanceLoad(in, *this, *route, corrected);
      if (failed(loss))
        return failure();
      value = *loss;
    } else {
      value = rule == "entropy"  ? entropy(b, loc, *route)
              : rule == "gshard" ? gshard(b, loc, *route)
              : rule == "z_loss" ? zLoss(b, loc, *route)
                                 : balance(b, loc, *route);
    }
  } else {
    FailureOr<Tensor> t = in.tensor(*this, getX());
    if (failed(t))
      return failure();
    if (t->rank() != 0 || t->experts) {
      InFlightDiagnostic diag = emitError() << "expected a number, or a number a sample, as a loss, found "
                                            << shapeText(*t) << "; 'mean' makes one";
      in.noteMade(diag, getX());
      return diag;
    }
    value = t->batch ? flow::mean(b, loc, t->value, {0}) : t->value;
  }
  std::string path = in.path(getLabel());
  if (auto [first, fresh] = in.lossNames.try_emplace(path, loc); !fresh) {
    InFlightDiagnostic diag = emitError() << "expected each auxiliary loss once, found '" << path
                                          << "' a second time; a layer that is applied 'shared' cannot "
                                             "have one, so move it behind the layer";
    diag.attachNote(first->second) << "the first is here";
    return diag;
  }
  if (!in.training) {
    in.losses.push_back({path, value, {}, loc});
    return success();
  }
  Value scale = in.scalar("aux." + path, weight->factor);
  if (weight->graph)
    scale = flow::mul(b, loc, scale, weight->graph);
  in.losses.push_back({path, value, scale, loc, target, labels});
  return success();
}
