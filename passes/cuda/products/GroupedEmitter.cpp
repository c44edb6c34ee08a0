// Emits the product of rows with the matrix of the group that each is in, and the gradient of these matrices, as a product
// (Product.h). Where the rows lie in groups, no tile has rows of two: a block finds its group by counting the tiles of those
// before it, so nothing waits for the host to know how many rows a group has. There are as many blocks as the rows could need;
// those that are left have no rows. Rows before the first group and behind the last are two more ranges, whose sums are 0.
// Where rows are summed, the steps of a matrix are the rows of its group.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/cuda/products/Product.h"
#include "passes/kernels/ContractForm.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cuda {
namespace {

/// The labels of the op as axes of a product. Operands are numbered a, b, result; a and b are swapped where the groups are in
/// a, so that the matrices of groups are b or the result.
struct GroupedForm {
  SmallVector<ContractAxis> batch, rows, columns, sums;
  unsigned a = 0, b = 1;
  bool sumsRows = false;       // the groups' axis is the result's
  flow::Extent groups, within; // the number of groups; elements of `rows` or `sums` behind the row's own axis
  SmallVector<flow::Extent> groupStrides;

  explicit GroupedForm(flow::GroupedContractOp op) {
    MLIRContext *context = op.getContext();
    const int64_t row = op.getRow(), group = op.getGroup();
    std::pair<Value, ArrayRef<int64_t>> all[] = {
        {op.getA(), op.getAAxes()}, {op.getB(), op.getBAxes()}, {op.getY(), op.getOutAxes()}};
    if (llvm::is_contained(op.getAAxes(), group)) {
      std::swap(all[0], all[1]);
      std::swap(a, b);
    }
    sumsRows = llvm::is_contained(op.getOutAxes(), group);
    const flow::Extent zero = flow::Extent::constant(context, 0), one = flow::Extent::constant(context, 1);
    SmallVector<std::pair<int64_t, ContractAxis>> labels; // in the order of the result, then of a
    SmallVector<SmallVector<bool>> has;
    for (unsigned operand : {2u, 0u, 1u}) {
      auto [value, axes] = all[operand];
      flow::Extent stride = one;
      SmallVector<flow::Extent> strides(axes.size());
      for (size_t axis = axes.size(); axis-- > 0;) {
        strides[axis] = stride;
        stride = stride * flow::Extent::of(value, axis);
      }
      for (auto [axis, label] : llvm::enumerate(axes)) {
        auto *at = llvm::find_if(labels, [&](auto &known) { return known.first == label; });
        if (at == labels.end()) {
          labels.push_back({label, {flow::Extent::of(value, axis), {zero, zero, zero}}});
          has.emplace_back(3, false);
          at = &labels.back();
        }
        at->second.strides[operand] = strides[axis];
        has[at - labels.begin()][operand] = true;
      }
    }
    within = one;
    for (auto [labelled, in] : llvm::zip_equal(labels, has)) {
      auto &[label, axis] = labelled;
      if (label == group) {
        groups = axis.extent;
        groupStrides = axis.strides;
        continue;
      }
      auto &list = !in[2] ? sums : in[0] && in[1] ? batch : in[0] ? rows : columns;
      if (label == row) { // outermost, so that a group's rows are neighbours
        list.insert(list.begin(), axis);
        continue;
      }
      if (&list == (sumsRows ? &sums : &rows))
        within = within * axis.extent;
      list.push_back(axis);
    }
    if (sumsRows)
      batch.insert(batch.begin(), ContractAxis{groups, groupStrides});
  }
  static flow::Extent product(ArrayRef<ContractAxis> axes, MLIRContext *context) {
    flow::Extent all = flow::Extent::constant(context, 1);
    for (const ContractAxis &axis : axes)
      all = all * axis.extent;
    return all;
  }
};

class GroupedProduct : public Product {
public:
  GroupedProduct(flow::GroupOp group, const GroupedForm &form, const EpilogueCode &epilogue,
                 const ProductSizes &sizes, KernelBuilder &kernel)
      : Product(kernel, epilogue, sizes, 1), group(group), form(form) {}

