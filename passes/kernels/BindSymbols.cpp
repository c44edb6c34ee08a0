#include "passes/kernels/BindSymbols.h"
#include "mlir/IR/AttrTypeSubElements.h"

using namespace mlir;

namespace moe::kernels {

LogicalResult bindSymbols(flow::TargetOp target, const llvm::StringMap<int64_t> &values) {
  bool any = false;
  AttrTypeWalker symbols;
  std::string unbound;
  auto look = [&](flow::Extent extent) {
    for (StringRef name : extent.openSymbols()) {
      any = true;
      if (!values.contains(name) && unbound.empty())
        unbound = name.str();
    }
  };
  symbols.addWalk([&](flow::DimsAttr dims) { llvm::for_each(dims.getDims(), look); });
  symbols.addWalk([&](flow::ExtentAttr extent) { look(extent.getExtent()); });
  WalkResult found = target.walk([&](Operation *op) {
    symbols.walk(op->getAttrDictionary());
    for (Type type : op->getResultTypes())
      symbols.walk(type);
    if (unbound.empty())
      return WalkResult::advance();
    op->emitOpError("expected sizes over D, N and what the target '")
        << target.getName() << "' binds, found the symbol '" << unbound << "'";
    return WalkResult::interrupt();
  });
  if (found.wasInterrupted())
    return failure();
  if (!any)
    return success();

  for (auto &[name, value] : values)
    if (value < 1)
      return target.emitOpError("expected numbers of at least 1 for sizes' symbols, found ")
             << value << " for '" << name << "'";
  flow::Extent wrong; // what is no size once symbols are bound
  auto bound = [&](ArrayRef<flow::Extent> extents) {
    SmallVector<flow::Extent> all;
    for (flow::Extent extent : extents) {
      all.push_back(extent.bind(values));
      if (!all.back().evaluate({1, 1}) || all.back().constantValue().value_or(1) < 1)
        wrong = extent;
    }
    return all;
  };
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](RankedTensorType type) -> std::optional<std::pair<Type, WalkResult>> {
    auto dims = dyn_cast_or_null<flow::DimsAttr>(type.getEncoding());
    if (!dims)
      return std::nullopt;
    return {{flow::tensorType(bound(dims.getDims()), type.getElementType()), WalkResult::skip()}};
  });
  replacer.addReplacement([&](flow::ExtentAttr extent) -> Attribute {
    return flow::ExtentAttr::get(extent.getContext(), extent.getExtent().bind(values));
  });
  found = target.walk([&](Operation *op) {
    replacer.replaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
    if (!wrong)
      return WalkResult::advance();
    op->emitOpError("expected sizes of at least 1 with the symbols of the target '")
        << target.getName() << "', found " << wrong.str();
    return WalkResult::interrupt();
  });
  return failure(found.wasInterrupted());
}

} // namespace moe::kernels
