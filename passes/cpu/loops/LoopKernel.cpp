// Emits the loops of a loop group's kernel: over work units, dimensions, and vectors with a masked rest; and
// the nests without reductions. See LoopKernel.h.
#include "passes/cpu/loops/LoopKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace moe::cpu {

Mask LoopKernel::firstLanes(Value count) {
  if (auto known = constantOf(count)) {
    SmallVector<bool> lanes;
    for (int64_t i = 0; i < width; ++i)
      lanes.push_back(i < *known);
    return {{},
            arith::ConstantOp::create(
                b(), loc(), DenseElementsAttr::get(m.type(b().getI1Type()), ArrayRef<bool>(lanes)))};
  }
  Value narrow = m.splat(arith::TruncIOp::create(b(), loc(), b().getI32Type(), count));
  return {{}, arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::slt, m.iota(), narrow)};
}

// Runs over a range with `count` full vectors per iteration, then with one, then with a masked vector for the
// rest. The body gets the first element, the number of vectors, and the mask of the last one.
Values LoopKernel::vectors(LoopRange range, unsigned count, Values carried,
                           llvm::function_ref<Values(Value, unsigned, Mask, Values)> body) {
  auto run = [&](Value low, Value high, unsigned many) {
    carried = loop(low, high, many * width, carried,
                   [&](Value i, Values inner) { return body(i, many, {}, inner); });
  };
  if (range.size) {
    int64_t blocks = *range.size / (width * count) * (width * count), whole = *range.size / width * width;
    Value blocksEnd = m.add(range.low, k.i64(blocks)), wholeEnd = m.add(range.low, k.i64(whole));
    run(range.low, blocksEnd, count);
    // The vectors after the last full block, with the masked one as the last.
    unsigned left = (whole - blocks) / width;
    Mask mask = *range.size == whole ? Mask() : firstLanes(k.i64(*range.size - whole));
    if (left && !mask)
      carried = body(blocksEnd, left, {}, carried);
    else if (left)
      carried = body(blocksEnd, left + 1, mask, carried);
    else if (mask)
      carried = body(wholeEnd, 1, mask, carried);
    return carried;
  }
  Value length = m.sub(range.high, range.low);
  auto roundDown = [&](int64_t to) { return m.add(range.low, m.mul(m.div(length, k.i64(to)), k.i64(to))); };
  Value wholeEnd = roundDown(width);
  if (count > 1) {
    Value blocksEnd = roundDown(width * count);
    run(range.low, blocksEnd, count);
    run(blocksEnd, wholeEnd, 1);
  } else {
    run(range.low, wholeEnd, 1);
  }
  Value rest = m.sub(range.high, wholeEnd);
  Value some = arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::sgt, rest, k.i64(0));
  SmallVector<Type> types;
  for (Value v : carried)
    types.push_back(v.getType());
  auto op = scf::IfOp::create(b(), loc(), types, some, /*withElseRegion=*/!types.empty());
  OpBuilder::InsertionGuard guard(b());
  b().setInsertionPointToStart(&op.getThenRegion().front());
  Values results = body(wholeEnd, 1, firstLanes(rest), carried);
  if (types.empty())
    return {};
  b().setInsertionPointToEnd(&op.getThenRegion().front());
  scf::YieldOp::create(b(), loc(), results);
  b().setInsertionPointToStart(&op.getElseRegion().front());
  scf::YieldOp::create(b(), loc(), carried);
  return Values(op.getResults().begin(), op.getResults().end());
}

// Stores the results of a stage's op, or keeps them in registers if they have no axis within the unit.
void LoopKernel::finish(const LoopNest &nest, const LoopStage &stage, Values accumulators, Mask mask) {
  Operation *op = stage.value.getDefiningOp();
  if (part == partial) {
    SmallVector<Index> index = indexOf(stage.value);
    index.push_back(Index{chunkIndex});
    for (auto [accumulator, storage] : llvm::zip_equal(accumulators, partials[op]))
      values.store(accumulator, storage, index, mask);
    return;
  }
  Values results = cast<flow::ReductionInterface>(op).buildFinish(b(), loc(), accumulators);
  for (unsigned s : nest.stages) {
    auto value = cast<OpResult>(a.stages[s].value);
    if (value.getOwner() != op)
      continue;
    Value result = results[value.getResultNumber()];
    auto found = targets.find(value);
    if (found == targets.end()) {
      values.uniform[value] = result;
      continue;
    }
    values.store(result, found->second, indexOf(value), mask);
    for (unsigned i = 0; i < group.getNumResults(); ++i)
      if (yielded(i) == value)
        stores.push_back({i, std::nullopt});
  }
}

