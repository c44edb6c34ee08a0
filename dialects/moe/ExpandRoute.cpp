// Routers, and the way of rows to their experts and back. A router computes logits of each row, with noise in training, as Tutel does
// it (gates/cosine_top.py, gates/top.py); gates are their softmax, or sigmoids. ExpandChoice.cpp chooses by them.
#include "dialects/moe/ExpandRoute.h"
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using namespace moe;

/// The largest scale of a cosine router (Tutel, gates/cosine_top.py), and the first one's logarithm.
static constexpr double kLargestScale = 100, kFirstScale = 2;
static constexpr int64_t kProjection = 256;

/// Scores -log(|x - key|^2 + eps); their softmax is proportional to 1 / (|x - key|^2 + eps) (HMOE, equation
/// 2).
static FailureOr<Value> distanceScores(Expander &in, RouteOp op, const Tensor &x, Value points) {
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
  auto rows = flow::extentsOf(points), table = flow::extentsOf(keys->value);
  SmallVector<flow::Extent> all{rows[0], table[0], rows[1]};
  Value difference = flow::sub(b, loc, flow::broadcast(b, loc, points, all, {0, 2}),
                               flow::broadcast(b, loc, keys->value, all, {1, 2}));
  return flow::neg(b, loc, flow::logSquares(b, loc, difference, {2}, eps));
}

static FailureOr<int64_t> expertsOf(Expander &in, RouteOp op) {
  if (!op.getExperts())
    return op.emitError() << "'route ... " << op.getKind() << "' needs 'experts = n'";
  return in.env().positive(op, *op.getExperts(), "'experts'");
}

static FailureOr<Value> linearScores(Expander &in, RouteOp op, Value rows, int64_t features) {
  FailureOr<int64_t> experts = expertsOf(in, op);
  if (failed(experts))
    return failure();
  FailureOr<Tensor> w =
      in.parameter(op, "weight", {*experts, features}, {}, {features, false, false, "linear"});
  if (failed(w))
    return failure();
  return flow::linear(in.builder, in.loc(op), rows, w->value);
}

static FailureOr<Value> cosineScores(Expander &in, RouteOp op, Value rows, int64_t features) {
  FailureOr<int64_t> experts = expertsOf(in, op);
  FailureOr<int64_t> width =
      op.getProj() ? in.env().positive(op, *op.getProj(), "'proj'") : FailureOr<int64_t>(kProjection);
  if (failed(experts) || failed(width))
    return failure();
  MLIRContext *context = op.getContext();
  auto call = [&](StringRef word, const Twine &number) {
    SmallVector<char, 32> text;
    return ExprAttr::get(context, ExprKind::Call, word,
                         ExprAttr::get(context, ExprKind::Number, number.toStringRef(text), {}));
  };
  FanIn fan{features, false, true, "linear"}, bias{features, true, true, "linear"};
  FailureOr<Tensor> w = in.parameter(op, "cosine_projector.weight", {*width, features}, {}, fan);
  FailureOr<Tensor> shift = failed(w) ? w : in.parameter(op, "cosine_projector.bias", {*width}, {}, bias);
  FailureOr<Tensor> keys =
      failed(shift) ? shift : in.parameter(op, "sim_matrix", {*width, *experts}, call("normal", "0.01"), {});
  FailureOr<Tensor> scale =
      failed(keys)
          ? keys
          : in.parameter(op, "temperature", {1}, call("constant", numberText(std::log(kFirstScale))), {});
  if (failed(scale))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  Value q = flow::add(b, loc, flow::linear(b, loc, rows, w->value), shift->value);
  // A row is divided by its norm after the product, which is as small as there are experts: neither the normalised rows nor their
  // gradient is ever a tensor.
  Value products =
      flow::contract(b, loc, q, {0, 1}, flow::normalize(b, loc, keys->value, {0}, 1e-12), {1, 2}, {0, 2});
  Value norms = flow::inverseNorm(b, loc, q, {1}, 1e-12);
  Value cosines = flow::mul(b, loc, products, flow::broadcast(b, loc, norms, flow::extentsOf(products), {0}));
  // Beyond the largest scale the temperature has no gradient; at it, the whole one, as with torch.clamp.
  Value most = flow::constant(b, loc, std::log(kLargestScale), scale->value.getType());
  Value beyond = flow::compare(b, loc, flow::Predicate::gt, scale->value, most);
  Value factor = flow::exp(b, loc, flow::select(b, loc, beyond, most, scale->value));
  return flow::mul(b, loc, cosines, factor);
}

