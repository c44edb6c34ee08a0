// Emits the kernel of flow.counting_sort, which has one work unit:
//   1. Count how often each key occurs. Keys outside 0 to count - 1 are treated as the key `count`.
//   2. Make the counts to the first position of each key, by an exclusive prefix sum.
//   3. For each index, in order, write it to the next position of its key, and that position; it moves on by one.
//   4. Now offsets[k] is where key k + 1 begins: shift all offsets up by one.
// Steps 1 to 3 work in place in the result `offsets`: offsets[k] belongs to key k.
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/cpu/code/KernelBuilder.h"
#include "passes/kernels/IndexRange.h"
#include "passes/kernels/SortGroup.h"

using namespace mlir;

namespace moe::cpu {
namespace {

class SortKernel {
public:
  SortKernel(flow::CountingSortOp sort, KernelModule &module)
      : sort(sort), k(module.begin("sort", sort.getLoc())), b(k.builder()), number(b.getI32Type()) {}

  LaunchSpec emit(BufferRef order, BufferRef offsets, BufferRef positions) {
    const flow::Extent places = flow::elementsOf(sort.getIndex().getType()),
                       ends = flow::elementsOf(sort.getOffsets().getType());
    auto buffer = [&](plan::Access access, BufferRef bound, const flow::Extent &elements) {
      return k.buffer(access, plan::Element::i32, bound, plan::fromExtent(elements));
    };
    from = buffer(plan::Access::read, {BufferRef::operand, 0}, places);
    to = buffer(plan::Access::write, order, places);
    at = buffer(plan::Access::write, offsets, ends);
    back = buffer(plan::Access::write, positions, places);
    Value placeCount = k.extent(plan::fromExtent(places)), endCount = k.extent(plan::fromExtent(ends));
    outside = arith::TruncIOp::create(b, k.loc(), number, sub(endCount, 1));
    Value zero = constant(0);
    loop(k.begin(), k.end(), [&](Value) {
      loop(k.i64(0), endCount, [&](Value i) { k.store(zero, at, number, i); });
      loop(k.i64(0), placeCount, [&](Value i) {
        Value key = keyOf(i);
        k.store(add(k.load(number, at, number, key), 1), at, number, key);
      });
      carry(k.i64(0), endCount, zero, [&](Value i, Value sum) {
        Value count = k.load(number, at, number, i);
        k.store(sum, at, number, i);
        return Value(arith::AddIOp::create(b, k.loc(), sum, count));
      });
      loop(k.i64(0), placeCount, [&](Value i) {
        Value key = keyOf(i), position = k.load(number, at, number, key);
        Value wide = arith::ExtSIOp::create(b, k.loc(), b.getI64Type(), position);
        k.store(arith::TruncIOp::create(b, k.loc(), number, i), to, number, wide);
        k.store(position, back, number, i);
        k.store(add(position, 1), at, number, key);
      });
      carry(k.i64(0), endCount, zero, [&](Value i, Value begin) {
        Value end = k.load(number, at, number, i);
        k.store(begin, at, number, i);
        return end;
      });
    });
    return k.finish(
        sort->getName().stripDialect(), flow::Extent::constant(sort.getContext(), 1), sort.cost().flops,
        flow::bytesOf(sort.getIndex().getType()) * 3 + flow::bytesOf(sort.getOffsets().getType()));
  }

private:
  Value constant(int32_t value) { return arith::ConstantOp::create(b, k.loc(), b.getI32IntegerAttr(value)); }
  Value add(Value x, int32_t y) { return arith::AddIOp::create(b, k.loc(), x, constant(y)); }
  Value sub(Value x, int64_t y) { return arith::SubIOp::create(b, k.loc(), x, k.i64(y)); }
  // The key at an index; as an unsigned number, a negative key is larger than all others.
  Value keyOf(Value place) {
    Value key = k.load(number, from, number, place);
    Value least = arith::MinUIOp::create(b, k.loc(), key, outside);
    return arith::ExtUIOp::create(b, k.loc(), b.getI64Type(), least);
  }
  void loop(Value low, Value high, llvm::function_ref<void(Value)> body) {
    auto op = scf::ForOp::create(b, k.loc(), low, high, k.i64(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(op.getBody()->getTerminator());
    body(op.getInductionVar());
  }
  void carry(Value low, Value high, Value start, llvm::function_ref<Value(Value, Value)> body) {
    auto op = scf::ForOp::create(b, k.loc(), low, high, k.i64(1), ValueRange{start});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(op.getBody());
    Value next = body(op.getInductionVar(), op.getRegionIterArg(0));
    scf::YieldOp::create(b, k.loc(), next);
  }

  flow::CountingSortOp sort;
  KernelBuilder k;
  OpBuilder &b;
  Type number;
  Value from, to, at, back, outside;
};

} // namespace

FailureOr<GroupCode> emitSortGroup(flow::GroupOp group, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  FailureOr<SortGroup> found = SortGroup::of(group);
  if (failed(found))
    return failure();
  GroupCode code = std::move(found->code);
  code.launches.push_back(
      SortKernel(found->sort, module).emit(found->order, found->offsets, found->positions));
  return code;
}

} // namespace moe::cpu
