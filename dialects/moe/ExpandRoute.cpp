// Routers, the choice of experts, and the rows that go to them, step by step as Tutel does it (gates/cosine_top.py,
// gates/top.py, impls/fast_dispatch.py):
//   1. Logits of each row; with noise in training. Scores are their softmax, or sigmoids.
//   2. The best experts of each row. Gates are their scores, divided by their sum where there are several.
//   3. Places at each expert: all first choices come before all second ones; among those, rows in their order, or with
//      `prioritized` by their largest score. Pairs whose place is at or beyond the capacity are dropped.
//   4. The pairs that are left, sorted by expert, in their own order.
// Where Tutel leaves the order of equal scores open, the lower row comes first. Nobody computes padding.
#include "dialects/moe/ExpandRoute.h"
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/Nearest.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using namespace moe;

/// The largest scale of a cosine router (Tutel, gates/cosine_top.py), and the first one's logarithm.
static constexpr double kLargestScale = 100, kFirstScale = 2;
static constexpr int64_t kProjection = 256;
/// The least sum that gates are divided by: f32's epsilon.
static constexpr double kLeastSum = 0x1p-23;

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
  Value cosines = flow::contract(b, loc, flow::normalize(b, loc, q, {1}, 1e-12), {0, 1},
                                 flow::normalize(b, loc, keys->value, {0}, 1e-12), {1, 2}, {0, 2});
  // Beyond the largest scale the temperature has no gradient; at it, the whole one, as with torch.clamp.
  Value most = flow::constant(b, loc, std::log(kLargestScale), scale->value.getType());
  Value beyond = flow::compare(b, loc, flow::Predicate::gt, scale->value, most);
  Value factor = flow::exp(b, loc, flow::select(b, loc, beyond, most, scale->value));
  return flow::mul(b, loc, cosines, factor);
}

Value moe::choiceMask(OpBuilder &b, Location loc, const Routing &route) {
  SmallVector<flow::Extent> extents = flow::extentsOf(route.chosen);
  extents.push_back(flow::Extent::constant(b.getContext(), route.experts));
  return flow::compare(b, loc, flow::Predicate::eq, flow::broadcast(b, loc, route.chosen, extents, {0, 1}),
                       flow::iota(b, loc, extents, 2, b.getI32Type()));
}

Value moe::chosenPairs(OpBuilder &b, Location loc, const Routing &route) {
  return flow::sum(b, loc, flow::convert(b, loc, choiceMask(b, loc, route), b.getF32Type()), {1});
}

Value moe::choicesOf(Expander &in, Location loc, const Routing &route) {
  OpBuilder &b = in.builder;
  MLIRContext *context = b.getContext();
  SmallVector<flow::Extent> extents{in.batch()};
  for (int64_t tokens : route.tokens)
    extents.push_back(flow::Extent::constant(context, tokens));
  extents.append({flow::Extent::constant(context, route.top), flow::Extent::constant(context, 1)});
  Value experts = flow::convert(b, loc, route.chosen, b.getF32Type());
  Value gates = route.weights ? route.weights : flow::onesLike(b, loc, experts);
  if (route.kept)
    gates = flow::select(b, loc, route.kept, gates, flow::zerosLike(b, loc, gates));
  return flow::concat(
      b, loc, ValueRange{flow::reshape(b, loc, experts, extents), flow::reshape(b, loc, gates, extents)},
      extents.size() - 1);
}

std::pair<Value, Value> moe::rowsOfExperts(OpBuilder &b, Location loc, const Routing &route) {
  const flow::Extent experts = flow::Extent::constant(b.getContext(), route.experts);
  Value offsets = route.space->offsets;
  Value taken = flow::sub(b, loc, flow::slice(b, loc, offsets, 0, 1, experts),
                          flow::slice(b, loc, offsets, 0, 0, experts));
  if (!route.kept)
    return {taken, {}};
  Value pairs = flow::convert(b, loc, choiceMask(b, loc, route), b.getI32Type());
  return {flow::sum(b, loc, pairs, {0, 1}), taken};
}

/// What each row has for its chosen experts: [rows, top] of [rows, experts].
static Value ofChoices(OpBuilder &b, Location loc, const Routing &route, Value x) {
  Value mask = choiceMask(b, loc, route);
  Value wide = flow::broadcast(b, loc, x, flow::extentsOf(mask), {0, 2});
  return flow::sum(b, loc, flow::select(b, loc, mask, wide, flow::zerosLike(b, loc, wide)), {2});
}

