// See LoopValues.h. Elementwise ops take their bodies from the ops themselves (ComputeInterface); here is how
// the others find the elements that they need, and what a load becomes: a vector load where lanes are
// neighbours, a splat where they share an element, else a gather.
#include "passes/cpu/LoopValues.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cpu/LoopRandom.h"
#include <cmath>

using namespace mlir;

namespace moe::cpu {

static Type elementType(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }
static Type memoryType(Type element) {
  return element.isInteger(1) ? Type(IntegerType::get(element.getContext(), 8)) : element;
}

Value LoopValues::constant(Type element, double value) {
  OpBuilder &b = k.builder();
  VectorType type = m.type(element);
  if (!element.isF32()) {
    Attribute number = b.getIntegerAttr(element, int64_t(value));
    return arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(type, number));
  }
  // Numbers that are part of an op's meaning stay in the code; others (rates, eps, weights) do not make
  // another kernel.
  bool common =
      !std::isfinite(value) || value == 0 || std::abs(value) == 1 || std::abs(value) == 2 || value == 0.5;
  if (!common)
    return m.splat(k.numberConstant(float(value)));
  return arith::ConstantOp::create(b, k.loc(),
                                   DenseElementsAttr::get(type, Attribute(b.getF32FloatAttr(float(value)))));
}

Place LoopValues::placeOf(ArrayRef<Index> index) const {
  Place place = {nest, {}};
  for (const Index &i : index)
    place.index.push_back({i.base.getAsOpaquePointer(), reinterpret_cast<const void *>(intptr_t(i.step)),
                           i.lanes.getAsOpaquePointer()});
  return place;
}

Index LoopValues::offsetOf(const Storage &storage, ArrayRef<Index> index) {
  Index offset = m.constant(0);
  for (auto [i, stride] : llvm::zip(index, storage.strides))
    offset = m.add(offset, m.mul(i, stride));
  return offset;
}

Value LoopValues::load(const Storage &storage, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  Type memory = memoryType(storage.element);
  if (storage.input >= 0)
    loads.push_back(
        {storage.input, storage.viewed ? std::optional<Place>() : std::optional<Place>(placeOf(index))});
  Index offset = offsetOf(storage, index);
  VectorType type = m.type(memory);
  Value loaded;
  if (offset.uniform()) {
    // The same element for every lane, and often for every turn of the inner loops: as far out as its index
    // is known.
    OpBuilder::InsertionGuard guard(b);
    Value place = offset.base;
    if (mask.uniform)
      place = arith::SelectOp::create(b, k.loc(), mask.uniform, place, k.i64(0));
    for (Block *block = b.getInsertionBlock(); !storage.scratch || block != nestBlock;) {
      Operation *parent = block->getParentOp();
      if (!isa<scf::ForOp, scf::IfOp>(parent))
        break;
      Operation *definer = place.getDefiningOp();
      Block *home = definer ? definer->getBlock() : cast<BlockArgument>(place).getOwner();
      if (home == block)
        break;
      b.setInsertionPoint(parent);
      block = parent->getBlock();
    }
    loaded = m.splat(k.load(memory, storage.pointer, memory, place));
  } else if (offset.step == 1 && !offset.lanes) {
    Value bits = m.bits(mask);
    Value zero = bits ? Value(arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(type))) : Value();
    loaded = bits ? k.loadMasked(type, storage.pointer, offset.base, bits, zero)
                  : k.load(type, storage.pointer, memory, offset.base);
  } else {
    Value from = k.at(storage.pointer, memory, offset.base);
    Value lanes = m.vector({k.i64(0), offset.step, offset.lanes});
    auto pointers = VectorType::get({width}, storage.pointer.getType());
    Value all = LLVM::GEPOp::create(b, k.loc(), pointers, memory, from, ArrayRef<LLVM::GEPArg>{lanes});
    Value bits = m.bits(mask);
    if (!bits)
      bits = arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(m.type(b.getI1Type()), true));
    Value zero = arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(type));
    loaded = LLVM::masked_gather::create(b, k.loc(), type, all, bits, ValueRange{zero},
                                         b.getI32IntegerAttr(memory.getIntOrFloatBitWidth() / 8));
  }
  if (memory == storage.element)
    return loaded;
  Value zero = arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(type));
  return arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::ne, loaded, zero);
}

