// Finds the operands and the epilogue of a convolution's group and calls the emitter of its direction:
// ConvPixels.cpp and ConvWeights.cpp, or the minimal filtering of Winograd.h where it is faster.
#include "passes/cpu/convolutions/Winograd.h"

using namespace mlir;

namespace moe::cpu {

FailureOr<GroupCode> emitConvGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  Operation *root = group.getRoot();
  FailureOr<Epilogue> epilogue = Epilogue::of(group, root, layouts);
  if (failed(epilogue))
    return failure();
  ConvOperand operands[2];
  for (unsigned i = 0; i < 2; ++i) {
    auto argument = dyn_cast<BlockArgument>(root->getOperand(i));
    if (!argument)
      return root->emitError("expected the operands of a convolution to be operands of its group");
    operands[i] = {{BufferRef::operand, argument.getArgNumber()},
                   physicalStrides(argument.getType(), layouts.operand(argument.getArgNumber())),
                   flow::elementsOf(argument.getType())};
  }
  Value first = root->getOperand(0), second = root->getOperand(1), result = root->getResult(0);
  bool forward = isa<flow::ConvOp>(root), inputGradient = isa<flow::ConvInputGradOp>(root);
  FailureOr<ConvShape> shape = forward         ? ConvShape::of(root, first, second, result)
                               : inputGradient ? ConvShape::of(root, result, second, first)
                                               : ConvShape::of(root, first, result, second);
  if (failed(shape))
    return failure();
  ConvGroup conv{root, std::move(*epilogue), *shape, operands[0], operands[1]};
  const bool weightGradient = !forward && !inputGradient;
  if (prefersWinograd(conv, module.target()))
    return weightGradient ? emitWinogradWeightGradient(conv, module) : emitWinogradPass(conv, module);
  if (weightGradient)
    return emitWeightGradient(conv, module);
  PixelPass pass = forward ? PixelPass::forward(*shape) : PixelPass::inputGradient(*shape);
  return emitPixelPass(conv, pass, conv.first, conv.second, module);
}

} // namespace moe::cpu