void LoopKernel::emitParallel(const LoopNest &nest, ArrayRef<unsigned> outer) {
  auto point = [&](Mask mask) {
    values.newPoint();
    SmallVector<std::pair<const LoopStage *, Value>> results;
    for (unsigned s : nest.stages) {
      const LoopStage &stage = a.stages[s];
      SmallVector<Index> index = indexOf(stage.value);
      // By `get`, so that other stages of this point find the value.
      results.push_back({&stage, values.get(stage.value, index, mask)});
    }
    for (auto [stage, value] : results) {
      auto found = targets.find(stage->value);
      if (found == targets.end()) {
        values.uniform[stage->value] = value;
        continue;
      }
      SmallVector<Index> index = indexOf(stage->value);
      values.store(value, found->second, index, mask);
      for (unsigned i = 0; i < group.getNumResults(); ++i)
        if (yielded(i) == stage->value)
          stores.push_back({i, values.placeOf(index)});
    }
  };
  loops(outer, {}, false, [&](Values) {
    if (nest.vector < 0 ||
        (llvm::is_contained(schedule.units, unsigned(nest.vector)) && !schedule.vectorChunk)) {
      point({});
    } else {
      unsigned d = nest.vector;
      vectors(rangeOf(d), 1, {}, [&](Value i, unsigned, Mask mask, Values) {
        at[d] = Index{i, 1};
        point(mask);
        return Values();
      });
    }
    return Values();
  });
}

void LoopKernel::emitNest(const LoopNest &nest) {
  SmallVector<unsigned> outer;
  for (unsigned d : nest.dims)
    if (!llvm::is_contained(schedule.units, d) && int(d) != nest.vector)
      outer.push_back(d);
  values.nestBlock = b().getInsertionBlock();
  values.nest = &nest - a.nests.data();
  if (!nest.reduces)
    emitParallel(nest, outer);
  else if (nest.vector >= 0 && llvm::is_contained(nest.dims, unsigned(nest.vector)))
    emitColumns(nest, outer);
  else
    emitRows(nest, outer);
  for (unsigned s : nest.stages)
    if (auto found = targets.find(a.stages[s].value); found != targets.end())
      values.stored[a.stages[s].value] = found->second;
}

void LoopKernel::emitNests() {
  for (auto [i, nest] : llvm::enumerate(a.nests))
    if (part != partial || i == 0)
      emitNest(nest);
}

void LoopKernel::emitUnits() {
  at.assign(a.dims.size(), m.constant(0));
  loop(kernel.begin(), kernel.end(), 1, [&](Value unit) {
    if (part == partial) {
      chunkIndex = unit;
      Value low = m.mul(unit, k.i64(schedule.splitChunk)),
            high = m.min(m.add(low, k.i64(schedule.splitChunk)), extent(a.dims[schedule.splitDim].extent));
      chunks[schedule.splitDim] = {low, high, std::nullopt};
      emitNests();
      return;
    }
    if (part == combine || schedule.units.empty()) {
      emitNests();
      return;
    }
    // The last unit dimension, in chunks, varies fastest.
    Value rest = unit;
    for (unsigned d : llvm::reverse(schedule.units)) {
      flow::Extent size = a.dims[d].extent;
      bool last = d == schedule.units.back();
      Value count = extent(last ? size.ceildiv(schedule.chunk) : size);
      Value index = d == schedule.units.front() ? rest : m.rem(rest, count);
      if (d != schedule.units.front())
        rest = m.div(rest, count);
      if (!last || schedule.chunk == 1) {
        at[d] = Index{index};
        continue;
      }
      Value low = m.mul(index, k.i64(schedule.chunk)),
            high = m.min(m.add(low, k.i64(schedule.chunk)), extent(size));
      std::optional<int64_t> known = size.constantValue();
      std::optional<int64_t> whole =
          known && *known % schedule.chunk == 0 ? std::optional<int64_t>(schedule.chunk) : std::nullopt;
      if (known && *known <= schedule.chunk)
        whole = *known;
      chunks[d] = {low, high, whole};
    }
    unsigned d = schedule.units.back();
    // Scratch holds only the chunk's elements, but is addressed by indices along the whole dimension.
    for (auto [value, stride] : chunkStride) {
      Storage &storage = targets[value];
      Type memory = flow::elementTypesOf(storage.element).storage;
      storage.pointer = k.at(storage.pointer, memory, m.mul(chunks[d].low, k.i64(-stride)));
    }
    if (schedule.chunk == 1 || schedule.vectorChunk) {
      emitNests();
      return;
    }
    LoopRange range = chunks[d];
    loop(range.low, range.high, 1, [&](Value row) {
      at[d] = Index{row};
      values.uniform.clear();
      emitNests();
    });
  });
}

} // namespace moe::cpu
