#include "dialects/plan/FromFlow.h"
#include "runtime/base/Printable.h"

using namespace mlir;

namespace plan {

ExprAttr fromExtent(flow::Extent extent) {
  SmallVector<int64_t> steps;
  for (flow::Extent::Step step : extent.postfix())
    steps.append({static_cast<int64_t>(step.code), step.value});
  return ExprAttr::get(extent.getContext(), steps);
}

Element elementOf(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (element.isF64())
    return Element::f64;
  if (element.isBF16())
    return Element::bf16;
  if (element.isInteger(1) || element.isInteger(8))
    return Element::u8;
  if (element.isInteger(32))
    return Element::i32;
  if (element.isInteger(64))
    return Element::i64;
  assert(element.isF32());
  return Element::f32;
}

Origin originOf(Location location) {
  Origin origin;
  location->walk([&](Location inner) {
    if (auto name = llvm::dyn_cast<NameLoc>(inner)) {
      // "conv featurizer.stages.0.conv": the language's op, then the path of names (docs/architecture.md,
      // Locations).
      if (origin.op.empty()) {
        auto [op, path] = name.getName().getValue().split(' ');
        origin.op = op.str();
        origin.path = path.str();
      }
    } else if (auto file = llvm::dyn_cast<FileLineColLoc>(inner)) {
      origin.file = file.getFilename().str();
      origin.line = file.getLine();
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  for (std::string *text : {&origin.op, &origin.path, &origin.file})
    *text = moert::printable(text->substr(0, 1000), /*line=*/true); // at most four times as long
  return origin;
}

} // namespace plan
