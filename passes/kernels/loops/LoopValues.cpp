// Emits values at an index; see LoopValues.h. Ops give their scalar bodies and accesses (ComputeInterface).
// This file computes the index of an access in a vectorised loop, and emits the load: a vector load if lanes
// are contiguous, a splat if they read one element, otherwise a gather. It also emits generators.
#include "passes/kernels/loops/LoopValues.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/kernels/loops/LoopRandom.h"
#include <cmath>

using namespace mlir;

namespace moe::kernels {

Value LoopValues::constant(Type element, double value) {
  OpBuilder &b = k.builder();
  VectorType type = m.type(element);
  if (!element.isF32()) {
    Attribute number = b.getIntegerAttr(element, int64_t(value));
    return arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(type, number));
  }
  // Common constants stay in the code. Others (rates, eps, weights) become launch scalars, so that kernels
  // which differ only in them are equal.
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
  const auto [memory, computed, accumulator] = flow::elementTypesOf(storage.element);
  if (storage.input >= 0)
    loads.push_back(
        {storage.input, storage.viewed ? std::optional<Place>() : std::optional<Place>(placeOf(index))});
  Index offset = offsetOf(storage, index);
  VectorType type = m.type(memory);
  Value loaded;
  if (offset.uniform() && mask.uniform && k.isConcurrent()) {
    auto branch = scf::IfOp::create(b, k.loc(), TypeRange(memory), mask.uniform, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    scf::YieldOp::create(b, k.loc(), k.load(memory, storage.pointer, memory, offset.base));
    b.setInsertionPointToStart(branch.elseBlock());
    Value zero = arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(memory));
    scf::YieldOp::create(b, k.loc(), zero);
    b.setInsertionPointAfter(branch);
    loaded = m.splat(branch.getResult(0));
  } else if (offset.uniform()) {
    // All lanes load the same element, and often all iterations of the inner loops do: the load is placed in
    // the outermost block where its index is available.
    OpBuilder::InsertionGuard guard(b);
    Value place = offset.base;
    if (mask.uniform)
      place = arith::SelectOp::create(b, k.loc(), mask.uniform, place, k.i64(0));
    for (Block *block = b.getInsertionBlock(); !storage.scratch || block != nestBlock;) {
      Operation *parent = block->getParentOp();
      if (!isa<scf::ForOp, scf::IfOp>(parent) || block == unitBlock)
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
    Value all = k.addresses(from, memory, lanes);
    loaded = k.gather(type, all, m.bits(mask));
  }
  if (memory == computed)
    return loaded;
  if (isa<FloatType>(computed))
    return arith::ExtFOp::create(b, k.loc(), m.type(computed), loaded);
  Value zero = arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(type));
  return arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::ne, loaded, zero);
}

void LoopValues::store(Value value, const Storage &storage, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  const auto [memory, computed, accumulator] = flow::elementTypesOf(storage.element);
  VectorType type = m.type(memory);
  if (memory != computed)
    value = isa<FloatType>(computed) ? Value(arith::TruncFOp::create(b, k.loc(), type, value))
                                     : Value(arith::ExtUIOp::create(b, k.loc(), type, value));
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
  Value all = k.addresses(to, memory, m.vector({k.i64(0), offset.step, offset.lanes}));
  k.scatter(value, all, bits);
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
  // The value dominates all code of this point that follows.
  return memo[key] = result;
}

