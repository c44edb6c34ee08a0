// Sorts a contraction's axes into batch, rows, columns and sums; see ContractForm.h.
#include "passes/kernels/ContractForm.h"

using namespace mlir;

namespace moe::kernels {

flow::Extent ContractForm::product(ArrayRef<ContractAxis> axes) const {
  flow::Extent all = flow::Extent::constant(context(), 1);
  for (const ContractAxis &axis : axes)
    all = all * axis.extent;
  return all;
}

flow::Extent ContractForm::products() const {
  ArrayRef<ContractAxis> others = batch;
  if (groupsSums())
    others = others.drop_front();
  return product(others) * rowExtent() * columns.extent * sumExtent();
}

/// Merges neighbouring axes that are contiguous in every operand that `counts`.
static void merge(
    SmallVector<ContractAxis> &axes,
    llvm::function_ref<bool(unsigned)> counts = [](unsigned) { return true; }) {
  for (size_t i = 0; i + 1 < axes.size();) {
    ContractAxis &outer = axes[i], &inner = axes[i + 1];
    bool joins = true;
    for (size_t operand = 0; operand < outer.strides.size(); ++operand)
      joins &= !counts(operand) || outer.strides[operand] == inner.strides[operand] * inner.extent;
    if (!joins) {
      ++i;
      continue;
    }
    inner.extent = outer.extent * inner.extent;
    axes.erase(axes.begin() + i);
  }
}

/// Outermost first by the strides of one operand at the planned batch: only speed depends on the order.
static void sortByStride(SmallVector<ContractAxis> &axes, unsigned operand, const flow::Symbols &batch) {
  auto sample = [&](const ContractAxis &axis) { return axis.strides[operand].evaluate(batch).value_or(0); };
  // By insertion: few axes, and equal ones keep their order.
  for (size_t i = 1; i < axes.size(); ++i)
    for (size_t j = i; j > 0 && sample(axes[j - 1]) < sample(axes[j]); --j)
      std::swap(axes[j - 1], axes[j]);
}

/// A contraction or grouped contraction.
struct Contraction {
  struct Operand {
    Value value;
    ArrayRef<int64_t> axes;
  };
  Operand a, b, out;
  /// Of a grouped one: the labels of the rows and of the groups, and the offsets; -1 and null otherwise.
  int64_t row = -1, group = -1;
  Value offsets = {};

  static Contraction of(Operation *op) {
    if (auto contract = dyn_cast<flow::ContractOp>(op))
      return {{contract.getA(), contract.getAAxes()},
              {contract.getB(), contract.getBAxes()},
              {contract.getY(), contract.getOutAxes()}};
    auto grouped = cast<flow::GroupedContractOp>(op);
    return {{grouped.getA(), grouped.getAAxes()},
            {grouped.getB(), grouped.getBAxes()},
            {grouped.getY(), grouped.getOutAxes()},
            int64_t(grouped.getRow()),
            int64_t(grouped.getGroup()),
            grouped.getOffsets()};
  }
};

/// The group's operand that a contraction reads, and its strides along the axes of the contraction. If its rows are
/// gathered, `gather` becomes the op.
static std::optional<unsigned> readOperand(Value value, const GroupLayouts &layouts,
                                           SmallVector<flow::Extent> &strides, flow::GatherOp &gather) {
  if (auto rows = value.getDefiningOp<flow::GatherOp>(); rows && !gather && flow::isRowLoad(rows)) {
    gather = rows;
    return readOperand(rows.getTable(), layouts, strides, gather);
  }
  if (auto skippable = value.getDefiningOp<flow::SkippableOp>())
    return readOperand(skippable.getX(), layouts, strides, gather);
  if (auto transpose = value.getDefiningOp<flow::TransposeOp>()) {
    SmallVector<flow::Extent> inner;
    std::optional<unsigned> operand = readOperand(transpose.getX(), layouts, inner, gather);
    if (operand)
      for (int64_t axis : transpose.getPerm())
        strides.push_back(inner[axis]);
    return operand;
  }
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument)
    return std::nullopt;
  strides = physicalStrides(value.getType(), layouts.operand(argument.getArgNumber()));
  return argument.getArgNumber();
}

/// The mask, an operand of the group, by which an operand of a contraction can be skipped, and the operand's axis along which
/// the mask lies; nothing if there is none.
static std::optional<std::pair<BlockArgument, int64_t>> liveAxisOf(Value value) {
  auto skippable = value.getDefiningOp<flow::SkippableOp>();
  auto spread = skippable ? skippable.getLive().getDefiningOp<flow::BroadcastOp>() : flow::BroadcastOp();
  std::optional<SmallVector<int64_t>> axes = spread ? flow::axesOfView(spread) : std::nullopt;
  auto mask = spread ? dyn_cast<BlockArgument>(spread.getX()) : BlockArgument();
  if (!mask || !axes || axes->size() != 1 || axes->front() < 0)
    return std::nullopt;
  return {{mask, axes->front()}};
}

