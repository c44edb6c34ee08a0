#include "passes/kernels/Layouts.h"
#include "dialects/flow/Flow.h"
#include "mlir/IR/BuiltinAttributes.h"

using namespace mlir;

namespace moe::kernels {

static constexpr llvm::StringLiteral attributeName = "layouts";

Layout physicalLayout(Value value) {
  // On a group the attribute is verified; on any other op it means nothing.
  auto result = llvm::dyn_cast<OpResult>(value);
  const bool group = result && llvm::isa<flow::GroupOp>(result.getOwner());
  auto layouts = group ? result.getOwner()->getAttrOfType<ArrayAttr>(attributeName) : ArrayAttr();
  if (!layouts || result.getResultNumber() >= layouts.size())
    return {};
  return Layout(llvm::cast<DenseI64ArrayAttr>(layouts[result.getResultNumber()]).asArrayRef());
}

void setPhysicalLayout(OpResult result, ArrayRef<int64_t> order) {
  Operation *op = result.getOwner();
  SmallVector<Attribute> layouts(op->getNumResults(), DenseI64ArrayAttr::get(op->getContext(), {}));
  if (auto present = op->getAttrOfType<ArrayAttr>(attributeName))
    layouts.assign(present.begin(), present.end());
  layouts[result.getResultNumber()] = DenseI64ArrayAttr::get(op->getContext(), order);
  op->setAttr(attributeName, ArrayAttr::get(op->getContext(), layouts));
}

SmallVector<flow::Extent> physicalStrides(Type type, const Layout &layout) {
  SmallVector<flow::Extent> extents = flow::extentsOf(type);
  SmallVector<flow::Extent> strides(extents.size());
  flow::Extent stride = flow::Extent::constant(type.getContext(), 1);
  for (size_t i = extents.size(); i-- > 0;) {
    size_t axis = layout.empty() ? i : size_t(layout[i]);
    strides[axis] = stride;
    stride = stride * extents[axis];
  }
  return strides;
}

} // namespace moe::kernels