/// A size that is only used as a number, such as the divisor of a mean. The loader checks each launch scalar
/// as the size of a tensor, so the number is computed from its symbols here, in f64, where products of sizes
/// do not overflow.
static Value sizeAsNumber(KernelCode &k, flow::Extent size) {
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
  if (auto o = dyn_cast<flow::NumberInterface>(op)) {
    const flow::Number number = o.number();
    if (number.value)
      return constant(result.getElementType(), *number.value);
    if (number.size && isa<IntegerType>(result.getElementType()))
      return m.splat(arith::TruncIOp::create(b, k.loc(), result.getElementType(), extent(number.size)));
    if (number.size)
      return m.splat(sizeAsNumber(k, number.size));
    return m.splat(k.number(plan::ArgAttr::get(b.getContext(), plan::ArgKind::scalar_f32, number.key)));
  }
  if (auto o = dyn_cast<flow::RandomOp>(op))
    return random(o, index, mask);
  auto compute = cast<flow::ComputeInterface>(op);
  if (compute.computeKind() == flow::ComputeKind::view)
    return view(op, index, mask);
  if (compute.computeKind() == flow::ComputeKind::generator) {
    SmallVector<Value> indices;
    for (unsigned dim : compute.indexDims())
      indices.push_back(m.vector(index[dim]));
    return compute.buildScalar(b, k.loc(), indices);
  }
  assert(compute.computeKind() == flow::ComputeKind::elementwise &&
         "reductions are stages, and stages are stored before they are read");
  SmallVector<Value> operands;
  for (auto [i, access] : llvm::enumerate(compute.accesses()))
    operands.push_back(get(op->getOperand(i), access.map.getNumResults() ? index : ArrayRef<Index>(), mask));
  return compute.buildScalar(b, k.loc(), operands);
}

// The value of a size in an access's expression.
Value LoopValues::sizeOf(AffineExpr expression, const flow::Access &access) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return k.i64(constant.getValue());
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expression))
    return extent(access.sizes[symbol.getPosition()]);
  auto binary = cast<AffineBinaryOpExpr>(expression);
  Value left = sizeOf(binary.getLHS(), access), right = sizeOf(binary.getRHS(), access);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return m.add(left, right);
  case AffineExprKind::Mul:
    return m.mul(left, right);
  case AffineExprKind::FloorDiv:
    return m.div(left, right);
  default:
    return m.rem(left, right);
  }
}

// The least value of an index, if it is known. Simplification of affine expressions may have moved a term out
// of a quotient without which the dividend can be negative.
std::optional<int64_t> LoopValues::leastOf(AffineExpr expression, Mapped &mapped) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue();
  if (isa<AffineDimExpr, AffineSymbolExpr>(expression))
    return 0;
  auto binary = cast<AffineBinaryOpExpr>(expression);
  std::optional<int64_t> left = leastOf(binary.getLHS(), mapped);
  if (binary.getKind() == AffineExprKind::Mod)
    return 0;
  auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
  if (binary.getKind() == AffineExprKind::Add) {
    std::optional<int64_t> right = leastOf(binary.getRHS(), mapped);
    return left && right ? std::optional(*left + *right) : std::nullopt;
  }
  if (binary.getKind() == AffineExprKind::FloorDiv)
    return left && *left >= 0 ? std::optional<int64_t>(0)
           : left && factor   ? std::optional(llvm::divideFloorSigned(*left, factor.getValue()))
                              : std::nullopt;
  if (!factor || factor.getValue() >= 0)
    return left && *left >= 0 ? std::optional<int64_t>(0)
           : left && factor   ? std::optional(*left * factor.getValue())
                              : std::nullopt;
  // A negative factor is supported for dimensions of constant size only.
  auto dim = dyn_cast<AffineDimExpr>(binary.getLHS());
  if (!dim)
    return std::nullopt;
  std::optional<int64_t> size =
      cast<flow::ComputeInterface>(mapped.op).iterationSpace()[dim.getPosition()].constantValue();
  return size ? std::optional((*size - 1) * factor.getValue()) : std::nullopt;
}

// The quotient, rounded down, and the remainder, which is not negative. The division is unsigned, so a
// multiple of the divisor is added to a dividend that may be negative.
std::pair<Index, Index> LoopValues::divide(AffineExpr dividend, AffineExpr divisor, Mapped &mapped) {
  auto known = mapped.divided.find({dividend, divisor});
  if (known != mapped.divided.end())
    return known->second;
  Index number = indexOf(dividend, mapped);
  Value by = sizeOf(divisor, mapped.access);
  std::pair<Index, Index> both;
  std::optional<int64_t> least = leastOf(dividend, mapped);
  if (least && *least >= 0) {
    both = m.divide(number, by);
  } else if (std::optional<int64_t> constant = constantOf(by); constant && least) {
    int64_t times = llvm::divideCeil(uint64_t(-*least), uint64_t(*constant));
    both = m.divide(m.add(number, times * *constant), by);
    both.first = m.add(both.first, -times);
  } else {
    both = m.divideSigned(number, by);
  }
  mapped.divided.try_emplace({dividend, divisor}, both);
  return both;
}

