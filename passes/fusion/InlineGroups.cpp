// --moe-inline-groups: replaces every group by its ops. A group is no more than a region around ordinary ops,
// so the result means the same as the program before fusion.
#include "dialects/flow/Flow.h"
#include "passes/fusion/Fusion.h"

using namespace mlir;

namespace moe {
namespace {

struct InlineGroups : PassWrapper<InlineGroups, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(InlineGroups)
  StringRef getArgument() const override { return "moe-inline-groups"; }
  StringRef getDescription() const override { return "put every group's ops where the group was"; }

  void runOnOperation() override {
    SmallVector<flow::GroupOp> groups;
    getOperation().walk([&](flow::GroupOp group) { groups.push_back(group); });
    for (flow::GroupOp group : groups) {
      Block &body = group.getBody().front();
      for (auto [argument, input] : llvm::zip_equal(body.getArguments(), group.getInputs()))
        argument.replaceAllUsesWith(input);
      Operation *yield = body.getTerminator();
      for (auto [result, value] : llvm::zip_equal(group.getResults(), yield->getOperands()))
        result.replaceAllUsesWith(value);
      yield->erase();
      group->getBlock()->getOperations().splice(group->getIterator(), body.getOperations());
      group.erase();
    }
  }
};
PassRegistration<InlineGroups> registration;

} // namespace

std::unique_ptr<Pass> createInlineGroupsPass() { return std::make_unique<InlineGroups>(); }

} // namespace moe
