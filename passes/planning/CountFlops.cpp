// --moe-count-flops: records on each entry the FLOPs of one image: the floating-point operations of
// contractions and convolutions, grouped ones included, which are sums of products with windows, with a multiply-add as two, as FLOPs of models are customarily counted. The
// pass runs before rematerialisation, so recomputation does not count. The number is the difference between
// the costs of two batch sizes; so work that does not grow with the batch (a hypernetwork's trunk, the
// optimiser) does not count either.
#include "dialects/flow/Windows.h"
#include "passes/planning/Passes.h"

using namespace mlir;

namespace moe {
namespace {

struct CountFlops : PassWrapper<CountFlops, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountFlops)
  StringRef getArgument() const override { return "moe-count-flops"; }
  StringRef getDescription() const override { return "note each entry's floating-point operations an image"; }

  void runOnOperation() override {
    getOperation().walk([&](flow::EntryOp entry) {
      const flow::Symbols few = {1, 64}, many = {1, 128};
      double total = 0;
      auto count = [&](const flow::Extent &flops) {
        std::optional<int64_t> low = flops.evaluate(few), high = flops.evaluate(many);
        if (low && high)
          total += double(*high - *low) / 64;
      };
      entry.walk([&](Operation *op) {
        auto reduce = dyn_cast<flow::ReduceOp>(op);
        if (auto cost = dyn_cast<flow::CostInterface>(op); cost && cost.cost().contraction)
          count(cost.cost().flops);
        else if (reduce && flow::sumsWindows(reduce))
          count(flow::elementsOf(reduce.getX().getType()) * 2);
      });
      entry->setAttr("flops_per_image", FloatAttr::get(Float64Type::get(&getContext()), total));
    });
  }
};
PassRegistration<CountFlops> registration;

} // namespace

std::unique_ptr<Pass> createCountFlopsPass() { return std::make_unique<CountFlops>(); }

} // namespace moe
