// Emits a contraction's group as up to three kernels:
//   1. the packing of B into panels, if the product does not pack them itself;
//   2. the product (ContractProduct.h);
//   3. the sum of the parts, if the sum is cut into parts.
// ContractForm.h has the common form of all contractions, and ContractPlan.h the choice of blocks.
#include "passes/cpu/contractions/ContractProduct.h"

using namespace mlir;

namespace moe::cpu {
namespace {

/// The axes of B's matrices: the batch axes that B has, and the groups' axis. Along the others, all batch indices use
/// the same packed panels.
SmallVector<ContractAxis> batchOfB(const ContractForm &form) {
  SmallVector<ContractAxis> axes;
  for (const ContractAxis &axis : form.batch)
    if (!axis.strides[1].isConstant(0))
      axes.push_back(axis);
  if (form.groupsRows())
    axes.push_back(form.groups->axis);
  return axes;
}

/// Packs all of B into group.panels. A unit is one panel.
LaunchSpec emitPack(const ContractGroup &group, KernelModule &module) {
  ContractKernel pack(group, module, "pack");
  MicroCode &code = pack.code;
  const ContractPlan &plan = group.plan;
  const int width = plan.width(code.lanes);
  const SmallVector<ContractAxis> batch = batchOfB(group.form);
  Value source = pack.buffer(plan::Access::read, group.b);
  Value target = pack.buffer(plan::Access::write, group.panels);
  Ix sums = code.size(group.form.sumExtent()), panels = code.size(plan.panels);
  code.loop(pack.kernel.begin(), pack.kernel.end(), 1, [&](Ix unit) {
    Ix base = pack.offset(batch, code.div(unit, panels), 1);
    PackSource from = pack.columnsOfB(source, base);
    // The panels of a chunk of the sum are adjacent, in the order in which a unit of the product uses them.
    Ix panel = code.rem(unit, panels), matrix = code.mul(code.mul(code.div(unit, panels), panels), sums);
    code.loop(0, sums, plan.depth, [&](Ix first) {
      Ix depth = code.min(plan.depth, code.sub(sums, first));
      Ix to = code.add(matrix, code.add(code.mul(first, panels), code.mul(panel, depth)));
      emitPackPanel(code, from, code.mul(panel, width), width, first, depth, target, code.mul(to, width));
    });
  });
  flow::Extent count = group.form.product(batch);
  return pack.kernel.finish("pack", count * plan.panels, flow::Extent::constant(group.form.context(), 0),
                            (group.b.elements + group.panels.elements) * kFloatBytes);
}

/// Adds the parts' sums in order and runs the epilogue. A unit is one row.
LaunchSpec emitSumOfParts(const ContractGroup &group, KernelModule &module) {
  ContractKernel sum(group, module, "matmul");
  MicroCode &code = sum.code;
  const ContractForm &form = group.form;
  Value parts = sum.buffer(plan::Access::read, group.parts);
  sum.bindEpilogue();
  Ix rows = code.size(form.rowExtent()), columns = code.size(form.columns.extent),
     count = code.size(group.plan.parts);
  Ix matrix = code.mul(rows, columns);
  code.loop(sum.kernel.begin(), sum.kernel.end(), 1, [&](Ix unit) {
    Ix row = code.rem(unit, rows), number = code.div(unit, rows);
    SmallVector<Ix> batch = sum.unflatten(form.batch, number);
    Ix base = code.add(code.mul(code.mul(number, count), matrix), code.mul(row, columns));
    code.loop(0, columns, code.lanes, [&](Ix column) {
      bool whole = columns.isStatic() && columns.known() % code.lanes == 0;
      Value mask = whole ? Value() : code.firstLanes(code.sub(columns, column));
      Values sums = code.loop(0, count, 1, {code.zero()}, [&](Ix part, Values carried) {
        Value value = code.load(parts, code.add(code.add(base, column), code.mul(part, matrix)), mask);
        return Values{code.addf(carried[0], value)};
      });
      sum.storeResults(batch, row, column, mask, sums[0]);
    });
  });
  const flow::Extent size = group.parts.elements;
  return sum.kernel.finish("contract", form.batchExtent() * form.rowExtent(), size, size * kFloatBytes,
                           /*grain=*/8);
}

GroupCode emitContract(ContractGroup &group, KernelModule &module) {
  const ContractForm &form = group.form;
  const ContractPlan &plan = group.plan;
  GroupCode result;
  if (plan.packing == ContractPlan::Packing::ahead) {
    flow::Extent size =
        form.product(batchOfB(form)) * plan.panels * form.sumExtent() * plan.width(module.target().lanes());
    group.panels = {result.addTemporary(size, "packed panels"), size};
    result.launches.push_back(emitPack(group, module));
  }
  if (plan.viaParts) {
    flow::Extent size = form.batchExtent() * plan.parts * form.rowExtent() * form.columns.extent;
    group.parts = {result.addTemporary(size, "parts of the sum"), size};
  }
  result.launches.push_back(ContractProduct(group, module).emit());
  if (plan.viaParts)
    result.launches.push_back(emitSumOfParts(group, module));
  return result;
}

} // namespace

FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                       KernelModule &module) {
  Operation *contract = group.getRoot();
  FailureOr<Epilogue> epilogue = Epilogue::of(group, contract, layouts);
  if (failed(epilogue))
    return failure();
  FailureOr<ContractForm> form = ContractForm::of(group, layouts, *epilogue);
  if (failed(form))
    return failure();
  ContractPlan plan = ContractPlan::of(*form, *epilogue, module.target());
  auto operand = [&](unsigned i) -> ContractBuffer {
    return {{BufferRef::operand, i}, flow::elementsOf(group.getInputs()[i].getType())};
  };
  ContractGroup parts{
      contract, std::move(*epilogue), *form, plan, operand(form->a), operand(form->b), {}, {}, {}, {}, {}};
  if (form->groups)
    parts.offsets = operand(form->groups->offsets);
  if (form->loads)
    parts.index = operand(form->loads->index);
  if (form->live)
    parts.live = operand(form->live->operand);
  return emitContract(parts, module);
}

} // namespace moe::cpu