  void bindOperands() override {
    a = floats(form.a);
    b_ = floats(form.b);
    offsets = k.buffer(plan::Access::read, plan::Element::i32, {BufferRef::operand, operandOf(2)},
                       plan::fromExtent(flow::elementsOf(root().getOffsets().getType())));
  }

protected:
  Value elementOfA(Ix batch, Ix row, Ix step) override {
    return read(a, {offset(form.batch, batch, 0), offset(form.rows, row, 0), offset(form.sums, step, 0)});
  }
  Value elementOfB(Ix batch, Ix step, Ix column) override {
    Ix matrix = form.sumsRows ? Ix(0) : code.mul(current, code.size(form.groupStrides[1]));
    return read(b_, {matrix, offset(form.batch, batch, 1), offset(form.sums, step, 1),
                     offset(form.columns, column, 1)});
  }
  Ix offsetOf(unsigned, Ix batch, Ix row, Ix column) override {
    return sum({offset(form.batch, batch, 2), offset(form.rows, row, 2), offset(form.columns, column, 2)});
  }
  // Ranges are numbered from 0, the rows before the first group; group g is range g + 1.
  RowTile rowsOf(Ix tile) override {
    if (form.sumsRows)
      return Product::rowsOf(tile);
    const Ix groups = code.size(form.groups), rows = code.size(sizes.rows);
    auto fixed = [&](Ix x) { return code.i64(x); };
    // Carried: the tiles of the ranges so far, and the group, the first row and the end of the one that has the tile.
    Values found =
        code.loop(0, code.add(groups, 2), 1, {fixed(0), fixed(0), fixed(rows), fixed(rows)},
                  [&](Ix range, Values carried) {
                    Ix low = code.select(code.equal(range, 0), 0, boundary(code.sub(range, 1), groups));
                    Ix high =
                        code.select(code.equal(range, code.add(groups, 1)), rows, boundary(range, groups));
                    high = code.max(low, high);
                    Ix before = carried[0], next = code.add(before, code.ceilDiv(code.sub(high, low), kTile));
                    Value here = code.both(code.less(tile, next), code.less(before, code.add(tile, 1)));
                    Ix first = code.add(low, code.mul(code.sub(tile, before), kTile));
                    return Values{fixed(next), fixed(code.select(here, code.sub(range, 1), carried[1])),
                                  fixed(code.select(here, first, carried[2])),
                                  fixed(code.select(here, high, carried[3]))};
                  });
    current = found[1];
    Value after = code.less(current, groups), summed = code.both(after, code.less(-1, current));
    // Rows in no group are summed with no matrix, whatever number they have here.
    current = code.select(summed, current, 0);
    return {found[2], found[3], summed};
  }
  std::pair<Ix, Ix> stepsOf(Ix batch) override {
    if (!form.sumsRows)
      return Product::stepsOf(batch);
    Ix own = batch; // the groups' axis is the batch's first one
    for (const ContractAxis &axis : llvm::drop_begin(form.batch))
      own = code.div(own, code.size(axis.extent));
    const Ix groups = code.size(form.groups);
    Ix low = boundary(own, groups);
    return {low, code.max(low, boundary(code.add(own, 1), groups))};
  }

private:
  flow::GroupedContractOp root() { return cast<flow::GroupedContractOp>(group.getRoot()); }
  /// The group's operand that an operand of the root is.
  unsigned operandOf(unsigned operand) {
    return cast<BlockArgument>(root()->getOperand(operand)).getArgNumber();
  }
  Value floats(unsigned operand) {
    return k.floats(plan::Access::read, {BufferRef::operand, operandOf(operand)},
                    flow::elementsOf(root()->getOperand(operand).getType()));
  }
  /// Where a group begins, or where the last one ends, as an index of `rows` or `sums`.
  Ix boundary(Ix place, Ix groups) {
    Type number = code.b.getI32Type();
    Ix inside = code.max(0, code.min(place, groups));
    Value begin = arith::ExtSIOp::create(code.b, k.loc(), code.b.getI64Type(),
                                         k.load(number, offsets, number, code.i64(inside)));
    Ix all = form.sumsRows ? code.size(sizes.sums) : code.size(sizes.rows);
    return code.max(0, code.min(code.mul(begin, code.size(form.within)), all));
  }
  Ix sum(ArrayRef<Ix> parts) {
    Ix total = 0;
    for (Ix part : parts)
      total = code.add(total, part);
    return total;
  }
  Value read(Value pointer, ArrayRef<Ix> parts) {
    Type f32 = code.b.getF32Type();
    return k.load(f32, pointer, f32, code.i64(sum(parts)));
  }
  Ix offset(ArrayRef<ContractAxis> axes, Ix flat, unsigned operand) {
    Ix total = 0;
    for (size_t i = axes.size(); i-- > 0;) {
      Ix extent = code.size(axes[i].extent), index = i == 0 ? flat : code.rem(flat, extent);
      total = code.add(total, code.mul(index, code.size(axes[i].strides[operand])));
      if (i > 0)
        flat = code.div(flat, extent);
    }
    return total;
  }

  flow::GroupOp group;
  const GroupedForm &form;
  Value a, b_, offsets;
  Ix current = 0; ///< the group of the tile's rows
};

} // namespace

FailureOr<GroupCode> emitGroupedContractGroup(flow::GroupOp group, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  auto contract = cast<flow::GroupedContractOp>(group.getRoot());
  MLIRContext *context = group.getContext();
  const GroupLayouts rowMajor;
  FailureOr<Epilogue> steps = Epilogue::of(group, contract, rowMajor);
  if (failed(steps))
    return failure();
  const EpilogueCode epilogue(std::move(*steps));
  const GroupedForm form(contract);
  ProductSizes sizes;
  sizes.batch = GroupedForm::product(form.batch, context);
  sizes.rows = GroupedForm::product(form.rows, context);
  sizes.columns = GroupedForm::product(form.columns, context);
  sizes.sums = GroupedForm::product(form.sums, context);
  sizes.plannedBatch = flow::plannedBatch(group);
  sizes.precision = flow::precisionOf(group);
  sizes.blocks = kFewerTileBlocks;
  if (!form.sumsRows)
    sizes.moreRowTiles = form.groups + 2;
  auto innermost = [](ArrayRef<ContractAxis> axes, unsigned number) {
    return !axes.empty() && axes.back().strides[number].isConstant(1);
  };
  sizes.alongStepsA = innermost(form.sums, 0);
  sizes.alongStepsB = innermost(form.sums, 1);
  sizes.cut();
  return emitProduct(group, module, "grouped", sizes, [&](KernelBuilder &kernel) {
    return std::make_unique<GroupedProduct>(group, form, epilogue, sizes, kernel);
  });
}

} // namespace moe::cuda
