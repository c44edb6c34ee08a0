// Loads an epilogue's inputs and stores its outputs; see MicroEpilogue.h.
#include "passes/cpu/micro/MicroEpilogue.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/kernels/loops/LoopRandom.h"

using namespace mlir;

namespace moe::cpu {

/// Whether vectors along the axis of stride 1 begin at multiples of 4, as runs of random numbers do: a vector's place along
/// that axis is a multiple of its length.
static bool beginsRuns(ArrayRef<flow::Extent> strides) {
  return llvm::all_of(strides, [](const flow::Extent &stride) {
    const std::optional<int64_t> known = stride.constantValue();
    return known && (*known == 1 || *known % 4 == 0);
  });
}

void MicroEpilogue::store(MicroCode &code, ArrayRef<Value> ports, Value sums, Value mask,
                          llvm::function_ref<Ix(unsigned)> where,
                          llvm::function_ref<Ix(unsigned)> stride) const {
  Values values = emit(code, sums, [&](unsigned i) -> Value {
    Ix step = stride(i);
    if (const std::optional<EpilogueInput::Lookup> &lookup = inputs()[i].lookup)
      return loadRow(code, ports, *lookup, i, where, step, mask);
    if (const std::optional<EpilogueInput::Draw> &draw = inputs()[i].draw)
      return drawRow(code, ports, *draw, where(i), where(draw->index), step, beginsRuns(strides(i)));
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

Value MicroEpilogue::drawRow(MicroCode &code, ArrayRef<Value> ports, const EpilogueInput::Draw &draw,
                             Ix first, Ix index, Ix stride, bool beginsRun) {
  OpBuilder &b = code.b;
  MLIRContext *context = b.getContext();
  Type number = b.getI32Type();
  Value given = code.kernel.load(number, ports[draw.index], number, code.i64(index));
  Ix row = arith::ExtUIOp::create(b, code.loc, b.getI64Type(), given).getResult();
  Value logical = code.i64(code.add(code.mul(row, code.size(draw.behind)), first));
  kernels::PhiloxKey key;
  auto scalar = [&](plan::ArgKind kind, Attribute value = {}) {
    return code.kernel.integer(plan::ArgAttr::get(context, kind, value));
  };
  key.seed = scalar(plan::ArgKind::seed_i64);
  key.step = scalar(plan::ArgKind::step_i64);
  key.stream = scalar(plan::ArgKind::constant_i64, b.getI64IntegerAttr(draw.stream));
  const std::optional<int64_t> behind = draw.behind.constantValue();
  if (beginsRun && stride.is(1) && behind && *behind % 4 == 0 && code.lanes % 4 == 0)
    return kernels::philoxUniformRun(b, code.loc, key, logical, code.lanes);
  auto wide = VectorType::get({code.lanes}, b.getI64Type());
  Value lanes = arith::ConstantOp::create(
      b, code.loc,
      DenseElementsAttr::get(wide, ArrayRef(llvm::to_vector(llvm::seq<int64_t>(0, code.lanes)))));
  auto spread = [&](Value value) -> Value { return vector::BroadcastOp::create(b, code.loc, wide, value); };
  Value along = arith::MulIOp::create(b, code.loc, lanes, spread(code.i64(stride)));
  return kernels::philoxUniform(b, code.loc, key, arith::AddIOp::create(b, code.loc, spread(logical), along));
}

Value MicroEpilogue::loadRow(MicroCode &code, ArrayRef<Value> ports, const EpilogueInput::Lookup &lookup,
                             unsigned table, llvm::function_ref<Ix(unsigned)> where, Ix stride, Value mask) {
  Type number = code.b.getI32Type();
  Value index = code.kernel.load(number, ports[lookup.index], number, code.i64(where(lookup.index)));
  Ix row = arith::ExtSIOp::create(code.b, code.loc, code.b.getI64Type(), index).getResult();
  const Ix rows = code.size(lookup.rows);
  // A row that the table lacks is read as its first or last one, and then replaced by zeros.
  Value exists = code.both(code.less(-1, row), code.less(row, rows));
  row = code.max(code.min(row, code.sub(rows, 1)), 0);
  Ix at = code.add(where(table), code.mul(row, code.size(lookup.stride)));
  Value values = stride.is(0) ? code.splat(code.loadScalar(ports[table], at))
                              : code.loadStrided(ports[table], at, stride, mask);
  return code.pick(exists, values, code.zero());
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
