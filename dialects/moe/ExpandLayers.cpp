// Ops that apply layers: apply and chain.
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"

using namespace mlir;
using namespace moe;

/// More layers than this in one chain are a slip of the hand, not a model.
static constexpr size_t maxChain = 4096;

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

/// The layers of a list with counts, in order.
static LogicalResult flatten(Expander &in, Operation *op, ExprAttr e,
                             std::vector<std::shared_ptr<Closure>> &list) {
  if (list.size() > maxChain)
    return op->emitError() << "expected at most " << maxChain << " layers in a chain, found more";
  if (e.getKind() == ExprKind::List) {
    for (Attribute item : e.getArgs())
      if (failed(flatten(in, op, cast<ExprAttr>(item), list)))
        return failure();
    return success();
  }
  if (e.getKind() == ExprKind::Layer) {
    FailureOr<std::shared_ptr<Closure>> closure = in.env().layer(op, e);
    if (failed(closure))
      return failure();
    list.push_back(*closure);
    return success();
  }
  if (e.getKind() != ExprKind::Mul)
    return op->emitError() << "expected a layer, a list, or a count times one of them, found '" << e.str()
                           << "'";
  FailureOr<int64_t> count = in.env().size(op, e.arg(0));
  if (failed(count))
    return failure();
  if (*count < 0 || *count > int64_t(maxChain))
    return op->emitError() << "expected a count from 0 to " << maxChain << ", found " << *count << " from '"
                           << e.arg(0).str() << "'";
  std::vector<std::shared_ptr<Closure>> once;
  if (failed(flatten(in, op, e.arg(1), once)))
    return failure();
  if (list.size() + *count * once.size() > maxChain)
    return op->emitError() << "expected at most " << maxChain << " layers in a chain, found "
                           << list.size() + *count * once.size();
  for (int64_t i = 0; i < *count; ++i)
    llvm::append_range(list, once);
  return success();
}

LogicalResult ChainOp::expand(Expander &in) {
  std::vector<std::shared_ptr<Closure>> list;
  if (failed(flatten(in, *this, getList(), list)))
    return failure();
  double first = 0, last = 0;
  if (getRamp()) {
    FailureOr<double> from = in.env().number(*this, *getFirst()), to = in.env().number(*this, *getLast());
    if (failed(from) || failed(to))
      return failure();
    first = *from, last = *to;
  }
  FailureOr<SmallVector<Record>> values = in.records(*this, getX());
  if (failed(values))
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
