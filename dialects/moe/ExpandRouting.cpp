// Routing, experts in mode `every` (each expert on each row), their combination, and hypernetworks. Experts
// are one contraction with an expert axis: a layer's body is interpreted once, and its parameters bring the
// axis in.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace moe;

/// Scores -log(|x - key|^2 + eps); their softmax is proportional to 1 / (|x - key|^2 + eps) (HMOE, equation
/// 2).
static FailureOr<Value> distanceScores(Expander &in, RouteOp op, const Tensor &x) {
  if (!op.getKeys())
    return op.emitError() << "'route ... distance' measures distances to keys: write 'keys = %keys'";
  if (op.getExperts())
    return op.emitError()
           << "'route ... distance' has as many experts as its keys have rows; remove 'experts'";
  FailureOr<Tensor> keys = in.tensor(op, op.getKeys());
  if (failed(keys))
    return failure();
  if (keys->lead() || keys->rank() != 2 || keys->last() != x.last()) {
    InFlightDiagnostic diag = op.emitError() << "expected keys [experts, " << x.last() << "] for values of "
                                             << x.last() << " features, found " << shapeText(*keys);
    in.noteMade(diag, op.getKeys());
    in.noteMade(diag, op.getX());
    return diag;
  }
  double eps = 1e-6;
  if (op.getEps()) {
    FailureOr<double> given = in.env().number(op, *op.getEps());
    if (failed(given))
      return failure();
    if (!(float(*given) > 0))
      return op.emitError() << "expected 'eps' above 0, found " << numberText(*given);
    eps = *given;
  }
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  auto rows = flow::extentsOf(x.value), table = flow::extentsOf(keys->value);
  SmallVector<flow::Extent> all{rows[0], table[0], rows[1]};
  Value difference = flow::sub(b, loc, flow::broadcast(b, loc, x.value, all, {0, 2}),
                               flow::broadcast(b, loc, keys->value, all, {1, 2}));
  return flow::neg(b, loc, flow::logSquares(b, loc, difference, {2}, eps));
}

static FailureOr<Value> linearScores(Expander &in, RouteOp op, const Tensor &x) {
  if (!op.getExperts())
    return op.emitError() << "'route ... linear' needs 'experts = n'";
  FailureOr<int64_t> experts = in.env().positive(op, *op.getExperts(), "'experts'");
  if (failed(experts))
    return failure();
  FailureOr<Tensor> w = in.parameter(op, "weight", {*experts, x.last()}, {}, {x.last()});
  if (failed(w))
    return failure();
  return flow::linear(in.builder, in.loc(op), x.value, w->value);
}

LogicalResult RouteOp::expand(Expander &in) {
  const StringRef routers[] = {"distance", "linear", "cosine"};
  if (!llvm::is_contained(routers, getKind()))
    return emitError() << "unknown router '" << getKind() << "'" << didYouMean(getKind(), routers)
                       << "; there are: " << llvm::join(ArrayRef(routers), ", ");
  for (auto [name, given] : {std::pair<StringRef, bool>{"top", bool(getTop())},
                             {"capacity", bool(getCapacity())},
                             {"noise", bool(getNoise())},
                             {"prioritized", getPrioritized()}})
    if (given)
      return emitError() << "routing to some experts only ('" << name
                         << "') is not compiled yet; without it, 'distance' and 'linear' weigh "
                            "every expert";
  if (getKind() == "cosine")
    return emitError() << "router 'cosine' is not compiled yet; use 'linear, experts = n' or 'distance'";
  if (getKind() == "linear" && (getKeys() || getEps()))
    return emitError() << "'" << (getKeys() ? "keys" : "eps") << "' belongs to router 'distance'";
  if (in.weights.at)
    return emitError() << "'route' is not compiled yet inside experts";
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (!x->batch || x->experts || x->rank() != 1) {
    InFlightDiagnostic diag = emitError() << "expected a vector [features] of each sample to route, found "
                                          << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  FailureOr<Value> scores =
      getKind() == "distance" ? distanceScores(in, *this, *x) : linearScores(in, *this, *x);
  if (failed(scores))
    return failure();
  Routing route{*scores, flow::softmax(in.builder, in.loc(*this), *scores, 1),
                flow::typeOf(*scores).getDimSize(1), in.path(getPath())};
  in.routings.push_back(route);
  in.set(getY(), Record{route, getY().getLoc()});
  return success();
}

/// Whether both are one layer with equal arguments, of layers among them too. Each pair is compared once,
/// since layers that are given twice and twice again would make a tree without end.
static bool sameArguments(const Closure &first, const Closure &second) {
  llvm::SetVector<std::pair<const Closure *, const Closure *>> pairs;
  pairs.insert({&first, &second});
  for (size_t i = 0; i < pairs.size(); ++i) {
    auto [a, b] = pairs[i];
    if (a == b)
      continue;
    if (a->layer != b->layer || a->args.size() != b->args.size())
      return false;
    for (auto [left, right] : llvm::zip(a->args, b->args)) {
      auto *inner = std::get_if<std::shared_ptr<Closure>>(&left.second.is);
      auto *other = std::get_if<std::shared_ptr<Closure>>(&right.second.is);
      if (left.first != right.first || !inner != !other)
        return false;
      if (inner)
        pairs.insert({inner->get(), other->get()});
      else if (left.second.str() != right.second.str())
        return false;
    }
  }
  return true;
}

LogicalResult ExpertsOp::expand(Expander &in) {
  FailureOr<std::shared_ptr<Closure>> closure = in.env().layer(*this, getLayer());
  FailureOr<SmallVector<Record>> inputs = in.records(*this, getX());
  if (failed(closure) || failed(inputs))
    return failure();
  if (in.weights.at) {
    InFlightDiagnostic diag = emitError() << "experts inside experts are not compiled yet";
    diag.attachNote(in.weights.at->getLoc()) << "the outer experts";
    return diag;
  }
  for (Value x : getX())
    if (failed(in.tensor(*this, x)))
      return failure();
  Weights weights;
  weights.at = *this;
  weights.base = in.path(getPath());
  if (getWeights()) {
    const Record *found = in.record(getWeights());
    auto *bundle = found ? std::get_if<std::shared_ptr<Bundle>>(&found->is) : nullptr;
    if (!bundle) {
      InFlightDiagnostic diag = emitError() << "expected weights that 'hyper' generated, found "
                                            << (found ? recordText(*found) : "nothing");
      in.noteMade(diag, getWeights());
      return diag;
    }
    if (getCount())
      return emitError() << "the generated weights say how many experts there are; remove 'count'";
    if (!sameArguments(**closure, *(*bundle)->target)) {
      InFlightDiagnostic diag = emitError()
                                << "expected the layer that the weights are generated for, '@"
                                << LayerOp((*bundle)->target->layer).getSymName()
                                << "' with the same arguments, found '" << getLayer().str() << "'";
      diag.attachNote((*bundle)->at->getLoc()) << "generated here";
      return diag;
    }
    weights.bundle = *bundle;
  } else if (getCount()) {
    FailureOr<int64_t> count = in.env().positive(*this, *getCount(), "'count'");
    if (failed(count))
      return failure();
    weights.experts = *count;
  } else {
    return emitError()
           << "experts with weights of their own need 'count = n' on a value that was not dispatched";
  }
  llvm::SaveAndRestore guard(in.weights, weights);
  FailureOr<SmallVector<Record>> yields = in.apply(*this, getPath(), **closure, *inputs);
  return failed(yields) ? failure() : in.bindResults(*this, *yields, **closure);
}

LogicalResult CombineOp::expand(Expander &in) {
  FailureOr<Routing> route = in.routing(*this, getRoute());
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(route) || failed(x))
    return failure();
  if (!x->experts || x->type().getDimSize(0) != route->experts) {
    InFlightDiagnostic diag = emitError() << "expected results of " << route->experts << " experts, found "
                                          << shapeText(*x);
    in.noteMade(diag, getX());
    in.noteMade(diag, getRoute());
    return diag;
  }
  // Experts that yield parameters have one result for all samples.
  SmallVector<int64_t> axes{0}, out{1};
  if (x->batch)
    axes.push_back(1);
  for (unsigned i = 0; i < x->rank(); ++i) {
    axes.push_back(2 + i);
    out.push_back(2 + i);
  }
  in.set(getY(),
         {flow::contract(in.builder, in.loc(*this), route->gates, {1, 0}, x->value, axes, out), false, true});
  return success();
}

