// Emits a contraction's group as a product (Product.h). kernels/ContractForm.h has the common form of all contractions.
// Where rows are in groups, no tile has rows of two: a block finds its group by counting the tiles of those before it, so
// nothing waits for the host to know how many rows a group has. There are as many blocks as the rows could need; those that are
// left have no rows. Rows before the first group and behind the last are two more ranges, whose sums are 0. Where the rows
// of a group are summed, they are the steps of its matrix.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/cuda/products/Product.h"
#include "passes/kernels/ContractForm.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cuda {
namespace {

class ContractProduct : public Product {
public:
  ContractProduct(flow::GroupOp group, const ContractForm &form, const EpilogueCode &epilogue,
                  const ProductSizes &sizes, int64_t lanes, KernelBuilder &kernel)
      : Product(kernel, epilogue, sizes, lanes), group(group), form(form) {}

  void bindOperands() override {
    a = operand(form.a);
    b = operand(form.b);
    if (form.groups)
      offsets =
          k.buffer(plan::Access::read, plan::Element::i32, {BufferRef::operand, form.groups->offsets},
                   plan::fromExtent(flow::elementsOf(group.getInputs()[form.groups->offsets].getType())));
    if (form.loads)
      index = k.buffer(plan::Access::read, plan::Element::i32, {BufferRef::operand, form.loads->index},
                       plan::fromExtent(flow::elementsOf(group.getInputs()[form.loads->index].getType())));
  }

protected:
  Value elementOfA(Ix batch, Ix row, Ix step) override {
    Ix start = form.loadsRows() ? tableRow(row, form.rows) : offset(form.rows, row, 0);
    Ix along = form.loadsSteps(0) ? tableRow(step, form.sums) : offset(form.sums, step, 0);
    Value element = read(a, {offset(form.batch, batch, 0), start, along});
    return form.loadsRows() || form.loadsSteps(0) ? orZero(element, form.loadsRows() ? row : step) : element;
  }
  Value elementOfB(Ix batch, Ix step, Ix column) override {
    Ix along = code.mul(column, code.size(form.columns.strides[1]));
    Ix matrix = form.groupsRows() ? code.mul(own, code.size(form.groups->axis.strides[1])) : Ix(0);
    Ix start = form.loadsSteps(1) ? tableRow(step, form.sums) : offset(form.sums, step, 1);
    Value element = read(b, {matrix, offset(form.batch, batch, 1), start, along});
    return form.loadsSteps(1) ? orZero(element, step) : element;
  }
  Ix offsetOf(unsigned port, Ix batch, Ix row, Ix column) override {
    const unsigned number = form.firstInput + port;
    Ix at = code.add(offset(form.batch, batch, number), offset(form.rowsOf(number), row, number));
    return code.add(at, code.mul(column, columnStride(port)));
  }
  // Ranges are numbered from 0, the rows before the first group; group g is range g + 1.
  RowTile rowsOf(Ix tile) override {
    if (!form.groupsRows())
      return Product::rowsOf(tile);
    const Ix count = code.size(form.groups->axis.extent), rows = code.size(sizes.rows);
    auto fixed = [&](Ix x) { return code.i64(x); };
    // Carried: the tiles of the ranges so far; the group, the first row and the end of the one that has the tile; and
    // where the ranges so far end. No range begins before, whatever the offsets are.
    Values found =
        code.loop(0, code.add(count, 2), 1, {fixed(0), fixed(0), fixed(rows), fixed(rows), fixed(0)},
                  [&](Ix range, Values carried) {
                    Ix low = carried[4];
                    Ix high = code.select(code.equal(range, code.add(count, 1)), rows, boundary(range, rows));
                    high = code.max(low, high);
                    Ix before = carried[0], next = code.add(before, code.ceilDiv(code.sub(high, low), kTile));
                    Value here = code.both(code.less(tile, next), code.less(before, code.add(tile, 1)));
                    Ix first = code.add(low, code.mul(code.sub(tile, before), kTile));
                    return Values{fixed(next), fixed(code.select(here, code.sub(range, 1), carried[1])),
                                  fixed(code.select(here, first, carried[2])),
                                  fixed(code.select(here, high, carried[3])), fixed(high)};
                  });
    Ix number = found[1];
    Value inside = code.both(code.less(number, count), code.less(-1, number));
    // Rows in no group are summed with no matrix, whatever number they have here.
    own = code.select(inside, number, 0);
    return {found[2], found[3], inside};
  }
  std::pair<Ix, Ix> stepsOf(Ix batch) override {
    if (!form.groupsSums())
      return Product::stepsOf(batch);
    Ix of = batch; // the groups are the first axis of the batch
    for (const ContractAxis &axis : llvm::drop_begin(form.batch))
      of = code.div(of, code.size(axis.extent));
    const Ix steps = code.size(sizes.sums);
    Ix low = code.loop(0, code.add(of, 1), 1, {code.i64(0)}, [&](Ix before, Values largest) {
      return Values{code.i64(code.max(largest[0], boundary(before, steps)))};
    })[0];
    return {low, code.max(low, boundary(code.add(of, 1), steps))};
  }
  Ix columnStride(unsigned port) override { return code.size(form.columns.strides[form.firstInput + port]); }

private:
  Value operand(unsigned number) {
    return k.floats(plan::Access::read, {BufferRef::operand, number},
                    flow::elementsOf(group.getInputs()[number].getType()));
  }
  Value read(Value pointer, ArrayRef<Ix> offsets) {
    Ix at = 0;
    for (Ix offset : offsets)
      at = code.add(at, offset);
    Type f32 = code.b.getF32Type();
    return k.load(f32, pointer, f32, code.i64(at));
  }
  /// The table's row that is read as this row, or this step of the sum.
  Ix indexAt(Ix row) {
    Type number = code.b.getI32Type();
    Value at = k.load(number, index, number, code.i64(row));
    return arith::ExtSIOp::create(code.b, k.loc(), code.b.getI64Type(), at).getResult();
  }
  /// Where it begins. Of a row that the table lacks, the first or last one is read instead, and `orZero` makes zeros of it.
  Ix tableRow(Ix row, ArrayRef<ContractAxis> axes) {
    Ix at = code.max(code.min(indexAt(row), code.sub(code.size(form.loads->tableRows), 1)), 0);
    return code.mul(at, code.size(axes.front().strides[form.loads->side]));
  }
  Value orZero(Value element, Ix row) {
    Ix at = indexAt(row);
    Value exists = code.both(code.less(-1, at), code.less(at, code.size(form.loads->tableRows)));
    Value zero = arith::ConstantOp::create(code.b, k.loc(), code.b.getF32FloatAttr(0));
    return code.pick(exists, element, zero);
  }
  /// Where a group begins, or where the last one ends, of `all` rows or steps.
  Ix boundary(Ix place, Ix all) {
    Type number = code.b.getI32Type();
    Ix existing = code.max(0, code.min(place, code.size(form.groups->axis.extent)));
    Value begin = arith::ExtSIOp::create(code.b, k.loc(), code.b.getI64Type(),
                                         k.load(number, offsets, number, code.i64(existing)));
    return code.max(0, code.min(code.mul(begin, code.size(form.groups->rowSize)), all));
  }
  /// The offset in an operand of a flat index over `axes`. Operands are numbered as in ContractAxis::strides.
  Ix offset(ArrayRef<ContractAxis> axes, Ix flat, unsigned number) {
    Ix sum = 0;
    for (size_t i = axes.size(); i-- > 0;) {
      Ix extent = code.size(axes[i].extent), index = i == 0 ? flat : code.rem(flat, extent);
      sum = code.add(sum, code.mul(index, code.size(axes[i].strides[number])));
      if (i > 0)
        flat = code.div(flat, extent);
    }
    return sum;
  }

