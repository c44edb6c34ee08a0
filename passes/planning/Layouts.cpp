#include "passes/planning/Layouts.h"
#include "mlir/IR/BuiltinAttributes.h"

using namespace mlir;

namespace moe {

static constexpr llvm::StringLiteral attributeName = "layouts";

cpu::Layout physicalLayout(Value value) {
  auto result = llvm::dyn_cast<OpResult>(value);
  auto layouts = result ? result.getOwner()->getAttrOfType<ArrayAttr>(attributeName) : ArrayAttr();
  if (!layouts || result.getResultNumber() >= layouts.size())
    return {};
  return cpu::Layout(llvm::cast<DenseI64ArrayAttr>(layouts[result.getResultNumber()]).asArrayRef());
}

void setPhysicalLayout(OpResult result, ArrayRef<int64_t> order) {
  Operation *op = result.getOwner();
  SmallVector<Attribute> layouts(op->getNumResults(), DenseI64ArrayAttr::get(op->getContext(), {}));
  if (auto present = op->getAttrOfType<ArrayAttr>(attributeName))
    layouts.assign(present.begin(), present.end());
  layouts[result.getResultNumber()] = DenseI64ArrayAttr::get(op->getContext(), order);
  op->setAttr(attributeName, ArrayAttr::get(op->getContext(), layouts));
}

} // namespace moe
