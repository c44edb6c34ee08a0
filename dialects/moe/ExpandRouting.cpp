// Experts, the combination of their results, and hypernetworks. A layer's body is interpreted once for all experts, and its
// parameters bring an axis of experts in. In mode `every`, each expert is applied to each sample, and products are
// contractions with that axis. Where rows were dispatched, each row meets the parameters of its own expert: products are
// grouped contractions, and any other parameter is spread over the rows.
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/moe/ExpandRoute.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace moe;

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

LogicalResult moe::refuseRows(Expander &in, Operation *op) {
  if (!in.weights.rows)
    return success();
  InFlightDiagnostic diag =
      op->emitError() << "'" << op->getName().stripDialect()
                      << "' is not compiled yet in experts on dispatched rows, which are no samples; put it "
                         "behind 'combine'";
  diag.attachNote(in.weights.at->getLoc()) << "the experts";
  return diag;
}

/// The values of experts: dispatched rows, all of one dispatch's order, become tensors whose batch they are. `rows` is set to it.
static LogicalResult expertInputs(Expander &in, ExpertsOp op, SmallVectorImpl<Record> &inputs,
                                  std::shared_ptr<RowSpace> &rows) {
  for (auto [i, x] : llvm::enumerate(op.getX())) {
    const Record *found = in.record(x);
    auto *sent = found ? std::get_if<Dispatched>(&found->is) : nullptr;
    if (!sent && failed(in.tensor(op, x)))
      return failure();
    if (i > 0 && rows != (sent ? sent->space : nullptr)) {
      InFlightDiagnostic diag = op.emitError()
                                << "expected rows that one 'dispatch' has in one order, or samples, for all "
                                   "values of the experts";
      in.noteMade(diag, op.getX().front());
      in.noteMade(diag, x);
      return diag;
    }
    if (!sent)
      continue;
    rows = sent->space;
    inputs[i].is = Tensor{sent->value, false, true};
  }
  return success();
}

/// The weights that a hypernetwork has generated for the experts.
static FailureOr<std::shared_ptr<Bundle>> generatedWeights(Expander &in, ExpertsOp op, const Closure &closure,
                                                           const RowSpace *rows) {
  const Record *found = in.record(op.getWeights());
  auto *bundle = found ? std::get_if<std::shared_ptr<Bundle>>(&found->is) : nullptr;
  if (!bundle) {
    InFlightDiagnostic diag = op.emitError() << "expected weights that 'hyper' generated, found "
                                             << (found ? recordText(*found) : "nothing");
    in.noteMade(diag, op.getWeights());
    return diag;
  }
  if (op.getCount())
    return op.emitError() << "the generated weights say how many experts there are; remove 'count'";
  if (!sameArguments(closure, *(*bundle)->target)) {
    InFlightDiagnostic diag = op.emitError()
                              << "expected the layer that the weights are generated for, '@"
                              << LayerOp((*bundle)->target->layer).getSymName()
                              << "' with the same arguments, found '" << op.getLayer()->str() << "'";
    diag.attachNote((*bundle)->at->getLoc()) << "generated here";
    return diag;
  }
  int64_t sets = (*bundle)->rows.type().getDimSize(0);
  if (rows && sets != rows->experts) {
    InFlightDiagnostic diag = op.emitError()
                              << "expected weights of as many experts as routing '" << rows->path << "' has, "
                              << rows->experts << ", found " << sets;
    diag.attachNote((*bundle)->at->getLoc()) << "generated here";
    return diag;
  }
  return *bundle;
}

/// What a layer of experts yields, of each row where rows were dispatched.
static LogicalResult bindRows(Expander &in, ExpertsOp op, const std::shared_ptr<RowSpace> &rows,
                              MutableArrayRef<Record> yields) {
  for (Record &each : yields)
    if (auto *t = std::get_if<Tensor>(&each.is)) {
      Tensor all = t->experts && !t->batch ? byRow(in, op, *t) : *t;
      if (!all.batch) {
        InFlightDiagnostic diag = op.emitError() << "expected results of each row of the experts, found "
                                                 << shapeText(*t) << ", which is the same for all rows";
        diag.attachNote(each.at) << "made here";
        return diag;
      }
      each.is = Dispatched{all.value, rows};
    }
  return success();
}

