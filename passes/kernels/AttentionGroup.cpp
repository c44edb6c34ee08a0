#include "passes/kernels/AttentionGroup.h"

using namespace mlir;

namespace moe::kernels {

/// The mask of an operand that can be skipped, if it lies along one of the axes that count problems.
static std::optional<AttentionGroup::Live> liveProblems(flow::SkippableOp skippable) {
  auto spread = skippable.getLive().getDefiningOp<flow::BroadcastOp>();
  std::optional<SmallVector<int64_t>> axes = spread ? flow::axesOfView(spread) : std::nullopt;
  auto mask = spread ? dyn_cast<BlockArgument>(spread.getX()) : BlockArgument();
  const SmallVector<flow::Extent> extents = flow::extentsOf(skippable.getX());
  if (!mask || !axes || axes->size() != 1 || axes->front() != 0 || extents.size() < 3)
    return std::nullopt;
  flow::Extent run = flow::Extent::constant(mask.getContext(), 1);
  for (const flow::Extent &extent : ArrayRef(extents).drop_front().drop_back(2))
    run = run * extent;
  return AttentionGroup::Live{
      {BufferRef::operand, mask.getArgNumber()}, flow::elementsOf(mask.getType()), run};
}

FailureOr<AttentionGroup> AttentionGroup::of(flow::GroupOp group) {
  Operation *root = group.getRoot();
  for (Operation &op : group.getBody().front().without_terminator())
    if (&op != root && !isa<flow::SkippableOp, flow::BroadcastOp>(op))
      return group.emitError("expected nothing beside attention in its group, found '")
             << op.getName() << "'";
  AttentionGroup found{root, {}, 0, 0, {}, {}, {}};
  if (auto forward = dyn_cast<flow::AttentionOp>(root)) {
    found.shape = flow::AttentionShape::of(forward);
    found.scale = float(forward.getScale().convertToDouble());
    found.inputs = forward.getInputs().size();
  } else {
    auto backward = cast<flow::AttentionGradOp>(root);
    found.shape = flow::AttentionShape::of(backward);
    found.scale = float(backward.getScale().convertToDouble());
    found.inputs = backward.getInputs().size();
  }
  for (Value operand : root->getOperands()) {
    if (auto skippable = operand.getDefiningOp<flow::SkippableOp>()) {
      operand = skippable.getX();
      if (!found.live)
        found.live = liveProblems(skippable);
    }
    if (!isa<BlockArgument>(operand))
      return group.emitError("expected operands of attention that are its group's, or that can be skipped");
    found.operands.push_back({BufferRef::operand, cast<BlockArgument>(operand).getArgNumber()});
  }
  found.results.resize(root->getNumResults());
  for (auto [i, yielded] : llvm::enumerate(group.getBody().front().getTerminator()->getOperands())) {
    std::optional<BufferRef> *result =
        yielded.getDefiningOp() == root ? &found.results[cast<OpResult>(yielded).getResultNumber()] : nullptr;
    if (!result || *result)
      return group.emitError("expected each result of attention's group to be another result of attention");
    *result = BufferRef{BufferRef::result, unsigned(i)};
  }
  return found;
}

flow::Extent AttentionGroup::bytes() const {
  flow::Extent sum = flow::Extent::constant(root->getContext(), 0);
  llvm::SmallDenseSet<Value> seen;
  for (Value operand : root->getOperands())
    if (seen.insert(operand).second)
      sum = sum + flow::bytesOf(operand.getType());
  for (auto [result, value] : llvm::zip_equal(results, root->getResults()))
    if (result)
      sum = sum + flow::bytesOf(value.getType());
  return live ? sum + live->elements : sum;
}

} // namespace moe::kernels
