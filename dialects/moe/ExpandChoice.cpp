// Which rows go to which experts, step by step as Tutel does it (impls/fast_dispatch.py):
//   1. The experts of the largest scores of each row. Their gates are divided by their sum where there are several.
//   2. Places at each expert: all first choices come before all second ones; among those, rows in their order, or with
//      `prioritized` by their largest score. Pairs whose place is at or beyond the capacity are dropped.
//   3. The pairs that are left, sorted by expert, in their own order.
// Where Tutel leaves the order of equal scores open, the lower row comes first. Nobody computes padding. Experts may choose rows
// instead: then a row has a choice for every expert, and those pairs are left in which the expert has chosen the row.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/ExpandRoute.h"

using namespace mlir;
using namespace moe;

/// The least sum that gates are divided by: f32's epsilon.
static constexpr double kLeastSum = 0x1p-23;

Value moe::choiceMask(OpBuilder &b, Location loc, const Routing &route) {
  SmallVector<flow::Extent> extents = flow::extentsOf(route.chosen);
  extents.push_back(flow::Extent::constant(b.getContext(), route.experts));
  return flow::compare(b, loc, flow::Predicate::eq, flow::broadcast(b, loc, route.chosen, extents, {0, 1}),
                       flow::iota(b, loc, extents, 2, b.getI32Type()));
}

Value moe::chosenPairs(OpBuilder &b, Location loc, const Routing &route) {
  if (route.byExperts)
    return flow::convert(b, loc, route.kept, b.getF32Type());
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
  if (!route.kept || route.byExperts)
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

/// Numbers that are in the order of the noisy gates, within each row or in all of them. Scores if they are, since gates of
/// different scores may be equal in 32 bits: sigmoids of 20 and of 30 are 1.
static Value inOrderOfGates(const Routing &route, bool withinRow) {
  return withinRow || route.sigmoid ? route.noisyScores : route.noisyGates;
}

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
        flow::argsort(b, loc, flow::reduce(b, loc, flow::ReduceKind::max, inOrderOfGates(route, false), {1}));
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

/// The rows in the order of experts; `count` is how many there are where that is less than all pairs.
static std::shared_ptr<RowSpace> sortRows(Expander &in, Location loc, const Routing &route,
                                          std::optional<flow::Extent> count = std::nullopt) {
  OpBuilder &b = in.builder;
  MLIRContext *context = b.getContext();
  Type number = b.getI32Type();
  auto space = std::make_shared<RowSpace>();
  space->path = route.path;
  space->experts = route.experts;
  SmallVector<flow::Extent> grid = flow::extentsOf(route.chosen);
  const flow::Extent pairs = grid[0] * grid[1];
  space->count = count.value_or(pairs);
  Value keys = route.chosen;
  if (route.kept)
    keys =
        flow::select(b, loc, route.kept, keys, flow::constant(b, loc, double(route.experts), keys.getType()));
  keys = flow::reshape(b, loc, keys, {pairs});
  auto sort = flow::countingSort(b, loc, keys, flow::Extent::constant(context, route.experts));
  space->offsets = sort.offsets;
  space->positions = flow::reshape(b, loc, sort.positions, grid);
  const Value order = count ? flow::slice(b, loc, sort.order, 0, 0, *count) : sort.order;
  const bool dropped = route.kept && !count; // some of the rows
  auto none = [&](Value like) { return flow::constant(b, loc, -1, like.getType()); };
  space->pair = order;
  space->expert = flow::gather(b, loc, keys, order);
  if (route.kept)
    space->positions = flow::select(b, loc, route.kept, space->positions, none(space->positions));
  if (dropped) {
    Value inside = flow::compare(b, loc, flow::Predicate::lt, space->expert, double(route.experts));
    space->pair = flow::select(b, loc, inside, space->pair, none(space->pair));
  }
  space->row = space->pair;
  if (!grid[1].isConstant(1)) {
    Value rowOfPair = flow::reshape(b, loc, flow::iota(b, loc, grid, 0, number), {pairs});
    space->row = flow::gather(b, loc, rowOfPair, order);
    if (dropped) {
      Value known = flow::compare(b, loc, flow::Predicate::ge, space->pair, 0.0);
      space->row = flow::select(b, loc, known, space->row, none(space->row));
    }
  }
  return space;
}

void moe::chooseExperts(Expander &in, Location loc, Routing &route, const Selection &how, bool drop) {
  OpBuilder &b = in.builder;
  route.top = how.top;
  Value judged = flow::stopGradient(b, loc, how.bias ? route.noisyGates : inOrderOfGates(route, true));
  if (how.bias)
    judged = flow::add(b, loc, judged, flow::stopGradient(b, loc, how.bias));
  route.chosen = flow::topK(b, loc, judged, route.top);
  if (how.scaled) {
    route.weights = ofChoices(b, loc, route, route.noisyGates);
    if (route.top > 1 && how.normalized) {
      Value total = flow::sum(b, loc, route.weights, {1});
      total = flow::maximum(b, loc, total, flow::constant(b, loc, kLeastSum, total.getType()));
      route.weights = flow::div(b, loc, route.weights,
                                flow::broadcastAlong(b, loc, total, flow::extentsOf(route.weights), {1}));
    }
  }
  if (drop)
    route.kept = keptPairs(in, loc, route, how);
  route.space = sortRows(in, loc, route);
}

void moe::chooseRows(Expander &in, Location loc, Routing &route, int64_t count) {
  OpBuilder &b = in.builder;
  MLIRContext *context = b.getContext();
  route.byExperts = true;
  route.top = route.experts;
  SmallVector<flow::Extent> pairs = flow::extentsOf(route.scores), images{in.batch()};
  int64_t tokens = 1;
  for (int64_t axis : route.tokens)
    tokens *= axis;
  images.push_back(flow::Extent::constant(context, tokens));
  images.push_back(pairs[1]);
  Value judged = flow::reshape(b, loc, flow::stopGradient(b, loc, inOrderOfGates(route, false)), images);
  Value ranks = flow::reshape(b, loc, flow::rank(b, loc, judged, 1), pairs);
  route.kept = flow::compare(b, loc, flow::Predicate::lt, ranks, double(count));
  route.chosen = flow::iota(b, loc, pairs, 1, b.getI32Type());
  route.weights = route.noisyGates;
  route.space = sortRows(in, loc, route, in.batch() * (route.experts * count));
}

Value moe::expertShares(OpBuilder &b, Location loc, const Routing &route) {
  Value of = route.gates;
  if (route.top && !route.byExperts)
    of = flow::div(b, loc, chosenPairs(b, loc, route), double(route.top));
  return flow::mean(b, loc, of, {0});
}

Value moe::droppedShare(OpBuilder &b, Location loc, const Routing &route) {
  if (!route.kept)
    return {};
  Value kept = flow::convert(b, loc, route.kept, b.getF32Type());
  if (route.byExperts)
    kept = flow::reduce(b, loc, flow::ReduceKind::max, kept, {1});
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, flow::rankOf(kept)));
  return flow::sub(b, loc, flow::number(b, loc, 1), flow::mean(b, loc, kept, axes));
}