namespace {
/// Experts of one layer among those of several, and what they yield.
struct Share {
  LayerItem item;
  int64_t first = 0; // of the experts
  SmallVector<Record> yields;
};
} // namespace

/// The offsets and numbers of one share's experts: its rows are a range of all. Masks follow the number of an expert within its
/// share, as they do where nothing is dispatched.
static std::shared_ptr<RowSpace> rowsOf(Expander &in, Location loc, const RowSpace &all, const Share &share) {
  auto own = std::make_shared<RowSpace>(all);
  own->offsets = flow::slice(in.builder, loc, all.offsets, 0, share.first,
                             flow::Extent::constant(in.builder.getContext(), share.item.count + 1));
  own->experts = share.item.count;
  if (share.first)
    own->expert = flow::sub(in.builder, loc, all.expert,
                            flow::constant(in.builder, loc, double(share.first), all.expert.getType()));
  return own;
}

/// Whether each row is one of the share's: [P] i1.
static Value ownRows(OpBuilder &b, Location loc, const RowSpace &all, const Share &share) {
  Value from = flow::compare(b, loc, flow::Predicate::ge, all.expert, double(share.first));
  Value to = flow::compare(b, loc, flow::Predicate::lt, all.expert, double(share.first + share.item.count));
  return flow::logicalAnd(b, loc, from, to);
}

/// The value where the mask holds for its row; otherwise that of `other`, or 0. A choice and no product: what a layer makes of
/// rows that are not its own may be infinite, and its gradient too.
static Value chooseRow(OpBuilder &b, Location loc, Value mask, Value x, Value other) {
  Value wide = flow::broadcast(b, loc, mask, flow::extentsOf(x), {0});
  return flow::select(b, loc, wide, x, other ? other : flow::zerosLike(b, loc, x));
}

static std::string valuesText(size_t count) {
  return std::to_string(count) + (count == 1 ? " value" : " values");
}

/// Reports shares that yield different things.
static LogicalResult checkYields(ExpertsOp op, ArrayRef<Share> shares, bool rows) {
  const Share &first = shares.front();
  for (const Share &share : shares) {
    auto wrong = [&](const Twine &one, const Twine &other, Location at, Location otherAt) {
      InFlightDiagnostic diag =
          op.emitError() << "expected experts that all yield values of one shape, found " << one << " of '@"
                         << LayerOp(first.item.closure->layer).getSymName() << "' and " << other << " of '@"
                         << LayerOp(share.item.closure->layer).getSymName() << "'";
      diag.attachNote(at) << "the one is made here";
      diag.attachNote(otherAt) << "the other is made here";
      return diag;
    };
    if (share.yields.size() != first.yields.size())
      return wrong(valuesText(first.yields.size()), valuesText(share.yields.size()),
                   LayerOp(first.item.closure->layer).getLoc(), LayerOp(share.item.closure->layer).getLoc());
    for (auto [one, other] : llvm::zip(first.yields, share.yields)) {
      auto *a = std::get_if<Tensor>(&one.is), *b = std::get_if<Tensor>(&other.is);
      if (!a || !b) {
        const Record &odd = a ? other : one;
        InFlightDiagnostic diag = op.emitError() << "expected tensors as results of experts of several "
                                                    "layers, found "
                                                 << recordText(odd);
        diag.attachNote(odd.at) << "made here";
        return diag;
      }
      if (a->sample() != b->sample() || (!rows && a->batch != b->batch)) {
        auto text = [](const Tensor &t) { return shapeText(t) + (t.batch ? "" : " for all samples"); };
        return wrong(text(*a), text(*b), one.at, other.at);
      }
    }
  }
  return success();
}

