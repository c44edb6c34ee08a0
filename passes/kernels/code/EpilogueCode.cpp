// See EpilogueCode.h.
#include "passes/kernels/code/EpilogueCode.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace moe::kernels {

Values EpilogueCode::emit(IndexCode &code, Value root, llvm::function_ref<Value(unsigned)> read) const {
  Values made;
  for (const EpilogueStep &step : steps()) {
    switch (step.kind) {
    case EpilogueStep::root:
      made.push_back(root);
      break;
    case EpilogueStep::input:
      made.push_back(read(step.index));
      break;
    case EpilogueStep::constant: {
      Type element = getElementTypeOrSelf(step.op->getResult(0).getType());
      auto type = VectorType::get(cast<VectorType>(root.getType()).getShape(), element);
      const double number = *cast<flow::NumberInterface>(step.op).number().value;
      Attribute splat = element.isF32() ? Attribute(code.b.getF32FloatAttr(number))
                                        : Attribute(code.b.getIntegerAttr(element, int64_t(number)));
      made.push_back(arith::ConstantOp::create(code.b, code.loc, DenseElementsAttr::get(type, splat)));
      break;
    }
    case EpilogueStep::compute: {
      Values operands;
      for (unsigned operand : step.operands)
        operands.push_back(made[operand]);
      made.push_back(cast<flow::ComputeInterface>(step.op).buildScalar(code.b, code.loc, operands));
    }
    }
  }
  Values results;
  for (const EpilogueOutput &output : outputs())
    results.push_back(made[output.step]);
  return results;
}

Values EpilogueCode::bind(KernelCode &kernel) const {
  Values ports;
  auto add = [&](plan::Access access, plan::Element element, BufferRef bound) {
    flow::Extent elements = flow::elementsOf(typeOf(ports.size()));
    ports.push_back(kernel.buffer(access, element, bound, plan::fromExtent(elements)));
  };
  for (const EpilogueInput &input : inputs())
    add(plan::Access::read, input.element, {BufferRef::operand, input.operand});
  for (const EpilogueOutput &output : outputs())
    add(plan::Access::write, output.element, {BufferRef::result, output.result});
  return ports;
}

} // namespace moe::kernels