namespace {
/// What is written of a routing to some experts.
struct Selection {
  int64_t top = 1, alignment = 1;
  double capacity = 0; // 0 drops nothing
  bool prioritized = false;
};
} // namespace

/// The mask of the pairs that an expert has room for.
static Value keptPairs(Expander &in, Location loc, const Routing &route, const Selection &how) {
  OpBuilder &b = in.builder;
  MLIRContext *context = b.getContext();
  Type number = b.getI32Type();
  const flow::Extent rows = flow::Extent::of(route.chosen, 0), top = flow::Extent::constant(context, how.top);
  auto all = [&](Value one, ArrayRef<flow::Extent> extents) {
    return flow::broadcast(b, loc, one, extents, {});
  };
  // Pairs in the order in which they get their places: by choice, and then by row, or by priority.
  Value byPlace = route.chosen, ranks;
  if (how.prioritized) {
    auto [order, rank] =
        flow::argsort(b, loc, flow::reduce(b, loc, flow::ReduceKind::max, route.noisyGates, {1}));
    byPlace = flow::gather(b, loc, byPlace, order);
    ranks = rank;
  }
  SmallVector<flow::Extent> grid{top, rows}, line{top * rows};
  Value keys = flow::reshape(b, loc, flow::transpose(b, loc, byPlace, {1, 0}), line);
  auto sort = flow::countingSort(b, loc, keys, flow::Extent::constant(context, route.experts));
  Value place = flow::sub(b, loc, sort.positions, flow::gather(b, loc, sort.offsets, keys));
  if (ranks) { // back to the rows' own order
    Value first =
        flow::mul(b, loc, flow::iota(b, loc, grid, 0, number), all(flow::extentIndex(b, loc, rows), grid));
    place = flow::gather(b, loc, place, flow::add(b, loc, first, flow::broadcast(b, loc, ranks, grid, {1})));
  } else {
    place = flow::reshape(b, loc, place, grid);
  }
  place = flow::transpose(b, loc, place, {1, 0});
  Value capacity = flow::CapacityOp::create(b, loc, flow::extentIndex(b, loc, rows), route.experts, how.top,
                                            APFloat(how.capacity), how.alignment);
  return flow::compare(b, loc, flow::Predicate::lt, place, all(capacity, flow::extentsOf(place)));
}

/// The rows in the order of experts.
static std::shared_ptr<RowSpace> sortRows(Expander &in, Location loc, const Routing &route) {
  OpBuilder &b = in.builder;
  MLIRContext *context = b.getContext();
  Type number = b.getI32Type();
  auto space = std::make_shared<RowSpace>();
  space->path = route.path;
  space->experts = route.experts;
  SmallVector<flow::Extent> grid = flow::extentsOf(route.chosen);
  space->count = grid[0] * grid[1];
  Value keys = route.chosen;
  if (route.kept)
    keys =
        flow::select(b, loc, route.kept, keys, flow::constant(b, loc, double(route.experts), keys.getType()));
  keys = flow::reshape(b, loc, keys, {space->count});
  auto sort = flow::countingSort(b, loc, keys, flow::Extent::constant(context, route.experts));
  space->offsets = sort.offsets;
  space->positions = flow::reshape(b, loc, sort.positions, grid);
  space->pair = sort.order;
  space->expert = flow::gather(b, loc, keys, sort.order);
  if (route.kept) {
    auto none = [&](Value like) { return flow::constant(b, loc, -1, like.getType()); };
    space->positions = flow::select(b, loc, route.kept, space->positions, none(space->positions));
    Value inside = flow::compare(b, loc, flow::Predicate::lt, space->expert, double(route.experts));
    space->pair = flow::select(b, loc, inside, space->pair, none(space->pair));
  }
  space->row = space->pair;
  if (!grid[1].isConstant(1)) {
    Value rowOfPair = flow::reshape(b, loc, flow::iota(b, loc, grid, 0, number), {space->count});
    space->row = flow::gather(b, loc, rowOfPair, sort.order);
    if (route.kept) {
      Value known = flow::compare(b, loc, flow::Predicate::ge, space->pair, 0.0);
      space->row = flow::select(b, loc, known, space->row, flow::constant(b, loc, -1, space->row.getType()));
    }
  }
  return space;
}