Index LoopValues::indexOf(AffineExpr expression, Mapped &mapped) {
  if (auto dim = dyn_cast<AffineDimExpr>(expression))
    return mapped.point[dim.getPosition()];
  if (expression.isSymbolicOrConstant())
    return Index{sizeOf(expression, mapped.access)};
  auto binary = cast<AffineBinaryOpExpr>(expression);
  AffineExpr left = binary.getLHS(), right = binary.getRHS();
  if (binary.getKind() == AffineExprKind::Add)
    return m.add(indexOf(left, mapped), indexOf(right, mapped));
  if (binary.getKind() == AffineExprKind::Mul)
    return m.mul(indexOf(left, mapped), sizeOf(right, mapped.access));
  auto [quotient, remainder] = divide(left, right, mapped);
  return binary.getKind() == AffineExprKind::Mod ? remainder : quotient;
}

// The index that another operand gives at the point (a lookup). If all lanes read the same element of that
// operand, they access the same row; otherwise each lane has an index of its own.
std::pair<Index, Mask> LoopValues::lookUp(Operation *op, ArrayRef<flow::Access> accesses, unsigned operand,
                                          ArrayRef<Index> point, Mask mask) {
  OpBuilder &b = k.builder();
  auto [rows, inside] = element(op, accesses, operand, point, mask);
  bool uniform = true;
  for (AffineExpr index : accesses[operand].map.getResults())
    index.walk([&](AffineExpr part) {
      if (auto dim = dyn_cast<AffineDimExpr>(part))
        uniform &= point[dim.getPosition()].uniform();
    });
  Index row = m.constant(0);
  if (uniform) {
    Value one = vector::ExtractOp::create(b, k.loc(), rows, ArrayRef<int64_t>{0});
    row.base = arith::ExtSIOp::create(b, k.loc(), b.getI64Type(), one);
  } else {
    row.lanes = rows;
  }
  return {row, inside};
}

std::pair<Value, Value> LoopValues::segment(Operation *op, ArrayRef<flow::Access> accesses,
                                            flow::Access::Within within, ArrayRef<Index> point, Mask mask) {
  Value offsets = op->getOperand(within.operand);
  Mapped mapped(op, accesses[within.operand], point);
  SmallVector<Index> at;
  for (AffineExpr index : accesses[within.operand].map.getResults())
    at.push_back(indexOf(index, mapped));
  Value low = get(offsets, at, mask);
  at.back() = m.add(at.back(), 1);
  return {low, get(offsets, at, mask)};
}

LoopValues::Element LoopValues::element(Operation *op, ArrayRef<flow::Access> accesses, unsigned operand,
                                        ArrayRef<Index> point, Mask mask) {
  Value x = op->getOperand(operand);
  const flow::Access &access = accesses[operand];
  Mapped mapped(op, access, point);
  Mask inside;
  SmallVector<Index> at;
  for (auto [axis, expression] : llvm::enumerate(access.map.getResults())) {
    if (access.lookup && access.lookup->axis == axis) {
      auto [row, given] = lookUp(op, accesses, access.lookup->operand, point, mask);
      at.push_back(row);
      inside = m.both(inside, given);
    } else {
      at.push_back(indexOf(expression, mapped));
    }
    if (access.isBounded(axis))
      inside = m.both(inside, m.within(at.back(), extent(flow::Extent::of(x, axis))));
  }
  if (IntegerSet valid = access.valid)
    for (AffineExpr constraint : valid.getConstraints())
      inside = m.both(inside, m.equals(indexOf(constraint, mapped), k.i64(0)));
  if (access.within && !cut.contains({op, access.within->dim})) {
    auto [low, high] = segment(op, accesses, *access.within, point, mask);
    Value here = m.vector(point[access.within->dim]);
    OpBuilder &b = k.builder();
    Value begun = arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::sle, low, here);
    Value open = arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::slt, here, high);
    inside = m.both(inside, Mask{{}, arith::AndIOp::create(b, k.loc(), begun, open)});
  }
  return {get(x, at, m.both(mask, inside)), inside};
}

