// Emits the reductions of a loop group's kernel on a GPU. A nest whose vectors lie along its results is reduced by the
// threads that have these results. Otherwise the threads of a team share the elements of each result: each thread sums
// its own, and then the partial results are combined across the elements of a vector, the threads of each warp, by
// shuffles, and the warps, in shared memory. The order depends on the sizes only; see LoopKernel.h.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cuda/loops/LoopKernel.h"

using namespace mlir;

namespace moe::cuda {

// Stores the results of a stage's op, or its accumulators if they are partial. `number` is the thread's rank among
// those that have them; null if there is one. Values without a dimension inside of the unit stay in registers.
void LoopKernel::finish(const LoopNest &nest, const LoopStage &stage, Values accumulators, Value number) {
  Operation *op = stage.value.getDefiningOp();
  if (part == partial) {
    SmallVector<Index> index = indexOf(stage.value);
    index.push_back(Index{chunkIndex});
    once(number, [&] {
      for (auto [accumulator, storage] : llvm::zip_equal(accumulators, partials[op]))
        values.store(accumulator, storage, index, {});
    });
    return;
  }
  Values results = cast<flow::ReductionInterface>(op).buildFinish(b(), loc(), accumulators);
  const bool uniform = inside(stage.dims).empty();
  SmallVector<OpResult> stored;
  for (unsigned s : nest.stages)
    if (auto value = cast<OpResult>(a.stages[s].value); value.getOwner() == op) {
      if (uniform)
        values.uniform[value] = results[value.getResultNumber()];
      if (targets.count(value))
        stored.push_back(value);
    }
  if (stored.empty())
    return;
  once(number, [&] {
    for (OpResult value : stored)
      storeStage(value, results[value.getResultNumber()], std::nullopt);
  });
}

void LoopKernel::finishAll(const LoopNest &nest, const Values &sums, Value number) {
  size_t taken = 0;
  for (unsigned s : nest.reductions) {
    const size_t count = countOf(a.stages[s]);
    finish(nest, a.stages[s], Values(sums.begin() + taken, sums.begin() + taken + count), number);
    taken += count;
  }
}

// The accumulators of all stages after one more point.
Values LoopKernel::addPoint(const LoopNest &nest, const Values &accumulators) {
  values.newPoint();
  Values next;
  for (unsigned s : nest.reductions) {
    Values added = elements(a.stages[s], {});
    next.append(combined(a.stages[s], ValueRange(accumulators).slice(next.size(), added.size()), added));
  }
  return next;
}

// A nest whose results are shared among the threads of a team, or are one thread's: each thread runs through the
// elements of its results.
void LoopKernel::emitColumns(const LoopNest &nest, int vector) {
  const bool chunked = part == combine && &nest == &a.nests.front();
  SmallVector<unsigned> reduced(nest.reduced);
  if (chunked)
    reduced.assign({chunkDim});
  int64_t turns = 1;
  for (unsigned d : reduced) {
    std::optional<int64_t> size = rangeOf(d).size;
    turns = size && turns <= 8 ? turns * *size : 1000;
  }
  const SmallVector<unsigned> own = inside(nest.dims);
  auto result = [&](Values) {
    Values start;
    for (unsigned s : nest.reductions)
      start.append(startOf(a.stages[s]));
    auto body = [&](Values accumulators) { return addPoint(nest, accumulators); };
    Values sums = inSegments(nest, [&] {
      return !chunked && turns <= 8 ? loops(reduced, start, true, body)
                                    : loopsInRuns(nest, reduced, chunked ? runLength : 1, start, body);
    });
    finishAll(nest, sums, own.empty() ? rank : Value());
    return Values();
  };
  if (shape.team == 1)
    loops(own, {}, false, result);
  else
    share(own, vector, rank, shape.team, {}, result);
}

// The values of the lane whose number differs in the bits of `offset`. Masks are exchanged as numbers.
Values LoopKernel::exchanged(ValueRange own, int64_t offset) {
  Values other;
  for (Value value : own) {
    Type type = value.getType();
    if (!type.isInteger(1)) {
      other.push_back(kernel.exchange(value, offset));
      continue;
    }
    Value wide = arith::ExtUIOp::create(b(), loc(), b().getI32Type(), value);
    other.push_back(arith::TruncIOp::create(b(), loc(), type, kernel.exchange(wide, offset)));
  }
  return other;
}

// The accumulators (scalars) of all warps combined, in every thread.
Values LoopKernel::acrossWarps(const LoopNest &nest, Values sums) {
  const int64_t warps = shape.team / kWarp;
  auto memory = [&](Type type) { return flow::elementTypesOf(type).storage; };
  SmallVector<Value> slots;
  for (Value value : sums) {
    Value &slot = warpSlots[{slots.size(), memory(value.getType())}];
    if (!slot)
      slot = kernel.shared(warps, memory(value.getType()));
    slots.push_back(slot);
  }
  once(lane, [&] {
    for (auto [value, slot] : llvm::zip_equal(sums, slots)) {
      Type type = memory(value.getType());
      Value stored = type == value.getType() ? value : Value(arith::ExtUIOp::create(b(), loc(), type, value));
      k.store(stored, slot, type, warp);
    }
  });
  kernel.barrier();
  std::vector<Values> each(warps);
  for (int64_t w = 0; w < warps; ++w)
    for (auto [value, slot] : llvm::zip_equal(sums, slots)) {
      Type type = memory(value.getType());
      Value loaded = k.load(type, slot, type, k.i64(w));
      if (type != value.getType())
        loaded = arith::TruncIOp::create(b(), loc(), value.getType(), loaded);
      each[w].push_back(loaded);
    }
  kernel.barrier(); // the slots may be written again
  for (int64_t distance = 1; distance < warps; distance *= 2)
    for (int64_t w = 0; w + distance < warps; w += 2 * distance)
      each[w] = combinedAll(nest, each[w], each[w + distance]);
  return each[0];
}

// Two sets of the accumulators of all stages combined.
Values LoopKernel::combinedAll(const LoopNest &nest, ValueRange x, ValueRange y) {
  Values both;
  for (unsigned s : nest.reductions) {
    const size_t from = both.size(), count = countOf(a.stages[s]);
    both.append(combined(a.stages[s], x.slice(from, count), y.slice(from, count)));
  }
  return both;
}

// The accumulators of `count` threads, a warp or the team, combined: the same in each of them.
Values LoopKernel::acrossThreads(const LoopNest &nest, const Values &accumulators, int64_t count) {
  Values sums;
  for (Value value : accumulators)
    sums.push_back(vector::ExtractOp::create(b(), loc(), value, int64_t(0)));
  for (int64_t offset = kWarp / 2; offset; offset /= 2) {
    Values other = exchanged(sums, offset);
    // The lower lane's part comes first in both lanes, so both have the same result.
    Value bit = arith::AndIOp::create(b(), loc(), lane, k.i64(offset));
    Value lower = arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::eq, bit, k.i64(0));
    Values x, y;
    for (auto [own, given] : llvm::zip_equal(sums, other)) {
      x.push_back(arith::SelectOp::create(b(), loc(), lower, own, given));
      y.push_back(arith::SelectOp::create(b(), loc(), lower, given, own));
    }
    sums = combinedAll(nest, x, y);
  }
  if (count > kWarp)
    sums = acrossWarps(nest, sums);
  for (Value &value : sums)
    value = m.splat(value);
  return sums;
}