/// What a mask along the outermost of `axes`, which has the given number as its stride in slot `slot`, leaves out.
static std::optional<LiveRows> liveRows(SmallVector<ContractAxis> axes, unsigned slot, BlockArgument mask,
                                        bool ofSums,
                                        llvm::function_ref<void(SmallVector<ContractAxis> &)> merge) {
  merge(axes);
  if (axes.empty() || axes.size() > 2 || !axes.front().strides[slot].isConstant(1) ||
      !llvm::all_of(llvm::drop_begin(axes),
                    [&](const ContractAxis &axis) { return axis.strides[slot].isConstant(0); }))
    return std::nullopt;
  const flow::Extent one = flow::Extent::constant(mask.getContext(), 1);
  return LiveRows{mask.getArgNumber(), ofSums, axes.size() == 2 ? axes.back().extent : one,
                  axes.front().extent};
}

bool followsFromParameters(Value value) {
  auto entry = value.getParentRegion()->getParentOfType<flow::EntryOp>();
  if (!entry || entry.getKind() != flow::EntryKind::infer)
    return false;
  llvm::SetVector<Value> needs;
  needs.insert(value);
  for (size_t i = 0; i < needs.size(); ++i) {
    Operation *op = needs[i].getDefiningOp();
    if (!op || isa<flow::InputOp, flow::ScalarOp, flow::RandomOp>(op) ||
        !cast<RankedTensorType>(needs[i].getType()).hasStaticShape())
      return false;
    needs.insert(op->operand_begin(), op->operand_end());
  }
  return true;
}