void LoopValues::store(Value value, const Storage &storage, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  Type memory = memoryType(storage.element);
  VectorType type = m.type(memory);
  if (memory != storage.element)
    value = arith::ExtUIOp::create(b, k.loc(), type, value);
  Index offset = offsetOf(storage, index);
  if (offset.uniform()) {
    Value first = vector::ExtractOp::create(b, k.loc(), value, ArrayRef<int64_t>{0});
    k.store(first, storage.pointer, memory, offset.base);
    return;
  }
  Value bits = m.bits(mask);
  if (offset.step == 1 && !offset.lanes) {
    if (bits)
      k.storeMasked(value, storage.pointer, offset.base, bits);
    else
      k.store(value, storage.pointer, memory, offset.base);
    return;
  }
  Value to = k.at(storage.pointer, memory, offset.base);
  Value lanes = m.vector({k.i64(0), offset.step, offset.lanes});
  auto pointers = VectorType::get({width}, storage.pointer.getType());
  Value all = LLVM::GEPOp::create(b, k.loc(), pointers, memory, to, ArrayRef<LLVM::GEPArg>{lanes});
  if (!bits)
    bits = arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(m.type(b.getI1Type()), true));
  LLVM::masked_scatter::create(b, k.loc(), value, all, bits,
                               b.getI32IntegerAttr(memory.getIntOrFloatBitWidth() / 8));
}

Value LoopValues::get(Value value, ArrayRef<Index> index, Mask mask) {
  if (Value known = uniform.lookup(value))
    return known;
  auto key = std::make_tuple(value.getAsOpaquePointer(), placeOf(index), mask.uniform.getAsOpaquePointer(),
                             mask.lanes.getAsOpaquePointer());
  if (auto found = memo.find(key); found != memo.end())
    return found->second;
  Value result;
  if (auto at = stored.find(value); at != stored.end())
    result = load(at->second, index, mask);
  else
    result = compute(value, index, mask);
  // What was hoisted or computed at this point dominates everything that follows in it.
  return memo[key] = result;
}

/// A size that is only a number, such as a mean's divisor: made of its symbols, since what is a launch scalar
/// has to be a tensor's size. In f64, where no product of sizes overflows. The batch itself is an input's
/// size.
static Value sizeAsNumber(KernelBuilder &k, flow::Extent size) {
  OpBuilder &b = k.builder();
  Location loc = k.loc();
  if (size.constantValue() || size == flow::Extent::batch(b.getContext()))
    return arith::SIToFPOp::create(b, loc, b.getF32Type(), k.extent(plan::fromExtent(size)));
  Type f64 = b.getF64Type();
  SmallVector<Value> stack;
  for (flow::Extent::Step step : size.postfix()) {
    using Code = flow::Extent::Code;
    if (step.code == Code::constant) {
      stack.push_back(arith::ConstantOp::create(b, loc, b.getF64FloatAttr(double(step.value))));
      continue;
    }
    if (step.code == Code::symbol) {
      flow::Extent symbol = flow::Extent::symbol(b.getContext(), flow::Symbol(step.value));
      stack.push_back(arith::SIToFPOp::create(b, loc, f64, k.extent(plan::fromExtent(symbol))));
      continue;
    }
    Value right = stack.pop_back_val(), left = stack.pop_back_val();
    if (step.code == Code::add)
      left = arith::AddFOp::create(b, loc, left, right);
    else if (step.code == Code::sub)
      left = arith::SubFOp::create(b, loc, left, right);
    else if (step.code == Code::mul)
      left = arith::MulFOp::create(b, loc, left, right);
    else if (step.code == Code::floordiv)
      left = math::FloorOp::create(b, loc, arith::DivFOp::create(b, loc, left, right));
    else
      left = math::CeilOp::create(b, loc, arith::DivFOp::create(b, loc, left, right));
    stack.push_back(left);
  }
  return arith::TruncFOp::create(b, loc, b.getF32Type(), stack.back());
}