  flow::GroupOp group;
  const ContractForm &form;
  Value a, b, offsets, index;
  Ix own = 0; ///< the group of the tile's rows
};

} // namespace

FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                       KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  FailureOr<Epilogue> steps = Epilogue::of(group, group.getRoot(), layouts);
  if (failed(steps))
    return failure();
  const EpilogueCode epilogue(std::move(*steps));
  if (llvm::any_of(epilogue.inputs(), [](const EpilogueInput &input) { return input.draw.has_value(); }))
    return group.getRoot()->emitError("expected an epilogue without random numbers");
  FailureOr<ContractForm> form = ContractForm::of(group, layouts, epilogue);
  if (failed(form))
    return failure();
  ProductSizes sizes;
  sizes.batch = form->batchExtent();
  sizes.rows = form->rowExtent();
  sizes.columns = form->columns.extent;
  sizes.sums = form->sumExtent();
  sizes.plannedBatch = form->plannedBatch;
  sizes.precision = flow::precisionOf(group);
  // Each axis after the first takes a division, and strides of its own.
  if (form->batch.size() > 1 || form->rows.size() > 1 || form->sums.size() > 1 || form->groups)
    sizes.blocks = kFewerTileBlocks;
  auto innermost = [](ArrayRef<ContractAxis> axes, unsigned number) {
    return !axes.empty() && axes.back().strides[number].isConstant(1);
  };
  sizes.alongStepsA = innermost(form->sums, 0);
  sizes.alongStepsB = innermost(form->sums, 1);
  if (form->groupsRows())
    sizes.moreRowTiles = form->groups->axis.extent + 2;
  sizes.cut();
  const flow::Extent four = flow::Extent::constant(group.getContext(), kSquare);
  const int64_t lanes = form->columns.extent.exactQuotient(four) ? kSquare : 1;
  return emitProduct(group, module, "matmul", sizes, [&](KernelBuilder &kernel) {
    return std::make_unique<ContractProduct>(group, *form, epilogue, sizes, lanes, kernel);
  });
}

} // namespace moe::cuda
