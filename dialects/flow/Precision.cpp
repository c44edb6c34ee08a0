// Reads the precision of products from a program's config; see Precision.h.
#include "dialects/flow/Precision.h"

using namespace mlir;

namespace flow {

std::optional<Precision> precisionNamed(StringRef name) {
  if (name == "f32")
    return Precision::f32;
  if (name == "tf32")
    return Precision::tf32;
  return std::nullopt;
}

std::string precisionNames() { return "'f32' or 'tf32'"; }

Precision precisionOf(Operation *op) {
  auto program = dyn_cast<ProgramOp>(op);
  if (!program)
    program = op->getParentOfType<ProgramOp>();
  auto config = program ? program->getAttrOfType<DictionaryAttr>("config") : DictionaryAttr();
  auto name = config ? config.getAs<StringAttr>(precisionKey) : StringAttr();
  // The program's verifier has checked the name.
  return name ? precisionNamed(name).value_or(Precision::f32) : Precision::f32;
}

} // namespace flow
