#include "frontends/driver/Context.h"
#include "frontends/driver/Dialects.h"

using namespace mlir;

namespace moe {

std::unique_ptr<MLIRContext> makeContext() {
  DialectRegistry registry;
  registerDialects(registry);
  auto context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->printOpOnDiagnostic(false);
  return context;
}

} // namespace moe
