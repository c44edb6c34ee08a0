// Emits a contraction's group as a product (Product.h). kernels/ContractForm.h has the common form of all contractions.
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
  }

protected:
  Value elementOfA(Ix batch, Ix row, Ix step) override {
    return read(a, {offset(form.batch, batch, 0), offset(form.rows, row, 0), offset(form.sums, step, 0)});
  }
  Value elementOfB(Ix batch, Ix step, Ix column) override {
    Ix along = code.mul(column, code.size(form.columns.strides[1]));
    return read(b, {offset(form.batch, batch, 1), offset(form.sums, step, 1), along});
  }
  Ix offsetOf(unsigned port, Ix batch, Ix row, Ix column) override {
    const unsigned number = form.firstInput + port;
    Ix at = code.add(offset(form.batch, batch, number), offset(form.rows, row, number));
    return code.add(at, code.mul(column, columnStride(port)));
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
  Value a, b;
};

} // namespace

FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                       KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  auto contract = cast<flow::ContractOp>(group.getRoot());
  FailureOr<Epilogue> steps = Epilogue::of(group, contract, layouts);
  if (failed(steps))
    return failure();
  const EpilogueCode epilogue(std::move(*steps));
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
  if (form->batch.size() > 1 || form->rows.size() > 1 || form->sums.size() > 1)
    sizes.blocks = kFewerTileBlocks;
  auto innermost = [](ArrayRef<ContractAxis> axes, unsigned number) {
    return !axes.empty() && axes.back().strides[number].isConstant(1);
  };
  sizes.alongStepsA = innermost(form->sums, 0);
  sizes.alongStepsB = innermost(form->sums, 1);
  sizes.cut();
  const flow::Extent four = flow::Extent::constant(group.getContext(), kSquare);
  const int64_t lanes = form->columns.extent.exactQuotient(four) ? kSquare : 1;
  return emitProduct(group, module, "matmul", sizes, [&](KernelBuilder &kernel) {
    return std::make_unique<ContractProduct>(group, *form, epilogue, sizes, lanes, kernel);
  });
}

} // namespace moe::cuda