Value LoopValues::compute(Value value, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  Operation *op = value.getDefiningOp();
  auto result = cast<RankedTensorType>(value.getType());
  if (auto o = dyn_cast<flow::ConstantOp>(op))
    return constant(result.getElementType(), o.getValue().convertToDouble());
  if (auto o = dyn_cast<flow::ScalarOp>(op))
    return m.splat(k.number(plan::ArgAttr::get(b.getContext(), plan::ArgKind::scalar_f32, o.getKeyAttr())));
  if (auto o = dyn_cast<flow::ExtentOp>(op))
    return m.splat(sizeAsNumber(k, o.getExtent().getExtent()));
  if (auto o = dyn_cast<flow::IotaOp>(op)) {
    Value at = m.vector(index[o.getAxis()]);
    return result.getElementType().isF32()
               ? Value(arith::SIToFPOp::create(b, k.loc(), m.type(b.getF32Type()), at))
               : at;
  }
  if (auto o = dyn_cast<flow::RandomOp>(op))
    return random(o, index, mask);
  if (auto o = dyn_cast<flow::ReverseGradientOp>(op))
    return get(o.getX(), index, mask);
  if (auto o = dyn_cast<flow::BroadcastOp>(op)) {
    SmallVector<Index> at;
    for (auto [i, to] : llvm::enumerate(o.getDims()))
      at.push_back(flow::Extent::of(o.getX(), i) == flow::Extent::of(value, to) ? index[to] : m.constant(0));
    return get(o.getX(), at, mask);
  }
  if (auto o = dyn_cast<flow::TransposeOp>(op)) {
    SmallVector<Index> at(index.size());
    for (auto [i, from] : llvm::enumerate(o.getPerm()))
      at[from] = index[i];
    return get(o.getX(), at, mask);
  }
  if (auto o = dyn_cast<flow::SliceOp>(op)) {
    SmallVector<Index> at;
    for (auto [i, start, stride] : llvm::zip(index, o.getStarts(), o.getStrides()))
      at.push_back(m.add(m.mul(i, k.i64(stride)), start));
    return get(o.getX(), at, mask);
  }
  if (auto o = dyn_cast<flow::ReshapeOp>(op))
    return reshape(o, index, mask);
  if (auto o = dyn_cast<flow::PadOp>(op))
    return pad(o, index, mask);
  if (auto o = dyn_cast<flow::ConcatOp>(op))
    return concat(o, index, mask);
  if (auto o = dyn_cast<flow::WindowOp>(op))
    return window(o, index, mask);
  if (auto o = dyn_cast<flow::GatherOp>(op))
    return gather(o, index, mask);
  assert(op->hasTrait<flow::Elementwise>() &&
         "reductions are stages, and stages are stored before they are read");
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(get(operand, index, mask));
  return cast<flow::ComputeInterface>(op).buildScalar(b, k.loc(), operands);
}

Value LoopValues::reshape(flow::ReshapeOp op, ArrayRef<Index> index, Mask mask) {
  Value x = op.getX();
  SmallVector<flow::Extent> from = flow::extentsOf(x), to = flow::extentsOf(op.getY());
  // A row-major tensor is read through the strides of its new shape.
  if (auto at = stored.find(x); at != stored.end() && at->second.rowMajor) {
    Storage view = at->second;
    view.viewed = true;
    view.strides.assign(to.size(), Value());
    Value stride = k.i64(1);
    for (size_t i = to.size(); i--;) {
      view.strides[i] = stride;
      stride = m.mul(stride, extent(to[i]));
    }
    return load(view, index, mask);
  }
  SmallVector<Index> at(from.size(), m.constant(0));
  for (ReshapeSegment s : reshapeSegments(x.getType(), op.getY().getType())) {
    Index linear = m.constant(0);
    for (unsigned i = s.toFirst; i < s.toLast; ++i)
      linear = m.add(m.mul(linear, extent(to[i])), index[i]);
    // Axes of the operand from the last to the first that is not 1: the first takes what is left.
    unsigned first = s.fromFirst;
    while (first + 1 < s.fromLast && from[first].isConstant(1))
      ++first;
    for (unsigned i = s.fromLast; i-- > first;) {
      if (from[i].isConstant(1))
        continue;
      if (i == first) {
        at[i] = linear;
        break;
      }
      auto [quotient, remainder] = m.divide(linear, extent(from[i]));
      at[i] = remainder;
      linear = quotient;
    }
  }
  return get(x, at, mask);
}

Value LoopValues::pad(flow::PadOp op, ArrayRef<Index> index, Mask mask) {
  Value x = op.getX();
  SmallVector<Index> at;
  Mask inside;
  for (auto [axis, i] : llvm::enumerate(index)) {
    int64_t step = op.getInterior()[axis] + 1;
    flow::Extent size = flow::Extent::of(x, axis);
    if (op.getLow()[axis] == 0 && step == 1 && size == flow::Extent::of(op.getY(), axis)) {
      at.push_back(i);
      continue;
    }
    Index shifted = m.add(i, -op.getLow()[axis]);
    // Negative indices are beyond the last as unsigned numbers, and so are their quotients where they are
    // tested.
    inside = m.both(inside, m.within(shifted, m.mul(extent(size), k.i64(step))));
    if (step != 1) {
      auto [quotient, remainder] = m.divide(shifted, k.i64(step));
      inside = m.both(inside, m.equals(remainder, k.i64(0)));
      shifted = quotient;
    }
    at.push_back(shifted);
  }
  Value value = get(x, at, m.both(mask, inside));
  return m.select(inside, value, constant(elementType(x), op.getValue().convertToDouble()));
}

