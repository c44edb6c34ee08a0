#include "passes/kernels/GroupCode.h"
#include "dialects/plan/FromFlow.h"

namespace moe::kernels {

BufferRef GroupCode::addTemporary(const flow::Extent &elements, llvm::StringRef name, plan::Element element) {
  temporaries.push_back({element, plan::fromExtent(elements), name.str()});
  return {BufferRef::temporary, unsigned(temporaries.size() - 1)};
}

} // namespace moe::kernels
