// Which emitter a group's kind names.
#include "dialects/flow/Flow.h"
#include "passes/cpu/KernelEmitter.h"

namespace moe::cpu {

mlir::FailureOr<GroupCode> emitGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  llvm::StringRef kind = group.getKind();
  if (kind == "loop")
    return emitLoopGroup(group, layouts, module);
  if (kind == "contract")
    return emitContractGroup(group, layouts, module);
  if (kind == "conv")
    return emitConvGroup(group, layouts, module);
  return group.emitError("expected a group of kind loop, contract or conv, found '") << kind << "'";
}

} // namespace moe::cpu