LogicalResult HyperOp::expand(Expander &in) {
  if (!getTrunk() || !getTarget())
    return emitError()
           << "expected 'trunk @Layer for @Layer'; a second use of a hypernetwork is not compiled "
              "yet";
  if (in.weights.at)
    return emitError() << "'hyper' is not compiled yet inside experts";
  FailureOr<std::shared_ptr<Closure>> trunk = in.env().layer(*this, *getTrunk()),
                                      target = in.env().layer(*this, *getTarget());
  FailureOr<Tensor> x = in.tensor(*this, getX());
  FailureOr<SmallVector<Record>> inputs = in.records(*this, getX());
  if (failed(trunk) || failed(target) || failed(x) || failed(inputs))
    return failure();
  if (x->batch)
    return emitError() << "weights written for each sample are not compiled yet; expected "
                          "one row a set of "
                          "weights, such as 'param @keys [experts, dim] ...'";
  if (x->experts || x->rank() != 2) {
    InFlightDiagnostic diag = emitError() << "expected rows [sets, features], found " << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  auto bundle = std::make_shared<Bundle>();
  bundle->target = *target;
  bundle->path = in.path(getPath());
  bundle->at = *this;
  auto mode = getMode();
  bundle->shared = in.frame().shared || (mode && *mode == "shared");
  bundle->frozen = in.frame().frozen || (mode && *mode == "frozen");
  if (auto init = getInit()) {
    bundle->hyperfan = init->getText() == "hyperfan_in";
    std::vector<ExprAttr> args = init->positional();
    if (!bundle->hyperfan || args.size() > 1 || args.size() != init->getArgs().size())
      return emitError() << "expected 'init hyperfan_in' or 'init hyperfan_in(gain)', found '" << init->str()
                         << "'";
    if (!args.empty()) {
      FailureOr<double> gain = in.env().number(*this, args.front());
      if (failed(gain))
        return failure();
      if (!(*gain > 0))
        return emitError() << "expected a gain above 0, found " << numberText(*gain);
      bundle->gain = *gain;
    }
  }
  FailureOr<SmallVector<Record>> yields = in.apply(*this, (getPath() + ".trunk").str(), **trunk, *inputs);
  if (failed(yields))
    return failure();
  auto *rows = yields->size() == 1 ? std::get_if<Tensor>(&yields->front().is) : nullptr;
  if (!rows || rows->lead() || rows->rank() != 2) {
    InFlightDiagnostic diag = emitError() << "expected a trunk that yields rows [sets, width], found ";
    if (yields->size() == 1)
      diag << recordText(yields->front());
    else
      diag << yields->size() << " values";
    diag.attachNote(LayerOp((*trunk)->layer).getLoc()) << "the trunk is declared here";
    return diag;
  }
  bundle->rows = *rows;
  in.set(getY(), Record{bundle, getY().getLoc()});
  return success();
}
