// Loads an epilogue's inputs and stores its outputs; see MicroEpilogue.h.
#include "passes/cpu/micro/MicroEpilogue.h"

using namespace mlir;

namespace moe::cpu {

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