Value LoopValues::concat(flow::ConcatOp op, ArrayRef<Index> index, Mask mask) {
  Value result, start = k.i64(0);
  int64_t axis = op.getAxis();
  for (Value x : op.getXs()) {
    Value size = extent(flow::Extent::of(x, axis));
    SmallVector<Index> at(index.begin(), index.end());
    at[axis] = m.add(at[axis], Index{m.sub(k.i64(0), start)});
    Mask inside = m.within(at[axis], size);
    Value value = get(x, at, m.both(mask, inside));
    result = result ? m.select(inside, value, result) : value;
    start = m.add(start, size);
  }
  return result;
}

Value LoopValues::window(flow::WindowOp op, ArrayRef<Index> index, Mask mask) {
  Mask inside;
  SmallVector<Index> at = {index[0], index[1]};
  for (unsigned i : {0, 1}) {
    Index place =
        m.add(m.mul(index[2 + i], k.i64(op.getStrides()[i])), m.add(index[4 + i], -op.getPads()[i]));
    bool always = op.getPads()[i] == 0 && op.getPads()[2 + i] == 0;
    if (!always)
      inside = m.both(inside, m.within(place, extent(flow::Extent::of(op.getX(), 2 + i))));
    at.push_back(place);
  }
  Value value = get(op.getX(), at, m.both(mask, inside));
  return m.select(inside, value, constant(elementType(op.getX()), op.getValue().convertToDouble()));
}

Value LoopValues::gather(flow::GatherOp op, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  size_t leading = cast<RankedTensorType>(op.getIndex().getType()).getRank();
  Value rows = get(op.getIndex(), index.take_front(leading), mask);
  // Lanes along the index's own axes have a row each; else all have one row, and its elements are neighbours.
  bool uniformRow = llvm::all_of(index.take_front(leading), [](const Index &i) { return i.uniform(); });
  Index row = m.constant(0);
  if (uniformRow) {
    Value one = vector::ExtractOp::create(b, k.loc(), rows, ArrayRef<int64_t>{0});
    row.base = arith::ExtSIOp::create(b, k.loc(), b.getI64Type(), one);
  } else {
    row.lanes = rows;
  }
  Mask inside = m.within(row, extent(flow::Extent::of(op.getTable(), 0)));
  SmallVector<Index> at = {row};
  llvm::append_range(at, index.drop_front(leading));
  Value value = get(op.getTable(), at, m.both(mask, inside));
  return m.select(inside, value, constant(elementType(op.getTable()), 0));
}

Value LoopValues::random(flow::RandomOp op, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  Value logical;
  std::optional<Value> run; // the first of neighbouring indices, a multiple of 4
  if (op.getIndex()) {
    logical = arith::ExtUIOp::create(b, k.loc(), m.type(b.getI64Type()), get(op.getIndex(), index, mask));
  } else {
    Index linear = m.constant(0);
    for (auto [i, size] : llvm::zip(index, flow::extentsOf(op.getY())))
      linear = m.add(m.mul(linear, extent(size)), i);
    if (linear.step == 1 && !linear.lanes && width % 4 == 0 && isMultiple(linear.base, 4))
      run = linear.base;
    else
      logical = m.wide(linear);
  }
  MLIRContext *context = b.getContext();
  PhiloxKey key;
  key.seed = k.integer(plan::ArgAttr::get(context, plan::ArgKind::seed_i64, Attribute()));
  key.step = k.integer(plan::ArgAttr::get(context, plan::ArgKind::step_i64, Attribute()));
  key.stream = k.integer(
      plan::ArgAttr::get(context, plan::ArgKind::constant_i64, b.getI64IntegerAttr(op.getStream())));
  if (run)
    return op.getKind() == flow::RandomKind::uniform ? philoxUniformRun(b, k.loc(), key, *run, width)
                                                     : philoxNormalRun(b, k.loc(), key, *run, width);
  return op.getKind() == flow::RandomKind::uniform ? philoxUniform(b, k.loc(), key, logical)
                                                   : philoxNormal(b, k.loc(), key, logical);
}

} // namespace moe::cpu
