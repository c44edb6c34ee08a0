// Emits the kernel of flow.counting_sort, which one block runs. Keys outside 0 to count - 1 are treated as the key
// `count`. The indices are taken in blocks of as many as there are threads:
//   1. Count how often each key occurs.
//   2. The first position of each key is the sum of the counts of those before it.
//   3. Write each index to the next position of its key, and that position; it moves on by one.
// Within a block of indices, a thread counts how many threads before it have the same key, and the last one with a key
// updates the key's count or position. So nothing depends on the order in which threads run.
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/kernels/IndexRange.h"
#include "passes/kernels/SortGroup.h"

using namespace mlir;

namespace moe::cuda {
namespace {

constexpr int64_t kThreads = 256;

class SortKernel {
public:
  SortKernel(flow::CountingSortOp sort, KernelBuilder &kernel)
      : sort(sort), k(kernel), code(kernel), b(kernel.builder()), number(b.getI32Type()) {}

  LaunchSpec emit(BufferRef order, BufferRef offsets, BufferRef positions, BufferRef nextOfKeys) {
    const flow::Extent places = flow::elementsOf(sort.getIndex().getType()),
                       ends = flow::elementsOf(sort.getOffsets().getType());
    auto buffer = [&](plan::Access access, BufferRef bound, const flow::Extent &elements) {
      return k.buffer(access, plan::Element::i32, bound, plan::fromExtent(elements));
    };
    from = buffer(plan::Access::read, {BufferRef::operand, 0}, places);
    to = buffer(plan::Access::write, order, places);
    first = buffer(plan::Access::write, offsets, ends);
    back = buffer(plan::Access::write, positions, places);
    next = buffer(plan::Access::write, nextOfKeys, ends);
    keys = k.shared(kThreads, number);
    Ix placeCount = code.size(places), endCount = code.size(ends);
    Ix largest = code.sub(endCount, 1);
    outside = arith::TruncIOp::create(b, k.loc(), number, code.i64(largest));

    forBlocks(endCount, [&](Ix i, Value some) {
      code.when(some, [&] { k.store(constant(0), next, number, code.i64(i)); });
    });
    k.barrier();
    forBlocks(placeCount, [&](Ix i, Value some) {
      Value key = publish(i, some);
      auto [before, later] = same(key);
      code.when(lastOf(some, later), [&] {
        Value at = wide(key);
        k.store(add(k.load(number, next, number, at), add(before, constant(1))), next, number, at);
      });
      k.barrier();
    });
    Values carried{constant(0)};
    code.loop(0, endCount, kThreads, carried, [&](Ix block, Values sums) {
      Ix i = code.add(block, k.thread());
      Value some = code.less(i, endCount);
      Value count = code.choose(
          some, [&] { return Values{k.load(number, next, number, code.i64(i))}; },
          [&] { return Values{constant(0)}; })[0];
      k.store(count, keys, number, k.thread());
      k.barrier();
      Values parts = code.loop(0, kThreads, 1, {constant(0), constant(0)}, [&](Ix j, Values inner) {
        Value other = k.load(number, keys, number, code.i64(j));
        Value earlier = code.pick(code.less(j, k.thread()), other, constant(0));
        return Values{add(inner[0], earlier), add(inner[1], other)};
      });
      code.when(some, [&] {
        Value position = add(sums[0], parts[0]);
        k.store(position, first, number, code.i64(i));
        k.store(position, next, number, code.i64(i));
      });
      k.barrier();
      return Values{add(sums[0], parts[1])};
    });
    forBlocks(placeCount, [&](Ix i, Value some) {
      Value key = publish(i, some);
      auto [before, later] = same(key);
      Value position = code.choose(
          some, [&] { return Values{add(k.load(number, next, number, wide(key)), before)}; },
          [&] { return Values{constant(0)}; })[0];
      k.barrier(); // all have read before one writes
      code.when(some, [&] {
        k.store(arith::TruncIOp::create(b, k.loc(), number, code.i64(i)), to, number, wide(position));
        k.store(position, back, number, code.i64(i));
      });
      code.when(lastOf(some, later), [&] { k.store(add(position, constant(1)), next, number, wide(key)); });
      k.barrier();
    });
    LaunchSpec launch = k.finish(flow::Extent::constant(sort.getContext(), 1));
    launch.op = sort->getName().stripDialect().str();
    launch.flops = plan::fromExtent(sort.cost().flops);
    launch.bytes = plan::fromExtent(flow::bytesOf(sort.getIndex().getType()) * 3 +
                                    flow::bytesOf(sort.getOffsets().getType()));
    return launch;
  }

private:
  Value constant(int32_t value) { return arith::ConstantOp::create(b, k.loc(), b.getI32IntegerAttr(value)); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, k.loc(), x, y); }
  Value wide(Value x) { return arith::ExtUIOp::create(b, k.loc(), b.getI64Type(), x); }
  /// For each block of indices below `count`: the thread's index, and whether there is one. All threads take part.
  void forBlocks(Ix count, llvm::function_ref<void(Ix, Value)> body) {
    code.loop(0, count, kThreads, [&](Ix block) {
      Ix i = code.add(block, k.thread());
      body(i, code.less(i, count));
    });
  }
  /// Shows the key at the thread's index to all threads; -1 if there is no index. As an unsigned number, a negative
  /// key is larger than all others.
  Value publish(Ix i, Value some) {
    Value key = code.choose(
        some,
        [&]() -> Values {
          Value found = k.load(number, from, number, code.i64(i));
          return {arith::MinUIOp::create(b, k.loc(), found, outside)};
        },
        [&] { return Values{constant(-1)}; })[0];
    k.store(key, keys, number, k.thread());
    k.barrier();
    return key;
  }
  /// How many threads before this one, and after it, have its key.
  std::pair<Value, Value> same(Value key) {
    Values found = code.loop(0, kThreads, 1, {constant(0), constant(0)}, [&](Ix j, Values counts) {
      Value other = k.load(number, keys, number, code.i64(j));
      Value equal = arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::eq, key, other);
      Value one = arith::ExtUIOp::create(b, k.loc(), number, equal), none = constant(0);
      return Values{add(counts[0], code.pick(code.less(j, k.thread()), one, none)),
                    add(counts[1], code.pick(code.less(k.thread(), j), one, none))};
    });
    return {found[0], found[1]};
  }
  Value lastOf(Value some, Value later) {
    return code.both(some, arith::CmpIOp::create(b, k.loc(), arith::CmpIPredicate::eq, later, constant(0)));
  }

  flow::CountingSortOp sort;
  KernelBuilder &k;
  IndexCode code;
  OpBuilder &b;
  Type number;
  Value from, to, first, back, next, keys, outside;
};

} // namespace

FailureOr<GroupCode> emitSortGroup(flow::GroupOp group, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  FailureOr<SortGroup> described = SortGroup::of(group);
  if (failed(described))
    return failure();
  GroupCode code = std::move(described->code);
  BufferRef next = code.addTemporary(flow::elementsOf(described->sort.getOffsets().getType()),
                                     "next positions of keys", plan::Element::i32);
  KernelBuilder kernel = module.begin("sort", kThreads, group.getLoc());
  code.launches.push_back(SortKernel(described->sort, kernel)
                              .emit(described->order, described->offsets, described->positions, next));
  return code;
}

} // namespace moe::cuda