/// Which experts the rows go to, or which rows the experts take: what `route` says of it. `rows` is how many rows there are.
static LogicalResult choose(Expander &in, RouteOp op, Routing &route, flow::Extent rows,
                            llvm::function_ref<Value(Value)> gatesOf) {
  auto number = [&](std::optional<ExprAttr> e, double otherwise) {
    return e ? in.env().number(op, *e) : FailureOr<double>(otherwise);
  };
  auto whole = [&](std::optional<ExprAttr> e, StringRef name) {
    return e ? in.env().positive(op, *e, name) : FailureOr<int64_t>(1);
  };
  FailureOr<int64_t> top = whole(op.getTop(), "'top'"), alignment = whole(op.getAlignment(), "'alignment'");
  FailureOr<double> noise = number(op.getNoise(), 0),
                    capacity = number(op.getCapacity(), op.getChoose() ? 1 : 0);
  if (failed(top) || failed(noise) || failed(capacity) || failed(alignment))
    return failure();
  if (*top > route.experts)
    return op.emitError() << "expected 'top' of at most the number of experts, " << route.experts
                          << ", found " << *top;
  if (*noise < 0)
    return op.emitError() << "expected 'noise' of 0 or more, found " << numberText(*noise);
  if (*alignment > INT32_MAX)
    return op.emitError() << "expected 'alignment' of at most " << INT32_MAX << ", found " << *alignment;
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  route.prescore = op.getPrescore();
  route.noise = *noise / double(route.experts);
  route.noisyScores = route.scores;
  if (in.training && route.noise > 0) {
    FailureOr<int64_t> stream = in.stream(op);
    if (failed(stream))
      return failure();
    Value drawn =
        flow::random(b, loc, flow::RandomKind::normal, uint32_t(*stream), flow::extentsOf(route.scores));
    route.noisyScores = flow::add(b, loc, route.scores, flow::mul(b, loc, drawn, route.noise));
  }
  route.noisyGates = route.noisyScores == route.scores ? route.gates : gatesOf(route.noisyScores);
  if (op.getChoose()) {
    if (route.tokens.empty()) {
      InFlightDiagnostic diag = op.emitError()
                                << "expected tokens [tokens, features] of which experts choose "
                                   "some, found one vector of each sample";
      in.noteMade(diag, op.getX());
      return diag;
    }
    int64_t tokens = 1;
    for (int64_t axis : route.tokens)
      tokens *= axis;
    double share = std::floor(*capacity * double(tokens) / double(route.experts));
    if (!(share >= 1 && share <= double(tokens)))
      return op.emitError()
             << "expected a capacity by which each expert takes at least one token of an image "
                "and at most all "
             << tokens << ", found " << numberText(*capacity) << ", which is " << numberText(share)
             << " for each of " << route.experts << " experts";
    chooseRows(in, loc, route, int64_t(share));
    return success();
  }
  Selection how{*top, *alignment, *capacity, op.getPrioritized(), !op.getUnnormalized()};
  if (op.getSelectBias()) {
    FailureOr<Tensor> bias = in.tensor(op, op.getSelectBias());
    if (failed(bias))
      return failure();
    if (bias->lead() || bias->rank() != 1 || bias->last() != route.experts) {
      InFlightDiagnostic diag = op.emitError() << "expected 'select_bias' of [" << route.experts
                                               << "], the same for all samples, found " << shapeText(*bias)
                                               << (bias->batch ? " of each sample" : "");
      in.noteMade(diag, op.getSelectBias());
      return diag;
    }
    how.bias = bias->value;
  }
  if (*capacity != 0)
    in.capacities.push_back({route.path, rows, route.experts, *top, *capacity, *alignment, loc});
  chooseExperts(in, loc, route, how, *capacity != 0 && !in.dropless);
  return success();
}

