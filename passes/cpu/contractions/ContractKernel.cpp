// Offsets and stores for all kernels of a contraction; see ContractKernel.h.
#include "passes/cpu/contractions/ContractKernel.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace moe::cpu {

ContractKernel::ContractKernel(const ContractGroup &group, KernelModule &module, llvm::StringRef kind)
    : group(group), form(group.form), plan(group.plan), kernel(module.begin(kind, group.op->getLoc())),
      code(kernel) {}

Value ContractKernel::buffer(plan::Access access, const ContractBuffer &bound) {
  return kernel.floats(access, bound.ref, bound.elements);
}

void ContractKernel::bindOffsets() {
  offsets = kernel.buffer(plan::Access::read, plan::Element::i32, group.offsets.ref,
                          plan::fromExtent(group.offsets.elements));
  if (form.loads)
    index = kernel.buffer(plan::Access::read, plan::Element::i32, group.index.ref,
                          plan::fromExtent(group.index.elements));
}

Ix ContractKernel::indexAt(Ix row) {
  Type number = code.b.getI32Type();
  Value at = kernel.load(number, index, number, code.i64(row));
  return arith::ExtSIOp::create(code.b, code.loc, code.b.getI64Type(), at).getResult();
}

Value ContractKernel::hasRow(Ix row) {
  Ix at = indexAt(row);
  return code.both(code.less(-1, at), code.less(at, code.size(form.loads->tableRows)));
}

void ContractKernel::bindLive() {
  live = kernel.buffer(plan::Access::read, plan::Element::u8, group.live.ref,
                       plan::fromExtent(group.live.elements));
}

Value ContractKernel::hasLive(Ix begin, Ix end) {
  const Ix run = code.size(form.live->run);
  Type byte = code.b.getI8Type();
  Value none = arith::ConstantOp::create(code.b, code.loc, code.b.getI8IntegerAttr(0));
  Value found = code.loop(code.div(begin, run), code.add(code.div(code.sub(end, 1), run), 1), 1, {none},
                          [&](Ix number, Values before) {
                            Value own = kernel.load(byte, live, byte, code.i64(number));
                            return Values{arith::OrIOp::create(code.b, code.loc, before[0], own).getResult()};
                          })[0];
  return arith::CmpIOp::create(code.b, code.loc, arith::CmpIPredicate::ne, found, none);
}

Ix ContractKernel::tableRow(Ix row, ArrayRef<ContractAxis> axes) {
  Ix at = code.max(code.min(indexAt(row), code.sub(code.size(form.loads->tableRows), 1)), 0);
  return code.mul(at, code.size(axes.front().strides[form.loads->side]));
}

Ix ContractKernel::beginOf(Ix number) {
  // Whatever the offsets are, nothing beyond the rows is accessed, and no group begins before the one in front of it.
  Ix row = code.loop(0, code.add(number, 1), 1, {code.i64(0)}, [&](Ix before, Values largest) {
    Value begin = kernel.load(code.b.getI32Type(), offsets, code.b.getI32Type(), code.i64(before));
    Ix found = arith::ExtSIOp::create(code.b, code.loc, code.b.getI64Type(), begin).getResult();
    return Values{code.i64(code.max(largest[0], found))};
  })[0];
  row = code.min(row, code.size(form.groups->rows));
  return code.mul(row, code.size(form.groups->rowSize));
}

SmallVector<Ix> ContractKernel::unflatten(ArrayRef<ContractAxis> axes, Ix flat) {
  SmallVector<Ix> indices(axes.size());
  for (size_t i = axes.size(); i-- > 0;) {
    Ix extent = code.size(axes[i].extent);
    indices[i] = i == 0 ? flat : code.rem(flat, extent);
    flat = code.div(flat, extent);
  }
  return indices;
}

Ix ContractKernel::offset(ArrayRef<ContractAxis> axes, Ix flat, unsigned operand) {
  Ix sum = 0;
  for (auto [axis, index] : llvm::zip(axes, unflatten(axes, flat)))
    sum = code.add(sum, code.mul(index, code.size(axis.strides[operand])));
  return sum;
}

Ix ContractKernel::batchOffset(ArrayRef<Ix> batch, unsigned operand) {
  Ix sum = 0;
  for (auto [axis, index] : llvm::zip(form.batch, batch))
    sum = code.add(sum, code.mul(index, code.size(axis.strides[operand])));
  return sum;
}

PackSource ContractKernel::columnsOfB(Value pointer, Ix base) {
  auto stepOffset = [this, base](Ix step) { return code.add(base, stepOf(step, 1)); };
  PackSource source{pointer, code.size(form.columns.strides[1]), code.size(form.columns.extent), stepOffset,
                    form.sums.size() == 1 && form.sums[0].strides[1].isConstant(1)};
  if (form.loadsSteps(1)) {
    source.unitSteps = false;
    source.exists = [this](Ix step) { return hasRow(step); };
  }
  return source;
}

void ContractKernel::storeResults(ArrayRef<Ix> batch, Ix row, Ix column, Value mask, Value sums) {
  auto stride = [&](unsigned operand) { return code.size(form.columns.strides[operand]); };
  auto where = [&](unsigned operand) {
    Ix at = code.add(batchOffset(batch, operand), offset(form.rowsOf(operand), row, operand));
    return code.add(at, code.mul(column, stride(operand)));
  };
  group.epilogue.store(
      code, ports, sums, mask, [&](unsigned port) { return where(form.firstInput + port); },
      [&](unsigned port) { return stride(form.firstInput + port); });
}

} // namespace moe::cpu
