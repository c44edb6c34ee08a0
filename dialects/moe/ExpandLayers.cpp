// Ops that apply layers: apply and chain.
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"

using namespace mlir;
using namespace moe;

/// More layers than this in one list are a slip of the hand, not a model.
static constexpr size_t maxLayers = 4096;

LogicalResult ApplyOp::expand(Expander &in) {
  FailureOr<std::shared_ptr<Closure>> closure = in.env().layer(*this, getLayer());
  FailureOr<SmallVector<Record>> inputs = in.records(*this, getX());
  if (failed(closure) || failed(inputs))
    return failure();
  if (getWeights())
    return emitError() << "'apply ... weights' (weights written for each sample) is not compiled yet; "
                          "'experts ... weights' runs every set of weights on every row";
  FailureOr<SmallVector<Record>> yields = in.apply(*this, getPath(), **closure, *inputs);
  return failed(yields) ? failure() : in.bindResults(*this, *yields, **closure);
}

/// Adds the items of a list with counts.
static LogicalResult flatten(Expander &in, Operation *op, ExprAttr e, StringRef what,
                             std::vector<LayerItem> &list, size_t &total) {
  auto limit = [&](size_t found) {
    return op->emitError() << "expected at most " << maxLayers << " " << what << ", found " << found;
  };
  auto add = [&](const LayerItem &item) -> LogicalResult {
    list.push_back(item);
    total += size_t(item.count);
    return total > maxLayers ? LogicalResult(limit(total)) : success();
  };
  if (e.getKind() == ExprKind::List) {
    for (Attribute item : e.getArgs())
      if (failed(flatten(in, op, cast<ExprAttr>(item), what, list, total)))
        return failure();
    return success();
  }
  if (e.getKind() == ExprKind::Layer) {
    FailureOr<std::shared_ptr<Closure>> closure = in.env().layer(op, e);
    return failed(closure) ? failure() : add({*closure, 1});
  }
  if (e.getKind() != ExprKind::Mul)
    return op->emitError() << "expected a layer, a list, or a count times one of them, found '" << e.str()
                           << "'";
  FailureOr<int64_t> count = in.env().size(op, e.arg(0));
  if (failed(count))
    return failure();
  if (*count < 0 || *count > int64_t(maxLayers))
    return op->emitError() << "expected a count from 0 to " << maxLayers << ", found " << *count << " from '"
                           << e.arg(0).str() << "'";
  std::vector<LayerItem> once;
  size_t inOnce = 0;
  if (failed(flatten(in, op, e.arg(1), what, once, inOnce)))
    return failure();
  if (total + size_t(*count) * inOnce > maxLayers)
    return limit(total + size_t(*count) * inOnce);
  if (once.size() == 1)
    return *count == 0 ? success() : add({once.front().closure, *count * once.front().count});
  for (int64_t i = 0; i < *count; ++i)
    for (const LayerItem &item : once)
      if (failed(add(item)))
        return failure();
  return success();
}

FailureOr<std::vector<LayerItem>> moe::layerItems(Expander &in, Operation *op, ExprAttr e, StringRef what) {
  std::vector<LayerItem> list;
  size_t total = 0;
  if (failed(flatten(in, op, e, what, list, total)))
    return failure();
  return list;
}

LogicalResult ChainOp::expand(Expander &in) {
  FailureOr<std::vector<LayerItem>> items = layerItems(in, *this, getList(), "layers in a chain");
  if (failed(items))
    return failure();
  std::vector<std::shared_ptr<Closure>> list;
  for (const LayerItem &item : *items)
    list.insert(list.end(), size_t(item.count), item.closure);
  double first = 0, last = 0;
  if (getRamp()) {
    FailureOr<double> from = in.env().number(*this, *getFirst()), to = in.env().number(*this, *getLast());
    if (failed(from) || failed(to))
      return failure();
    first = *from, last = *to;
  }
  FailureOr<SmallVector<Record>> values = in.records(*this, getX()), with = in.records(*this, getWith());
  if (failed(values) || failed(with))
    return failure();
  bool ramped = false;
  for (size_t i = 0; i < list.size(); ++i) {
    Closure closure = *list[i];
    if (getRamp()) {
      auto params = closure.layer.getParams().getAsRange<ParamAttr>();
      bool given = false;
      size_t positional = 0;
      for (auto &arg : closure.args) {
        positional += arg.first.empty();
        given |= arg.first == *getRamp();
      }
      for (auto [at, param] : llvm::enumerate(params))
        if (param.getName() == *getRamp() && param.getKind() == "number" && at >= positional && !given) {
          double part = list.size() > 1 ? double(i) / double(list.size() - 1) : 0;
          closure.args.emplace_back(getRamp()->str(), Binding{first + (last - first) * part});
          ramped = true;
        }
    }
    llvm::append_range(*values, *with);
    FailureOr<SmallVector<Record>> next =
        in.apply(*this, (getPath() + "." + Twine(i)).str(), closure, *values);
    if (failed(next))
      return failure();
    if (next->size() != 1) {
      InFlightDiagnostic diag = emitError()
                                << "expected layers of one value in a chain, found '@"
                                << closure.layer.getSymName() << "', which yields " << next->size();
      diag.attachNote(closure.layer.getLoc()) << "declared here";
      return diag;
    }
    values = std::move(next);
  }
  if (getRamp() && !ramped && !list.empty())
    return emitError() << "expected a layer with a number parameter '" << *getRamp()
                       << "' left open to ramp, found none in the chain";
  in.set(getY(), Record{values->front().is, getY().getLoc()});
  return success();
}
