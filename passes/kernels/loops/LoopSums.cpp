// The accumulators of a loop group's reductions, for any target; see LoopCode.h. Long sums are cut into runs, so
// that their rounding error does not grow with their length.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/kernels/loops/LoopCode.h"

using namespace mlir;

namespace moe::kernels {

flow::ReductionInterface LoopCode::reductionOf(const LoopStage &stage) {
  return cast<flow::ReductionInterface>(stage.value.getDefiningOp());
}
size_t LoopCode::countOf(const LoopStage &stage) { return reductionOf(stage).accumulators().size(); }

Values LoopCode::startOf(const LoopStage &stage) {
  Values start;
  for (flow::Accumulator accumulator : reductionOf(stage).accumulators())
    start.push_back(values.constant(accumulator.element, accumulator.start));
  return start;
}

Values LoopCode::combined(const LoopStage &stage, ValueRange x, ValueRange y) {
  return reductionOf(stage).buildCombine(b(), loc(), x, y);
}

// Combines all lanes, by halves; every lane then has the result.
Values LoopCode::acrossLanes(const LoopStage &stage, Values accumulators) {
  for (int64_t half = width / 2; half; half /= 2) {
    SmallVector<int64_t> swap;
    for (int64_t i = 0; i < width; ++i)
      swap.push_back(i ^ half);
    Values other;
    for (Value v : accumulators)
      other.push_back(vector::ShuffleOp::create(b(), loc(), v, v, swap));
    accumulators = combined(stage, accumulators, other);
  }
  return accumulators;
}

SmallVector<Index> LoopCode::pointOf(Operation *op) {
  SmallVector<Index> point;
  for (unsigned dim = 0, end = cast<flow::ComputeInterface>(op).iterationSpace().size(); dim < end; ++dim)
    point.push_back(indexAlong(a.classes.classOfDim(op, dim)));
  return point;
}

Values LoopCode::elements(const LoopStage &stage, Mask mask) {
  Operation *op = stage.value.getDefiningOp();
  if (part == combine && stage.nest == 0) {
    SmallVector<Index> index = indexOf(stage.value);
    index.push_back(Index{chunkIndex});
    Values added;
    for (const Storage &storage : partials[op])
      added.push_back(values.load(storage, index, mask));
    return added;
  }
  auto compute = cast<flow::ComputeInterface>(op);
  SmallVector<flow::Access> accesses = compute.accesses();
  const SmallVector<Index> point = pointOf(op);
  // A point where an access is not valid adds nothing.
  Mask inside = mask;
  const Values starts = startOf(stage);
  Values operands, indices;
  for (unsigned i : flow::valueOperands(accesses)) {
    LoopValues::Element element = values.element(op, accesses, i, point, mask);
    operands.push_back(element.value);
    inside = m.both(inside, element.inside);
  }
  for (unsigned dim : compute.indexDims())
    indices.push_back(m.vector(point[dim]));
  Values added = reductionOf(stage).buildElement(b(), loc(), operands, indices);
  for (auto [value, start] : llvm::zip_equal(added, starts))
    value = m.select(inside, value, start);
  return added;
}

// Calls `body` with the ranges of the nest's reduced dimensions set to the segments of the current point,
// which are the same for all lanes.
Values LoopCode::inSegments(const LoopNest &nest, llvm::function_ref<Values()> body) {
  SmallVector<unsigned> cut;
  for (auto [i, segments] : llvm::enumerate(nest.segments)) {
    if (segments.dim == LoopNests::none) // of extent 1: its only point is compared with the segment's bounds
      continue;
    assert(!llvm::is_contained(segments.at, unsigned(nest.vector)) && "lanes of different segments");
    auto isSegmented = [](const flow::Access &access) { return access.within.has_value(); };
    std::optional<std::pair<Value, Value>> ends;
    for (unsigned s : nest.reductions) {
      Operation *op = a.stages[s].value.getDefiningOp();
      SmallVector<flow::Access> accesses = cast<flow::ComputeInterface>(op).accesses();
      flow::Access::Within within =
          *std::next(llvm::make_filter_range(accesses, isSegmented).begin(), i)->within;
      if (!ends) {
        values.newPoint();
        ends = values.segment(op, accesses, within, pointOf(op), {});
      }
      values.cut.insert({op, within.dim});
    }
    auto number = [&](Value lanes) -> Value {
      Value one = vector::ExtractOp::create(b(), loc(), lanes, ArrayRef<int64_t>{0});
      return arith::ExtSIOp::create(b(), loc(), b().getI64Type(), one);
    };
    LoopRange all = rangeOf(segments.dim);
    Value low = arith::MaxSIOp::create(b(), loc(), number(ends->first), all.low);
    Value high = arith::MinSIOp::create(b(), loc(), number(ends->second), all.high);
    chunks[segments.dim] = {low, arith::MaxSIOp::create(b(), loc(), low, high), std::nullopt};
    cut.push_back(segments.dim);
  }
  Values results = body();
  for (unsigned d : cut)
    chunks.erase(d);
  values.cut.clear();
  return results;
}

// The state of a long reduction between runs: the accumulators of every stage, then an error term for each
// accumulator that is a sum of f32. The error terms collect the rounding errors of adding the runs
// (compensated summation), so that the error of a sum does not grow with the number of runs.
Values LoopCode::beginRuns(const LoopNest &nest, const Values &start) {
  Values state(start);
  forEachAccumulator(nest, start.size(), [&](unsigned s, size_t at) {
    if (reductionOf(a.stages[s]).sumsReals())
      for (size_t i = 0; i < countOf(a.stages[s]); ++i)
        state.push_back(start[at + i]); // zero
  });
  return state;
}

// The state after one more run, which began from the initial value. The rounding error of an addition is
// computed exactly (Knuth's TwoSum), whichever of the two is larger: (sum - (total - taken)) + (run - taken).
Values LoopCode::addRun(const LoopNest &nest, const Values &state, const Values &run) {
  Values totals, errors;
  auto sub = [&](Value x, Value y) -> Value { return arith::SubFOp::create(b(), loc(), x, y); };
  auto add = [&](Value x, Value y) -> Value { return arith::AddFOp::create(b(), loc(), x, y); };
  forEachAccumulator(nest, run.size(), [&](unsigned s, size_t at) {
    const LoopStage &stage = a.stages[s];
    if (!reductionOf(stage).sumsReals()) {
      totals.append(combined(stage, ValueRange(state).slice(at, countOf(stage)),
                             ValueRange(run).slice(at, countOf(stage))));
      return;
    }
    for (size_t i = at; i < at + countOf(stage); ++i) {
      Value sum = state[i], total = add(sum, run[i]), taken = sub(total, sum);
      Value lost = add(sub(sum, sub(total, taken)), sub(run[i], taken));
      errors.push_back(add(state[run.size() + errors.size()], lost));
      totals.push_back(total);
    }
  });
  totals.append(errors);
  return totals;
}

// The accumulators with their error terms added. An error term that is not finite is left out.
Values LoopCode::endRuns(const LoopNest &nest, const Values &state, size_t accumulators) {
  Values results(state.begin(), state.begin() + accumulators);
  size_t next = accumulators;
  forEachAccumulator(nest, accumulators, [&](unsigned s, size_t at) {
    if (!reductionOf(a.stages[s]).sumsReals())
      return;
    for (size_t i = at; i < at + countOf(a.stages[s]); ++i) {
      Value error = state[next++];
      Value infinity = values.constant(b().getF32Type(), std::numeric_limits<double>::infinity());
      Value finite = arith::CmpFOp::create(b(), loc(), arith::CmpFPredicate::OLT,
                                           math::AbsFOp::create(b(), loc(), error), infinity);
      Value corrected = arith::AddFOp::create(b(), loc(), results[i], error);
      results[i] = arith::SelectOp::create(b(), loc(), finite, corrected, results[i]);
    }
  });
  return results;
}

// Calls the function for each stage with the number of its first accumulator.
void LoopCode::forEachAccumulator(const LoopNest &nest, size_t accumulators,
                                  llvm::function_ref<void(unsigned, size_t)> function) {
  for (size_t at = 0; at < accumulators;)
    for (unsigned s : nest.reductions) {
      function(s, at);
      at += countOf(a.stages[s]);
    }
}

// Nested loops over dimensions, in runs that each begin from the initial value. One call of the body counts
// as `turns` iterations for an accumulator.
Values LoopCode::loopsInRuns(const LoopNest &nest, ArrayRef<unsigned> dims, int64_t turns,
                             const Values &start, llvm::function_ref<Values(Values)> body) {
  // The innermost dimensions that together are short enough for one run.
  size_t outer = dims.size();
  for (; outer > 0; --outer) {
    std::optional<int64_t> size = rangeOf(dims[outer - 1]).size;
    if (!size || *size > 2 * runLength / turns)
      break;
    turns *= std::max<int64_t>(*size, 1);
  }
  ArrayRef<unsigned> inner = dims.drop_front(outer);
  if (outer == 0)
    return loops(inner, start, false, body);
  unsigned cut = dims[outer - 1];
  int64_t step = std::max<int64_t>(1, runLength / turns);
  Values state = loops(dims.take_front(outer - 1), beginRuns(nest, start), false, [&](Values outside) {
    LoopRange range = rangeOf(cut);
    return loop(range.low, range.high, step, outside, [&](Value i, Values sums) {
      auto turn = [&](Value j, Values run) {
        enter(cut, j);
        return loops(inner, run, false, body);
      };
      if (step == 1)
        return addRun(nest, sums, turn(i, start));
      Value high = arith::MinSIOp::create(b(), loc(), m.add(i, k.i64(step)), range.high);
      return addRun(nest, sums, loop(i, high, 1, start, turn));
    });
  });
  return endRuns(nest, state, start.size());
}

} // namespace moe::kernels