LogicalResult RouteOp::expand(Expander &in) {
  const StringRef routers[] = {"distance", "linear", "cosine"};
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
  if (!getTop())
    for (auto [name, given] : {std::pair<StringRef, bool>{"capacity", bool(getCapacity())},
                               {"alignment", bool(getAlignment())},
                               {"noise", bool(getNoise())},
                               {"prioritized", getPrioritized()},
                               {"prescore", getPrescore()},
                               {"unnormalized", getUnnormalized()}})
      if (given)
        return emitError() << "'" << name
                           << "' is of routings to some experts of each row: write 'top = 1' as well";
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
  if (getTop()) {
    FailureOr<int64_t> top = in.env().positive(*this, *getTop(), "'top'");
    FailureOr<double> noise = getNoise() ? in.env().number(*this, *getNoise()) : FailureOr<double>(0.0),
                      capacity =
                          getCapacity() ? in.env().number(*this, *getCapacity()) : FailureOr<double>(0.0);
    FailureOr<int64_t> alignment =
        getAlignment() ? in.env().positive(*this, *getAlignment(), "'alignment'") : FailureOr<int64_t>(1);
    if (failed(top) || failed(noise) || failed(capacity) || failed(alignment))
      return failure();
    if (*top > route.experts)
      return emitError() << "expected 'top' of at most the number of experts, " << route.experts << ", found "
                         << *top;
    if (*noise < 0)
      return emitError() << "expected 'noise' of 0 or more, found " << numberText(*noise);
    if (*alignment > INT32_MAX)
      return emitError() << "expected 'alignment' of at most " << INT32_MAX << ", found " << *alignment;
    route.top = *top;
    route.prescore = getPrescore();
    route.noise = *noise / double(route.experts);
    route.noisyScores = route.scores;
    if (in.training && route.noise > 0) {
      FailureOr<int64_t> stream = in.stream(*this);
      if (failed(stream))
        return failure();
      Value drawn =
          flow::random(b, loc, flow::RandomKind::normal, uint32_t(*stream), flow::extentsOf(route.scores));
      route.noisyScores = flow::add(b, loc, route.scores, flow::mul(b, loc, drawn, route.noise));
    }
    route.noisyGates = route.noisyScores == route.scores ? route.gates : gatesOf(route.noisyScores);
    route.chosen = flow::topK(b, loc, flow::stopGradient(b, loc, route.noisyGates), route.top);
    route.weights = ofChoices(b, loc, route, route.noisyGates);
    if (route.top > 1 && !getUnnormalized()) {
      Value total = flow::sum(b, loc, route.weights, {1});
      total = flow::maximum(b, loc, total, flow::constant(b, loc, kLeastSum, total.getType()));
      route.weights = flow::div(b, loc, route.weights,
                                flow::broadcastAlong(b, loc, total, flow::extentsOf(route.weights), {1}));
    }
    if (*capacity != 0) {
      Selection how{*top, *alignment, *capacity, getPrioritized()};
      in.capacities.push_back({route.path, count, route.experts, *top, *capacity, *alignment, loc});
      if (!in.dropless)
        route.kept = keptPairs(in, loc, route, how);
    }
    route.space = sortRows(in, loc, route);
  }
  in.routings.push_back(route);
  in.set(getY(), Record{route, getY().getLoc()});
  return success();
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
  Value flat = flow::reshape(b, loc, route.weights, {space.count});
  Value positions =
      flow::reshape(b, loc, space.positions, {space.count, flow::Extent::constant(b.getContext(), 1)});
  return flow::gatherRows(b, loc, flat, space.pair, positions);
}

LogicalResult DispatchOp::expand(Expander &in) {
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
  Value pairs = flow::reshape(b, loc, space.pair, {space.count, flow::Extent::constant(context, 1)});
  Value back = flow::gatherRows(b, loc, x->value, space.positions, pairs); // [rows, top, ...]
  if (!route.prescore && route.weights)
    back = flow::mul(b, loc, back, flow::broadcast(b, loc, route.weights, flow::extentsOf(back), {0, 1}));
  SmallVector<flow::Extent> extents{in.batch()};
  for (int64_t tokens : route.tokens)
    extents.push_back(flow::Extent::constant(context, tokens));
  llvm::append_range(extents, ArrayRef(flow::extentsOf(back)).drop_front(2));
  if (route.top > 1)
    back = flow::sum(b, loc, back, {1});
  in.set(op.getY(), {flow::reshape(b, loc, back, extents), false, true});
  return success();
}
