// Runs an epilogue on vectors; see MicroEpilogue.h. A step is computed by the scalar body of its op
// (ComputeInterface), which also works on vectors.
#include "passes/cpu/micro/MicroEpilogue.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace moe::cpu {

Values MicroEpilogue::emit(MicroCode &code, Value sums, llvm::function_ref<Value(unsigned)> read) const {
  Values made;
  for (const EpilogueStep &step : steps()) {
    switch (step.kind) {
    case EpilogueStep::root:
      made.push_back(sums);
      break;
    case EpilogueStep::input:
      made.push_back(read(step.index));
      break;
    case EpilogueStep::constant: {
      Type element = getElementTypeOrSelf(step.op->getResult(0).getType());
      auto type = VectorType::get({code.lanes}, element);
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

Values MicroEpilogue::bind(KernelBuilder &kernel) const {
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

void MicroEpilogue::store(MicroCode &code, ArrayRef<Value> ports, Value sums, Value mask,
                          llvm::function_ref<Ix(unsigned)> where,
                          llvm::function_ref<Ix(unsigned)> stride) const {
  Values values = emit(code, sums, [&](unsigned i) -> Value {
    Ix step = stride(i);
    if (inputs()[i].element == plan::Element::u8)
      return code.loadMask(ports[i], where(i), step, mask);
    if (step.is(0))
      return code.splat(code.loadScalar(ports[i], where(i)));
    return code.loadStrided(ports[i], where(i), step, mask);
  });
  for (auto [i, value] : llvm::enumerate(values)) {
    unsigned port = inputs().size() + i;
    if (outputs()[i].element == plan::Element::u8)
      code.storeMask(value, ports[port], where(port), stride(port), mask);
    else
      code.storeStrided(value, ports[port], where(port), stride(port), mask);
  }
}

void MicroEpilogue::storeAt(MicroCode &code, ArrayRef<Value> ports, Value sums, Value mask, ArrayRef<Ix> at,
                            unsigned laneAxis) const {
  auto where = [&](unsigned port) {
    Ix offset = 0;
    for (auto [index, stride] : llvm::zip_equal(at, strides(port)))
      offset = code.add(offset, code.mul(index, code.size(stride)));
    return offset;
  };
  store(code, ports, sums, mask, where, [&](unsigned port) { return code.size(strides(port)[laneAxis]); });
}

} // namespace moe::cpu