Value LoopValues::view(Operation *op, ArrayRef<Index> index, Mask mask) {
  // A reshape of a row-major tensor in memory is read through the strides of the new shape.
  if (isa<flow::ReshapeOp>(op))
    if (auto at = stored.find(op->getOperand(0)); at != stored.end() && at->second.rowMajor)
      return viewed(at->second, op->getResult(0), index, mask);
  SmallVector<flow::Access> accesses = cast<flow::ComputeInterface>(op).accesses();
  SmallVector<unsigned> candidates = flow::valueOperands(accesses);
  if (candidates.size() == 1) {
    auto [value, inside] = element(op, accesses, candidates[0], index, mask);
    return inside ? m.select(inside, value,
                             constant(flow::elementTypesOf(op->getResult(0).getType()).compute,
                                      accesses[candidates[0]].otherwise))
                  : value;
  }
  // The first operand whose access is valid; at every point one is.
  Value result;
  for (unsigned i : llvm::reverse(candidates)) {
    auto [value, inside] = element(op, accesses, i, index, mask);
    result = result ? m.select(inside, value, result) : value;
  }
  return result;
}

Value LoopValues::viewed(const Storage &storage, Value view, ArrayRef<Index> index, Mask mask) {
  SmallVector<flow::Extent> shape = flow::extentsOf(view);
  Storage own = storage;
  own.viewed = true;
  own.strides.assign(shape.size(), Value());
  Value stride = k.i64(1);
  for (size_t i = shape.size(); i--;) {
    own.strides[i] = stride;
    stride = m.mul(stride, extent(shape[i]));
  }
  return load(own, index, mask);
}

Value LoopValues::random(flow::RandomOp op, ArrayRef<Index> index, Mask mask) {
  OpBuilder &b = k.builder();
  Value logical;
  std::optional<Value> run; // if the lanes' indices are consecutive: the first one, a multiple of 4
  // The row-major index behind the axes that an operand gives the index of, or of all axes.
  const size_t given = op.getIndex() ? flow::extentsOf(op.getIndex()).size() : 0;
  const SmallVector<flow::Extent> sizes = flow::extentsOf(op.getY());
  Index linear = m.constant(0), behind = m.constant(1);
  for (auto [i, size] : llvm::drop_begin(llvm::zip(index, sizes), given)) {
    linear = m.add(m.mul(linear, extent(size)), i);
    behind = m.mul(behind, extent(size));
  }
  const bool consecutive = linear.step == 1 && !linear.lanes && width % 4 == 0;
  if (op.getIndex()) {
    ArrayRef<Index> first = index.take_front(given);
    Type wide = m.type(b.getI64Type());
    Value rows = arith::ExtUIOp::create(b, k.loc(), wide, get(op.getIndex(), first, mask));
    // Lanes along the axes behind have one row.
    const bool oneRow = llvm::none_of(first, [](const Index &i) { return !i.uniform(); });
    if (consecutive && oneRow && isMultiple(linear.base, 4) && isMultiple(behind.base, 4)) {
      Value row = vector::ExtractOp::create(b, k.loc(), rows, 0);
      run = m.add(m.mul(row, behind.base), linear.base);
    } else {
      logical = arith::AddIOp::create(b, k.loc(), arith::MulIOp::create(b, k.loc(), rows, m.wide(behind)),
                                      m.wide(linear));
    }
  } else if (consecutive && isMultiple(linear.base, 4)) {
    run = linear.base;
  } else {
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

} // namespace moe::kernels