LogicalResult RouteOp::expand(Expander &in) {
  const auto routers = wordsOf("kind").names;
  if (!llvm::is_contained(routers, getKind()))
    return emitError() << "unknown router '" << getKind() << "'" << didYouMean(getKind(), routers)
                       << "; there are: " << llvm::join(ArrayRef(routers), ", ");
  const bool distance = getKind() == "distance";
  for (auto [name, given, belongs] :
       {std::tuple<StringRef, bool, StringRef>{"keys", bool(getKeys()), "distance"},
        {"eps", bool(getEps()), "distance"},
        {"proj", bool(getProj()), "cosine"}})
    if (given && getKind() != belongs)
      return emitError() << "'" << name << "' belongs to router '" << belongs << "'";
  if (getChoose() && *getChoose() != "image")
    return emitError() << "expected 'choose = rows by image', found 'rows by " << *getChoose() << "'";
  if (getChoose() && getTop())
    return emitError()
           << "expected either 'top', by which rows choose experts, or 'choose', by which experts "
              "choose rows, found both";
  const bool some = getTop() || getChoose();
  for (auto [name, given, also] : {std::tuple<StringRef, bool, bool>{"capacity", bool(getCapacity()), true},
                                   {"noise", bool(getNoise()), true},
                                   {"prescore", getPrescore(), true},
                                   {"alignment", bool(getAlignment()), false},
                                   {"prioritized", getPrioritized(), false},
                                   {"unnormalized", getUnnormalized(), false},
                                   {"select_bias", bool(getSelectBias()), false}}) {
    if (given && !some)
      return emitError() << "'" << name
                         << "' is of routings to some experts of each row: write 'top = 1' as well";
    if (given && !also && getChoose())
      return emitError() << "'" << name
                         << "' is of routings in which rows choose, not experts: write 'top = 1' "
                            "instead of 'choose'";
  }
  if (in.weights.at)
    return emitError() << "'route' is not compiled yet inside experts";
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (!x->batch || x->experts || x->rank() < 1) {
    InFlightDiagnostic diag =
        emitError()
        << "expected a vector [features] of each sample, or of each of its tokens, to route, found "
        << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  Routing route;
  route.path = in.path(getPath());
  llvm::append_range(route.tokens, x->sample().drop_back());
  flow::Extent count = in.batch();
  for (int64_t tokens : route.tokens)
    count = count * flow::Extent::constant(getContext(), tokens);
  Value rows = flow::reshape(b, loc, x->value, {count, flow::Extent::constant(getContext(), x->last())});
  FailureOr<Value> scores = distance                ? distanceScores(in, *this, *x, rows)
                            : getKind() == "linear" ? linearScores(in, *this, rows, x->last())
                                                    : cosineScores(in, *this, rows, x->last());
  if (failed(scores))
    return failure();
  route.scores = *scores;
  route.experts = flow::typeOf(*scores).getDimSize(1);
  route.sigmoid = getSigmoid();
  auto gatesOf = [&](Value logits) {
    return route.sigmoid ? flow::sigmoid(b, loc, logits) : flow::softmax(b, loc, logits, 1);
  };
  route.gates = gatesOf(route.scores);
  if (some && failed(choose(in, *this, route, count, gatesOf)))
    return failure();
  in.routings.push_back(route);
  in.set(getY(), Record{route, getY().getLoc()});
  return success();
}

LogicalResult moe::checkRoutingFirst(Expander &in, Operation *op, Value first, Value second) {
  auto isRouting = [&](Value value) {
    const Record *found = in.record(value);
    return found && std::holds_alternative<Routing>(found->is);
  };
  if (isRouting(first) || !isRouting(second))
    return success();
  StringRef word = op->getName().stripDialect();
  InFlightDiagnostic diag = op->emitError() << "expected the routing first, then the value: '" << word
                                            << " %route, %x', found them the other way round";
  in.noteMade(diag, second);
  return diag;
}

LogicalResult moe::checkTokens(Expander &in, Operation *op, const Routing &route, Value source,
                               ArrayRef<int64_t> sample) {
  if (sample.size() >= route.tokens.size() &&
      sample.take_front(route.tokens.size()) == ArrayRef(route.tokens))
    return success();
  InFlightDiagnostic diag = op->emitError()
                            << "expected a value of the rows that routing '" << route.path << "' has seen, [";
  for (int64_t tokens : route.tokens)
    diag << tokens << ", ";
  diag << "...], found [";
  llvm::interleaveComma(sample, diag);
  diag << "]";
  in.noteMade(diag, source);
  return diag;
}

/// The extents of a value's axes behind those that are rows.
static SmallVector<flow::Extent> behindRows(Value x, size_t tokens) {
  SmallVector<flow::Extent> extents = flow::extentsOf(x);
  extents.erase(extents.begin(), extents.begin() + 1 + tokens);
  return extents;
}

/// The gates of dispatched rows, by pair: [P].
static Value gatesOfRows(OpBuilder &b, Location loc, const Routing &route) {
  const RowSpace &space = *route.space;
  SmallVector<flow::Extent> grid = flow::extentsOf(route.weights);
  const flow::Extent pairs = grid[0] * grid[1];
  Value flat = flow::reshape(b, loc, route.weights, {pairs});
  Value positions =
      flow::reshape(b, loc, space.positions, {pairs, flow::Extent::constant(b.getContext(), 1)});
  return flow::gatherRows(b, loc, flat, space.pair, positions);
}

LogicalResult DispatchOp::expand(Expander &in) {
  if (failed(checkRoutingFirst(in, *this, getRoute(), getX())))
    return failure();
  FailureOr<Routing> route = in.routing(*this, getRoute());
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(route) || failed(x))
    return failure();
  if (!route->top) {
    InFlightDiagnostic diag =
        emitError() << "expected a routing to some experts of each row, found one over all " << route->experts
                    << "; write 'top = 1' in 'route', or 'experts ... count = " << route->experts
                    << "' on the value itself";
    in.noteMade(diag, getRoute());
    return diag;
  }
  if (in.weights.at || !x->batch || x->experts) {
    InFlightDiagnostic diag = emitError() << "expected a value of each sample, outside of experts, found "
                                          << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  if (failed(checkTokens(in, *this, *route, getX(), x->sample())))
    return failure();
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  const RowSpace &space = *route->space;
  SmallVector<flow::Extent> extents{flow::Extent::of(route->scores, 0)};
  llvm::append_range(extents, behindRows(x->value, route->tokens.size()));
  Value sent = flow::gatherRows(b, loc, flow::reshape(b, loc, x->value, extents), space.row, space.positions);
  if (route->prescore && route->weights)
    sent = flow::mul(b, loc, sent,
                     flow::broadcast(b, loc, gatesOfRows(b, loc, *route), flow::extentsOf(sent), {0}));
  in.set(getY(), Record{Dispatched{sent, route->space}, getY().getLoc()});
  return success();
}

LogicalResult moe::combineRows(Expander &in, CombineOp op, const Routing &route) {
  FailureOr<Dispatched> x = in.dispatched(op, op.getX());
  if (failed(x))
    return failure();
  if (x->space != route.space) {
    InFlightDiagnostic diag = op.emitError()
                              << "expected rows that this routing dispatched, found those of routing '"
                              << x->space->path << "'";
    in.noteMade(diag, op.getX());
    in.noteMade(diag, op.getRoute());
    return diag;
  }
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  const RowSpace &space = *route.space;
  MLIRContext *context = b.getContext();
  // The rows come back in the shape of a sample's tokens, so that what reads them there is one loop with it.
  SmallVector<flow::Extent> choices{in.batch()};
  for (int64_t tokens : route.tokens)
    choices.push_back(flow::Extent::constant(context, tokens));
  const int64_t choice = choices.size();
  choices.push_back(flow::Extent::of(space.positions, 1));
  Value pairs = flow::reshape(b, loc, space.pair, {space.count, flow::Extent::constant(context, 1)});
  Value back = flow::gatherRows(b, loc, x->value, flow::reshape(b, loc, space.positions, choices), pairs);
  if (!route.prescore && route.weights) {
    auto axes = llvm::to_vector(llvm::seq<int64_t>(0, choice + 1));
    Value gates = flow::reshape(b, loc, route.weights, choices);
    back = flow::mul(b, loc, back, flow::broadcast(b, loc, gates, flow::extentsOf(back), axes));
  }
  in.set(op.getY(), {flow::sum(b, loc, back, {choice}), false, true});
  return success();
}
