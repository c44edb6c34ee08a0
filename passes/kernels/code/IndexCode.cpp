// See IndexCode.h.
#include "passes/kernels/code/IndexCode.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace moe::kernels {

Value IndexCode::i64(Ix x) { return x.isStatic() ? code.i64(x.known()) : x.dynamic(); }

Ix IndexCode::size(flow::Extent extent) {
  if (std::optional<int64_t> known = extent.constantValue())
    return *known;
  return code.extent(plan::fromExtent(extent));
}

Ix IndexCode::add(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic())
    return x.known() + y.known();
  if (x.is(0))
    return y;
  if (y.is(0))
    return x;
  return arith::AddIOp::create(b, loc, i64(x), i64(y)).getResult();
}

Ix IndexCode::sub(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic())
    return x.known() - y.known();
  if (y.is(0))
    return x;
  return arith::SubIOp::create(b, loc, i64(x), i64(y)).getResult();
}

Ix IndexCode::mul(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic())
    return x.known() * y.known();
  if (x.is(0) || y.is(0))
    return 0;
  if (x.is(1))
    return y;
  if (y.is(1))
    return x;
  return arith::MulIOp::create(b, loc, i64(x), i64(y)).getResult();
}

template <typename Op> Ix IndexCode::divided(Ix x, Ix y) {
  if (!narrow)
    return Op::create(b, loc, i64(x), i64(y)).getResult();
  auto low = [&](Ix number) -> Value { return arith::TruncIOp::create(b, loc, b.getI32Type(), i64(number)); };
  Value result = Op::create(b, loc, low(x), low(y));
  return arith::ExtUIOp::create(b, loc, b.getI64Type(), result).getResult();
}

Ix IndexCode::div(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic() && !y.is(0))
    return x.known() / y.known();
  if (y.is(1))
    return x;
  return divided<arith::DivUIOp>(x, y);
}

Ix IndexCode::rem(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic() && !y.is(0))
    return x.known() % y.known();
  if (y.is(1))
    return 0;
  return divided<arith::RemUIOp>(x, y);
}

Ix IndexCode::min(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic())
    return std::min(x.known(), y.known());
  return arith::MinSIOp::create(b, loc, i64(x), i64(y)).getResult();
}

Ix IndexCode::max(Ix x, Ix y) {
  if (x.isStatic() && y.isStatic())
    return std::max(x.known(), y.known());
  return arith::MaxSIOp::create(b, loc, i64(x), i64(y)).getResult();
}

Value IndexCode::less(Ix x, Ix y) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, i64(x), i64(y));
}

Value IndexCode::equal(Ix x, Ix y) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, i64(x), i64(y));
}

Value IndexCode::both(Value x, Value y) {
  return !x ? y : !y ? x : arith::AndIOp::create(b, loc, x, y).getResult();
}

Value IndexCode::either(Value x, Value y) { return arith::OrIOp::create(b, loc, x, y); }

Ix IndexCode::select(Value condition, Ix x, Ix y) {
  return arith::SelectOp::create(b, loc, condition, i64(x), i64(y)).getResult();
}

Value IndexCode::pick(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

Value IndexCode::selectPointer(Value condition, Value x, Value y) {
  return LLVM::SelectOp::create(b, loc, condition, x, y);
}

void IndexCode::loop(Ix lower, Ix upper, Ix step, llvm::function_ref<void(Ix)> body) {
  loop(lower, upper, step, {}, [&](Ix i, Values) {
    body(i);
    return Values();
  });
}

Values IndexCode::loop(Ix lower, Ix upper, Ix step, Values carried,
                       llvm::function_ref<Values(Ix, Values)> body) {
  if (lower.isStatic() && upper.isStatic() && step.isStatic()) {
    if (upper.known() <= lower.known())
      return carried;
    if (upper.known() - lower.known() <= step.known())
      return body(lower, carried);
  }
  auto op = scf::ForOp::create(b, loc, i64(lower), i64(upper), i64(step), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.getBody());
  Values next = body(op.getInductionVar(), Values(op.getRegionIterArgs()));
  b.setInsertionPointToEnd(op.getBody());
  if (op.getBody()->empty() || !op.getBody()->back().hasTrait<OpTrait::IsTerminator>())
    scf::YieldOp::create(b, loc, next);
  return Values(op.getResults());
}

void IndexCode::when(Value condition, llvm::function_ref<void()> then) {
  if (!condition)
    return then();
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  then();
}

Values IndexCode::choose(Value condition, llvm::function_ref<Values()> then,
                         llvm::function_ref<Values()> otherwise) {
  auto op = scf::IfOp::create(
      b, loc, condition, [&](OpBuilder &, Location) { scf::YieldOp::create(b, loc, then()); },
      [&](OpBuilder &, Location) { scf::YieldOp::create(b, loc, otherwise()); });
  return Values(op.getResults());
}

} // namespace moe::kernels