FailureOr<ContractForm> ContractForm::of(flow::GroupOp group, const GroupLayouts &layouts,
                                         const Epilogue &epilogue) {
  Operation *root = group.getRoot();
  Contraction contract = Contraction::of(root);
  MLIRContext *context = root->getContext();
  // Where the groups have matrices of an operand, that is B: rows are those of A.
  if (llvm::is_contained(contract.a.axes, contract.group))
    std::swap(contract.a, contract.b);
  SmallVector<flow::Extent> aStrides, bStrides;
  flow::GatherOp rowsOfA, rowsOfB;
  std::optional<unsigned> a = readOperand(contract.a.value, layouts, aStrides, rowsOfA);
  std::optional<unsigned> b = readOperand(contract.b.value, layouts, bStrides, rowsOfB);
  auto offsets = dyn_cast_if_present<BlockArgument>(contract.offsets);
  flow::GatherOp gather = rowsOfA ? rowsOfA : rowsOfB;
  auto index = gather ? dyn_cast<BlockArgument>(gather.getIndex()) : BlockArgument();
  if (!a || !b || (contract.offsets && !offsets) || (gather && !index) || (rowsOfA && rowsOfB))
    return root->emitError(
        "expected the operands of a contraction to be operands of its group, their transposes, or rows of "
        "one of them by an index that is an operand");
  const flow::Extent zero = flow::Extent::constant(context, 0), one = flow::Extent::constant(context, 1);
  struct Label {
    ContractAxis axis;
    bool inA = false, inB = false, inOut = false;
  };
  // Ordered by label, so that the form does not depend on addresses.
  std::map<int64_t, Label> labels;
  ContractForm form;
  form.a = *a;
  form.b = *b;
  form.columns.extent = one;
  form.plannedBatch = flow::plannedBatch(group);
  form.firstOutput = form.firstInput + epilogue.inputs().size();
  // Behind the operands' strides are those of the mask of what can be skipped.
  const unsigned liveSlot = form.firstOutput + epilogue.outputs().size(), operands = liveSlot + 1;
  auto label = [&](int64_t name, Value value, unsigned axis) -> Label & {
    Label &entry = labels[name];
    if (!entry.axis.extent)
      entry.axis = {flow::Extent::of(value, axis), SmallVector<flow::Extent>(operands, zero)};
    return entry;
  };
  for (auto [i, name] : llvm::enumerate(contract.a.axes)) {
    Label &entry = label(name, contract.a.value, i);
    entry.inA = true;
    entry.axis.strides[0] = aStrides[i];
  }
  for (auto [i, name] : llvm::enumerate(contract.b.axes)) {
    Label &entry = label(name, contract.b.value, i);
    entry.inB = true;
    entry.axis.strides[1] = bStrides[i];
  }
  for (auto [i, name] : llvm::enumerate(contract.out.axes)) {
    Label &entry = label(name, contract.out.value, i);
    entry.inOut = true;
    for (auto [j, input] : llvm::enumerate(epilogue.inputs()))
      entry.axis.strides[form.firstInput + j] = input.strides[i];
    for (auto [j, output] : llvm::enumerate(epilogue.outputs()))
      entry.axis.strides[form.firstOutput + j] = output.strides[i];
  }

  BlockArgument mask;
  for (const Contraction::Operand &side : {contract.a, contract.b})
    if (auto live = liveAxisOf(side.value); live && !mask && !contract.offsets) {
      mask = live->first;
      labels[side.axes[live->second]].axis.strides[liveSlot] = one;
    }
  SmallVector<ContractAxis> ofA, ofB;
  for (auto &[name, entry] : labels) {
    if (entry.axis.extent.isConstant(1) || name == contract.row || name == contract.group)
      continue;
    (!entry.inOut ? form.sums : !entry.inB ? ofA : !entry.inA ? ofB : form.batch).push_back(entry.axis);
  }
  // The result's innermost axes become the columns, since vectors are stored along them. In a product of a
  // vector and a matrix, the matrix gives the rows, which need no packing.
  auto hasInnermost = [&](ArrayRef<ContractAxis> axes) {
    return llvm::any_of(
        axes, [&](const ContractAxis &axis) { return axis.strides[form.firstOutput].isConstant(1); });
  };
  const bool groupsRows = contract.offsets && !labels[contract.group].inOut;
  if (gather)
    form.loads = {rowsOfA ? 0u : 1u, index.getArgNumber(), flow::Extent::of(gather.getTable(), 0)};
  if (hasInnermost(ofA) && !ofB.empty() && !groupsRows) {
    std::swap(form.a, form.b);
    if (form.loads)
      form.loads->side = 1 - form.loads->side;
    std::swap(ofA, ofB);
    for (auto *axes : {&form.batch, &form.sums, &ofA, &ofB})
      for (ContractAxis &axis : *axes)
        std::swap(axis.strides[0], axis.strides[1]);
    if (contract.offsets)
      std::swap(labels[contract.row].axis.strides[0], labels[contract.row].axis.strides[1]);
  }
  for (auto *axes : {&form.batch, &ofA, &ofB})
    sortByStride(*axes, form.firstOutput, form.plannedBatch);
  sortByStride(form.sums, 0, form.plannedBatch);
  if (contract.offsets) {
    // The rows that belong to groups are outermost, so that those of a group are adjacent.
    const ContractAxis &rows = labels[contract.row].axis, &axis = labels[contract.group].axis;
    SmallVector<ContractAxis> &among = groupsRows ? ofA : form.sums;
    form.groups = {!groupsRows, axis, offsets.getArgNumber(), rows.extent, form.product(among)};
    among.insert(among.begin(), rows);
  }
  if (mask) {
    auto alone = [&](SmallVector<ContractAxis> &axes) {
      merge(axes, [&](unsigned operand) { return operand == liveSlot; });
    };
    form.live = liveRows(ofA, liveSlot, mask, /*ofSums=*/false, alone);
    if (!form.live)
      form.live = liveRows(form.sums, liveSlot, mask, /*ofSums=*/true, alone);
  }
  for (auto *axes : {&form.batch, &ofB, &form.sums})
    merge(*axes, [&](unsigned operand) { return operand != liveSlot; });
  if (form.groupsSums())
    form.batch.insert(form.batch.begin(), form.groups->axis);
  form.rows = ofA;
  auto isInput = [&](unsigned operand) { return operand >= form.firstInput && operand < form.firstOutput; };
  merge(form.rows, [&](unsigned operand) { return !isInput(operand) && operand != liveSlot; });
  for (unsigned input = form.firstInput; input < form.firstOutput; ++input) {
    SmallVector<ContractAxis> shared(ofA), own(ofA);
    merge(shared,
          [&](unsigned operand) { return operand == input || (!isInput(operand) && operand != liveSlot); });
    if (shared.size() == form.rows.size())
      continue;
    merge(own, [&](unsigned operand) { return operand == input; });
    form.rowsApart.emplace(input, std::move(own));
  }
  form.fixedB = followsFromParameters(group.getInputs()[form.b]);
  // Without column axes there is one column. Its stride does not matter; 1 gives contiguous loads and stores.
  // Of random numbers 0: their runs of neighbouring numbers begin at multiples of 4.
  form.columns.strides.assign(operands, one);
  for (auto [j, input] : llvm::enumerate(epilogue.inputs()))
    if (input.draw)
      form.columns.strides[form.firstInput + j] = zero;
  if (!ofB.empty()) {
    form.columns = ofB.pop_back_val();
    form.batch.append(ofB.begin(), ofB.end());
  }
  return form;
}

} // namespace moe::kernels
