// The algorithm:
//   1. Rank-4 values are put into one family if an op (elementwise, slice and the like) reads one along the
//      axes of the other.
//   2. A family with a convolution's image in it becomes NHWC.
//   3. Exceptions stay row-major: boundary values, and values whose reshape would otherwise need a copy (a
//      reshape in front of a contraction, an output or an assignment).
// Kernels address every value by its own strides, so values of one family may differ: a layout only affects
// speed.
#include "passes/kernels/ConvolutionLayouts.h"
#include "llvm/ADT/EquivalenceClasses.h"

using namespace mlir;

namespace moe::kernels {

/// The operands whose axes correspond to the result's axes, whatever indices the op reads along them.
static SmallVector<Value> tiedOperands(Operation *op) {
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  if (!compute || compute.computeKind() == flow::ComputeKind::emitter ||
      compute.computeKind() == flow::ComputeKind::generator)
    return {};
  if (op->hasTrait<flow::Elementwise>())
    return llvm::to_vector(op->getOperands());
  SmallVector<Value> tied;
  for (auto [operand, access] : llvm::zip_equal(op->getOperands(), compute.accesses())) {
    auto own = [&](auto each) {
      auto [axis, index] = each;
      for (unsigned dim = 0; dim < access.map.getNumDims(); ++dim)
        if (index.isFunctionOfDim(dim) != (dim == axis))
          return false;
      return true;
    };
    if (llvm::all_of(llvm::enumerate(access.map.getResults()), own))
      tied.push_back(operand);
  }
  return tied;
}

static bool isImage(Value value) { return cast<RankedTensorType>(value.getType()).getRank() == 4; }

llvm::DenseMap<Value, Layout> convolutionLayouts(flow::EntryOp entry) {
  llvm::EquivalenceClasses<void *> families;
  llvm::SmallVector<Value> images, seeds;
  auto key = [](Value value) { return const_cast<void *>(value.getAsOpaquePointer()); };
  for (Operation &op : entry.getBody().front()) {
    for (Value result : op.getResults())
      if (isImage(result))
        images.push_back(result), families.insert(key(result));
    // A filter (the second operand) is a parameter or computed from one, and no image.
    if (isa<flow::ConvOp, flow::ConvInputGradOp>(op))
      seeds.append({op.getOperand(0), op.getResult(0)});
    else if (isa<flow::ConvWeightGradOp>(op))
      seeds.append({op.getOperand(0), op.getOperand(1)});
    if (op.getNumResults() != 1 || !isImage(op.getResult(0)))
      continue;
    for (Value operand : tiedOperands(&op))
      if (isImage(operand))
        families.unionSets(key(operand), key(op.getResult(0)));
  }
  llvm::SmallDenseSet<void *> chosen;
  for (Value seed : seeds)
    chosen.insert(families.getLeaderValue(key(seed)));

  // Whether the value has to be row-major: for a reshape outside of groups, at the entry's boundary, as a
  // filter, or for attention. Identities such as barriers are followed, since their result is the same value.
  auto isViewed = [](Value value) {
    llvm::SmallVector<std::pair<Value, bool>> work = {{value, false}}; // whether it is of another shape
    while (!work.empty()) {
      auto [next, reshaped] = work.pop_back_val();
      for (OpOperand &use : next.getUses()) {
        Operation *user = use.getOwner();
        if (isa<flow::OutputOp, flow::AssignOp, flow::ExposeOp>(user))
          return true;
        const bool convolves = isa<flow::ConvOp, flow::ConvInputGradOp>(user);
        if (convolves && use.getOperandNumber() == 1)
          return true;
        if (isa<flow::AttentionOp, flow::AttentionGradOp>(user))
          return true;
        if (isa<flow::ReshapeOp>(user))
          work.push_back({user->getResult(0), true});
        else if (user->hasTrait<flow::Identity>())
          work.push_back({user->getResult(0), reshaped});
        else if (reshaped && (convolves || isa<flow::ContractOp, flow::ConvWeightGradOp>(user)))
          return true;
      }
    }
    return false;
  };
  llvm::DenseMap<Value, Layout> layouts;
  for (Value image : images) {
    if (isa<flow::InputOp, flow::ParameterOp, flow::StateOp, flow::AttentionOp, flow::AttentionGradOp>(
            image.getDefiningOp()))
      continue;
    if (!chosen.contains(families.getLeaderValue(key(image))) || isViewed(image))
      continue;
    layouts[image] = Layout{0, 2, 3, 1};
  }
  return layouts;
}

} // namespace moe::kernels