// A nest whose threads share the elements of each result. If a block has several results, each is a warp's.
void LoopKernel::emitRows(const LoopNest &nest, int vector) {
  const bool chunked = part == combine && &nest == &a.nests.front();
  SmallVector<unsigned> reduced(nest.reduced);
  if (chunked)
    reduced.assign({chunkDim});
  const SmallVector<unsigned> own = inside(nest.dims);
  const bool warps = shape.team > kWarp && !own.empty() && nest.segments.empty();
  Value number = warps ? lane : rank;
  const int64_t count = warps ? kWarp : shape.team;
  auto result = [&](Values) {
    Values start;
    for (unsigned s : nest.reductions)
      start.append(startOf(a.stages[s]));
    auto body = [&](Values accumulators) { return addPoint(nest, accumulators); };
    Values sums;
    if (reduced.empty()) { // all reduced axes are of extent 1: each result has one element
      sums = body(start);
    } else {
      sums = inSegments(nest, [&] { return shareInRuns(nest, reduced, vector, number, count, start, body); });
      if (width > 1 && vector >= 0 && llvm::is_contained(reduced, unsigned(vector))) {
        Values across;
        for (unsigned s : nest.reductions)
          across.append(
              acrossLanes(a.stages[s], Values(ValueRange(sums).slice(across.size(), countOf(a.stages[s])))));
        sums = across;
      }
      sums = acrossThreads(nest, sums, count);
    }
    finishAll(nest, sums, number);
    return Values();
  };
  if (warps)
    share(own, -1, warp, shape.team / kWarp, {}, result);
  else
    loops(own, {}, false, result);
}

} // namespace moe::cuda
