// Arithmetic on indices; see LoopIndex.h. The lanes of an index are 32-bit numbers, which is enough since an
// index stays within one tensor.
#include "passes/kernels/loops/LoopIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace moe::kernels {

std::optional<int64_t> constantOf(Value value) {
  APInt number;
  if (value && matchPattern(value, m_ConstantInt(&number)))
    return number.getSExtValue();
  return std::nullopt;
}

Ix toIx(Value value) {
  std::optional<int64_t> constant = constantOf(value);
  return constant ? Ix(*constant) : Ix(value);
}

bool isMultiple(Value value, int64_t by) {
  if (std::optional<int64_t> known = constantOf(value))
    return *known % by == 0;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
    return loop && argument == loop.getInductionVar() && isMultiple(loop.getLowerBound(), by) &&
           isMultiple(loop.getStep(), by);
  }
  Operation *op = value.getDefiningOp();
  if (isa<arith::AddIOp, arith::SubIOp>(op))
    return isMultiple(op->getOperand(0), by) && isMultiple(op->getOperand(1), by);
  return isa<arith::MulIOp>(op) && (isMultiple(op->getOperand(0), by) || isMultiple(op->getOperand(1), by));
}

Value IndexMath::splat(Value scalar) {
  return vector::BroadcastOp::create(k.builder(), k.loc(), type(scalar.getType()), scalar);
}

Value IndexMath::iota() {
  SmallVector<int32_t> numbers = llvm::to_vector(llvm::seq<int32_t>(0, int32_t(width)));
  auto attribute = DenseElementsAttr::get(type(k.builder().getI32Type()), ArrayRef<int32_t>(numbers));
  return arith::ConstantOp::create(k.builder(), k.loc(), attribute);
}

static Value splatConstant(KernelCode &k, VectorType type, int64_t value) {
  return arith::ConstantOp::create(
      k.builder(), k.loc(),
      DenseElementsAttr::get(type, Attribute(k.builder().getIntegerAttr(type.getElementType(), value))));
}

Index IndexMath::add(Index a, Index b) {
  Index sum{add(a.base, b.base), a.step + b.step, a.lanes};
  if (b.lanes)
    sum.lanes = a.lanes ? Value(arith::AddIOp::create(k.builder(), k.loc(), a.lanes, b.lanes)) : b.lanes;
  return sum;
}

Index IndexMath::mul(Index a, Value factor) {
  Index product{mul(a.base, factor)};
  if (a.uniform())
    return product;
  if (std::optional<int64_t> known = constantOf(factor)) {
    product.step = a.step * *known;
    if (a.lanes)
      product.lanes =
          *known == 1
              ? a.lanes
              : Value(arith::MulIOp::create(k.builder(), k.loc(), a.lanes,
                                            splatConstant(k, type(k.builder().getI32Type()), *known)));
    return product;
  }
  Value narrow = splat(arith::TruncIOp::create(k.builder(), k.loc(), k.builder().getI32Type(), factor));
  product.lanes = arith::MulIOp::create(k.builder(), k.loc(), vector({k.i64(0), a.step, a.lanes}), narrow);
  return product;
}

std::pair<Index, Index> IndexMath::divide(Index a, Value divisor) {
  if (a.uniform())
    return {Index{div(a.base, divisor)}, Index{rem(a.base, divisor)}};
  if (constantOf(divisor) == 1)
    return {a, constant(0)};
  Type i32 = k.builder().getI32Type();
  Value dividend = vector(a), by;
  if (std::optional<int64_t> known = constantOf(divisor))
    by = splatConstant(k, type(i32), *known);
  else
    by = splat(arith::TruncIOp::create(k.builder(), k.loc(), i32, divisor));
  Value quotient = arith::DivUIOp::create(k.builder(), k.loc(), dividend, by);
  Value back = arith::MulIOp::create(k.builder(), k.loc(), quotient, by);
  Value remainder = arith::SubIOp::create(k.builder(), k.loc(), dividend, back);
  return {Index{k.i64(0), 0, quotient}, Index{k.i64(0), 0, remainder}};
}

