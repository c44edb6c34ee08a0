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
  std::shared_ptr<RowSpace> rows;
  for (auto [i, x] : llvm::enumerate(getX())) {
    const Record *found = in.record(x);
    auto *sent = found ? std::get_if<Dispatched>(&found->is) : nullptr;
    if (!sent && failed(in.tensor(*this, x)))
      return failure();
    if (i > 0 && rows != (sent ? sent->space : nullptr)) {
      InFlightDiagnostic diag = emitError()
                                << "expected rows that one 'dispatch' has in one order, or samples, for all "
                                   "values of the experts";
      in.noteMade(diag, getX().front());
      in.noteMade(diag, x);
      return diag;
    }
    if (!sent)
      continue;
    rows = sent->space;
    (*inputs)[i].is = Tensor{sent->value, false, true};
  }
  Weights weights;
  weights.rows = rows;
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
  if (failed(yields))
    return failure();
  if (rows)
    for (Record &each : *yields)
      if (auto *t = std::get_if<Tensor>(&each.is)) {
        Tensor all = t->experts && !t->batch ? byRow(in, *this, *t) : *t;
        if (!all.batch) {
          InFlightDiagnostic diag = emitError() << "expected results of each row of the experts, found "
                                                << shapeText(*t) << ", which is the same for all rows";
          diag.attachNote(each.at) << "made here";
          return diag;
        }
        each.is = Dispatched{all.value, rows};
      }
  return in.bindResults(*this, *yields, **closure);
}

LogicalResult CombineOp::expand(Expander &in) {
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