/// Experts of several layers: `layers [2 * @A, @B]`. Each layer is applied for its own experts; on dispatched rows, to all of them, of
/// which those of other experts hold zeros.
static FailureOr<SmallVector<Record>> expandShares(Expander &in, ExpertsOp op, ArrayRef<Record> inputs,
                                                   const std::shared_ptr<RowSpace> &rows,
                                                   std::vector<Share> &shares) {
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  for (auto [i, share] : llvm::enumerate(shares)) {
    Weights weights;
    weights.at = op;
    weights.experts = share.item.count;
    std::string name = (op.getPath() + "." + Twine(i)).str();
    weights.base = in.path(name);
    SmallVector<Record> own(inputs);
    if (rows) {
      weights.rows = rowsOf(in, loc, *rows, share);
      Value mask = ownRows(b, loc, *rows, share);
      for (Record &each : own)
        if (auto *t = std::get_if<Tensor>(&each.is))
          t->value = chooseRow(b, loc, mask, t->value, {});
    }
    llvm::SaveAndRestore guard(in.weights, weights);
    FailureOr<SmallVector<Record>> yields = in.apply(op, name, *share.item.closure, own);
    if (failed(yields))
      return failure();
    // A result that is the same for all samples or rows of an expert is one of each row, or of each expert.
    for (Record &each : *yields)
      if (auto *t = std::get_if<Tensor>(&each.is); t && rows)
        *t = byRow(in, op, *t);
    share.yields = std::move(*yields);
  }
  if (failed(checkYields(op, shares, bool(rows))))
    return failure();
  SmallVector<Record> all = shares.front().yields;
  for (auto [i, each] : llvm::enumerate(all)) {
    auto &result = std::get<Tensor>(each.is);
    if (rows) {
      Value value;
      for (const Share &share : shares) {
        const auto &part = std::get<Tensor>(share.yields[i].is);
        if (!part.batch)
          break; // reported by bindRows
        value = chooseRow(b, loc, ownRows(b, loc, *rows, share), part.value, value);
      }
      result.value = value ? value : result.value;
      continue;
    }
    SmallVector<Value> parts;
    for (const Share &share : shares) {
      const auto &part = std::get<Tensor>(share.yields[i].is);
      SmallVector<flow::Extent> extents{flow::Extent::constant(b.getContext(), share.item.count)};
      llvm::append_range(extents, ArrayRef(flow::extentsOf(part.value)).drop_front(part.experts));
      auto axes = llvm::to_vector(llvm::seq<int64_t>(part.experts ? 0 : 1, int64_t(extents.size())));
      parts.push_back(flow::broadcast(b, loc, part.value, extents, axes));
    }
    result = {parts.size() > 1 ? flow::concat(b, loc, parts, 0) : parts.front(), true, result.batch};
  }
  return all;
}

/// `experts ... layers [...]`
static LogicalResult expandSeveral(Expander &in, ExpertsOp op, ArrayRef<Record> inputs,
                                   const std::shared_ptr<RowSpace> &rows) {
  if (op.getWeights() || op.getCount())
    return op.emitError() << "'" << (op.getCount() ? "count" : "weights") << "' is of experts of one layer"
                          << (op.getCount() ? "; the list says how many there are" : "");
  FailureOr<std::vector<LayerItem>> items = layerItems(in, op, *op.getLayers(), "experts");
  if (failed(items))
    return failure();
  std::vector<Share> shares;
  int64_t total = 0;
  for (const LayerItem &item : *items) {
    shares.push_back({item, total, {}});
    total += item.count;
  }
  if (total == 0)
    return op.emitError() << "expected at least one expert, found none in '" << op.getLayers()->str() << "'";
  if (rows && total != rows->experts)
    return op.emitError() << "expected as many experts as routing '" << rows->path << "' has, "
                          << rows->experts << ", found " << total << " in '" << op.getLayers()->str() << "'";
  FailureOr<SmallVector<Record>> yields = expandShares(in, op, inputs, rows, shares);
  if (failed(yields) || (rows && failed(bindRows(in, op, rows, *yields))))
    return failure();
  return in.bindResults(op, *yields, *shares.front().item.closure);
}