LogicalResult SelectOp::expand(Expander &in) {
  FailureOr<Routing> route = in.routing(*this, getRoute());
  FailureOr<int64_t> top = in.env().positive(*this, getTop(), "'top'");
  if (failed(route) || failed(top))
    return failure();
  if (route->top) {
    InFlightDiagnostic diag = emitError() << "expected a routing over all experts to select from, found "
                                          << recordText(*in.record(getRoute()));
    in.noteMade(diag, getRoute());
    return diag;
  }
  if (*top > route->experts)
    return emitError() << "expected 'top' of at most the number of experts, " << route->experts << ", found "
                       << *top;
  route->noisyScores = route->scores;
  route->noisyGates = route->gates;
  chooseExperts(in, in.loc(*this), *route, {.top = *top, .scaled = !getUnscaled()}, /*drop=*/false);
  in.set(getY(), Record{*route, getY().getLoc()});
  return success();
}

LogicalResult CountsOp::expand(Expander &in) {
  FailureOr<Routing> route = in.routing(*this, getRoute());
  if (failed(route))
    return failure();
  if (!route->top) {
    InFlightDiagnostic diag =
        emitError() << "expected a routing to some experts of each row to count, found one over all "
                    << route->experts << ", each of which has every row";
    in.noteMade(diag, getRoute());
    return diag;
  }
  Location loc = in.loc(*this);
  in.set(getY(), {flow::sum(in.builder, loc, chosenPairs(in.builder, loc, *route), {0})});
  return success();
}