std::pair<Index, Index> IndexMath::divideSigned(Index a, Value divisor) {
  OpBuilder &b = k.builder();
  Location loc = k.loc();
  Type i32 = b.getI32Type();
  Value number = a.uniform() ? a.base : vector(a);
  Value by = a.uniform() ? divisor : splat(arith::TruncIOp::create(b, loc, i32, divisor));
  // Division rounds towards 0. For a negative number with a remainder, the quotient is one too large.
  Value quotient = arith::DivSIOp::create(b, loc, number, by);
  Value left = arith::SubIOp::create(b, loc, number, arith::MulIOp::create(b, loc, quotient, by));
  Value none = a.uniform() ? k.i64(0) : splatConstant(k, type(i32), 0),
        one = a.uniform() ? k.i64(1) : splatConstant(k, type(i32), 1);
  Value below = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, left, none);
  quotient = arith::SelectOp::create(b, loc, below, arith::SubIOp::create(b, loc, quotient, one), quotient);
  left = arith::SelectOp::create(b, loc, below, arith::AddIOp::create(b, loc, left, by), left);
  if (a.uniform())
    return {Index{quotient}, Index{left}};
  return {Index{k.i64(0), 0, quotient}, Index{k.i64(0), 0, left}};
}

Value IndexMath::vector(Index index) {
  Type i32 = k.builder().getI32Type();
  Value sum;
  auto plus = [&](Value more) {
    sum = sum ? Value(arith::AddIOp::create(k.builder(), k.loc(), sum, more)) : more;
  };
  if (constantOf(index.base) != 0)
    plus(splat(arith::TruncIOp::create(k.builder(), k.loc(), i32, index.base)));
  if (index.step == 1)
    plus(iota());
  else if (index.step)
    plus(arith::MulIOp::create(k.builder(), k.loc(), iota(), splatConstant(k, type(i32), index.step)));
  if (index.lanes)
    plus(index.lanes);
  return sum ? sum : splatConstant(k, type(i32), 0);
}

Value IndexMath::wide(Index index) {
  Type i64 = k.builder().getI64Type();
  Value lanes = vector({k.i64(0), index.step, index.lanes});
  Value wideLanes = arith::ExtUIOp::create(k.builder(), k.loc(), type(i64), lanes);
  return arith::AddIOp::create(k.builder(), k.loc(), splat(index.base), wideLanes);
}

Mask IndexMath::both(Mask a, Mask b) {
  auto join = [&](Value x, Value y) -> Value {
    if (!x || !y)
      return x ? x : y;
    return arith::AndIOp::create(k.builder(), k.loc(), x, y);
  };
  return {join(a.uniform, b.uniform), join(a.lanes, b.lanes)};
}

Mask IndexMath::compare(Index index, Value value, bool equal) {
  // As unsigned numbers, negative ones are larger than every extent.
  auto predicate = equal ? arith::CmpIPredicate::eq : arith::CmpIPredicate::ult;
  if (index.uniform())
    return {arith::CmpIOp::create(k.builder(), k.loc(), predicate, index.base, value), {}};
  Value narrow = arith::TruncIOp::create(k.builder(), k.loc(), k.builder().getI32Type(), value);
  return {{}, arith::CmpIOp::create(k.builder(), k.loc(), predicate, vector(index), splat(narrow))};
}
Mask IndexMath::within(Index index, Value extent) {
  auto at = index.uniform() ? constantOf(index.base) : std::nullopt, size = constantOf(extent);
  if (at && size && *at >= 0 && *at < *size)
    return {};
  return compare(index, extent, false);
}
Mask IndexMath::equals(Index index, Value value) { return compare(index, value, true); }

Value IndexMath::bits(Mask mask) {
  if (!mask.uniform)
    return mask.lanes;
  Value all = splat(mask.uniform);
  return mask.lanes ? Value(arith::AndIOp::create(k.builder(), k.loc(), all, mask.lanes)) : all;
}

Value IndexMath::select(Mask mask, Value value, Value otherwise) {
  if (!mask)
    return value;
  if (!mask.lanes)
    return arith::SelectOp::create(k.builder(), k.loc(), mask.uniform, value, otherwise);
  return arith::SelectOp::create(k.builder(), k.loc(), bits(mask), value, otherwise);
}

} // namespace moe::kernels
