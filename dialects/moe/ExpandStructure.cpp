// Ends and annotations of bodies: yield, return, expose, default.
#include "dialects/flow/Build.h"
#include "dialects/moe/ExpandRoute.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace moe;

LogicalResult YieldOp::expand(Expander &in) {
  FailureOr<SmallVector<Record>> list = in.records(*this, getValues());
  if (failed(list))
    return failure();
  in.frame().yields = std::move(*list);
  return success();
}

LogicalResult ReturnOp::expand(Expander &in) {
  FailureOr<SmallVector<Record>> list = in.records(*this, getValues());
  if (failed(list))
    return failure();
  llvm::StringSet<> names;
  for (auto [name, record] : llvm::zip(getNames().getAsRange<StringAttr>(), *list)) {
    if (!names.insert(name.getValue()).second)
      return emitError() << "expected results of different names, found '" << name.getValue() << "' twice";
    in.results.emplace_back(name.getValue().str(), record);
  }
  return success();
}

/// [batch, tokens..., experts]
static Value gatesOfSamples(Expander &in, Location loc, const Routing &route) {
  SmallVector<flow::Extent> extents{in.batch()};
  for (int64_t tokens : route.tokens)
    extents.push_back(flow::Extent::constant(in.builder.getContext(), tokens));
  extents.push_back(flow::Extent::constant(in.builder.getContext(), route.experts));
  return flow::reshape(in.builder, loc, route.gates, extents);
}

LogicalResult ExposeOp::expand(Expander &in) {
  if (failed(refuseRows(in, *this)))
    return failure();
  const Record *found = in.record(getX());
  Value value;
  if (auto *t = found ? std::get_if<Tensor>(&found->is) : nullptr)
    value = t->value;
  else if (auto *r = found ? std::get_if<Routing>(&found->is) : nullptr)
    value = r->top ? choicesOf(in, in.loc(*this), *r) : gatesOfSamples(in, in.loc(*this), *r);
  else
    return emitError() << "expected a tensor or a routing to expose, found "
                       << (found ? recordText(*found) : "nothing");
  std::string path = in.path(getLabel());
  if (StringRef(path).contains('/'))
    return emitError()
           << "expected an exposed value's path without '/', since its output is written to a file of that "
              "name, found '"
           << path << "'";
  if (auto [first, fresh] = in.exposedNames.try_emplace(path, in.loc(*this)); !fresh) {
    InFlightDiagnostic diag = emitError() << "expected each exposed value once, found '" << path
                                          << "' a second time; a layer that is applied 'shared' cannot "
                                             "have one, so move it behind the layer";
    diag.attachNote(first->second) << "the first is here";
    return diag;
  }
  // A training step has nowhere to report to yet; an inference entry has one output more.
  if (in.training)
    flow::ExposeOp::create(in.builder, in.loc(*this), path, value);
  else
    flow::OutputOp::create(in.builder, in.loc(*this), in.builder.getStringAttr(path), value, flow::PartAttr(),
                           in.builder.getUnitAttr());
  return success();
}

LogicalResult DefaultOp::expand(Expander &in) { return in.setDefault(*this); }