LogicalResult ExpertsOp::expand(Expander &in) {
  FailureOr<SmallVector<Record>> inputs = in.records(*this, getX());
  if (failed(inputs))
    return failure();
  if (in.weights.at) {
    InFlightDiagnostic diag = emitError() << "experts inside experts are not compiled yet";
    diag.attachNote(in.weights.at->getLoc()) << "the outer experts";
    return diag;
  }
  std::shared_ptr<RowSpace> rows;
  if (failed(expertInputs(in, *this, *inputs, rows)))
    return failure();
  if (getLayers())
    return expandSeveral(in, *this, *inputs, rows);
  FailureOr<std::shared_ptr<Closure>> closure = in.env().layer(*this, *getLayer());
  if (failed(closure))
    return failure();
  Weights weights;
  weights.rows = rows;
  weights.at = *this;
  weights.base = in.path(getPath());
  if (getWeights()) {
    FailureOr<std::shared_ptr<Bundle>> bundle = generatedWeights(in, *this, **closure, rows.get());
    if (failed(bundle))
      return failure();
    weights.bundle = *bundle;
  } else if (getCount()) {
    FailureOr<int64_t> count = in.env().positive(*this, *getCount(), "'count'");
    if (failed(count))
      return failure();
    if (rows && *count != rows->experts)
      return emitError() << "expected as many experts as routing '" << rows->path << "' has, "
                         << rows->experts << ", found " << *count << "; 'count' may be omitted";
    weights.experts = *count;
  } else if (rows) {
    weights.experts = rows->experts;
  } else {
    return emitError()
           << "experts with weights of their own need 'count = n' on a value that was not dispatched";
  }
  llvm::SaveAndRestore guard(in.weights, weights);
  FailureOr<SmallVector<Record>> yields = in.apply(*this, getPath(), **closure, *inputs);
  if (failed(yields) || (rows && failed(bindRows(in, *this, rows, *yields))))
    return failure();
  return in.bindResults(*this, *yields, **closure);
}

LogicalResult CombineOp::expand(Expander &in) {
  if (failed(checkRoutingFirst(in, *this, getRoute(), getX())))
    return failure();
  FailureOr<Routing> route = in.routing(*this, getRoute());
  if (failed(route))
    return failure();
  if (route->top)
    return combineRows(in, *this, *route);
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  if (!x->experts || x->type().getDimSize(0) != route->experts) {
    InFlightDiagnostic diag = emitError() << "expected results of " << route->experts << " experts, found "
                                          << shapeText(*x);
    in.noteMade(diag, getX());
    in.noteMade(diag, getRoute());
    return diag;
  }
  if (failed(checkTokens(in, *this, *route, getX(), x->sample())))
    return failure();
  // Labels: expert 0, batch 1, the sample's axes. Experts that yield parameters have one result for all samples.
  SmallVector<int64_t> gates{1}, axes{0}, out{1};
  if (x->batch)
    axes.push_back(1);
  for (unsigned i = 0; i < x->rank(); ++i) {
    axes.push_back(2 + i);
    out.push_back(2 + i);
  }
  SmallVector<flow::Extent> extents{in.batch()};
  for (auto [i, tokens] : llvm::enumerate(route->tokens)) {
    gates.push_back(2 + i);
    extents.push_back(flow::Extent::constant(getContext(), tokens));
  }
  gates.push_back(0);
  extents.push_back(flow::Extent::constant(getContext(), route->experts));
  Value shares = flow::reshape(in.builder, in.loc(*this), route->gates, extents);
  in.set(getY(),
         {flow::contract(in.builder, in.loc(*this), shares, gates, x->value, axes, out), false, true});
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
