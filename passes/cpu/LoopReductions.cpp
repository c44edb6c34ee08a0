// How a loop group's kernel reduces: accumulators in registers, combined in an order that only the shape
// decides. Long sums are made in runs, so that their rounding error does not grow with their length. See
// LoopKernel.h.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cpu/LoopKernel.h"

using namespace mlir;

namespace moe::cpu {

namespace {

// How a reduction combines: its accumulators' start, and two sets of accumulators into one.
struct Combiner {
  Operation *op;
  /// Values that it carries: the extreme and its index, or one.
  size_t count() const { return isa<flow::ArgmaxOp>(op) ? 2 : 1; }
  /// Whether it adds f32 numbers, which rounds.
  bool sumsReals() const {
    auto reduce = dyn_cast<flow::ReduceOp>(op);
    if (reduce && reduce.getKind() != flow::ReduceKind::sum)
      return false;
    return !isa<flow::ArgmaxOp>(op) &&
           cast<RankedTensorType>(op->getResult(0).getType()).getElementType().isF32();
  }
  Values start(LoopValues &values) const {
    Type element = cast<RankedTensorType>(op->getResult(0).getType()).getElementType();
    if (auto reduce = dyn_cast<flow::ReduceOp>(op))
      return {values.constant(element, reduce.identity())};
    if (isa<flow::ArgmaxOp>(op)) {
      Type f32 = Float32Type::get(op->getContext());
      return {values.constant(f32, -std::numeric_limits<double>::infinity()),
              values.constant(element, 2147483647)};
    }
    return {values.constant(element, 0)};
  }
  Values combine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) const {
    if (auto reduce = dyn_cast<flow::ReduceOp>(op))
      return {reduce.buildScalar(b, loc, ValueRange{x[0], y[0]})};
    if (!isa<flow::ArgmaxOp>(op))
      return {arith::AddFOp::create(b, loc, x[0], y[0])};
    // y wins where it is larger (NaN is the largest of all), or where they tie and it comes first.
    using P = arith::CmpFPredicate;
    Value xNan = arith::CmpFOp::create(b, loc, P::UNO, x[0], x[0]),
          yNan = arith::CmpFOp::create(b, loc, P::UNO, y[0], y[0]);
    Value larger = arith::CmpFOp::create(b, loc, P::OGT, y[0], x[0]),
          same = arith::CmpFOp::create(b, loc, P::OEQ, y[0], x[0]);
    Value yes =
        arith::ConstantOp::create(b, loc, DenseElementsAttr::get(cast<VectorType>(xNan.getType()), true));
    Value onlyY = arith::AndIOp::create(b, loc, yNan, arith::XOrIOp::create(b, loc, xNan, yes));
    Value bothNan = arith::AndIOp::create(b, loc, xNan, yNan);
    Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, y[1], x[1]);
    Value tie = arith::AndIOp::create(b, loc, arith::OrIOp::create(b, loc, same, bothNan), first);
    Value wins = arith::OrIOp::create(b, loc, arith::OrIOp::create(b, loc, larger, onlyY), tie);
    return {arith::SelectOp::create(b, loc, wins, y[0], x[0]),
            arith::SelectOp::create(b, loc, wins, y[1], x[1])};
  }
  // All lanes into every lane, by halves.
  Values acrossLanes(OpBuilder &b, Location loc, Values acc, int64_t width) const {
    for (int64_t half = width / 2; half; half /= 2) {
      SmallVector<int64_t> swap;
      for (int64_t i = 0; i < width; ++i)
        swap.push_back(i ^ half);
      Values other;
      for (Value v : acc)
        other.push_back(vector::ShuffleOp::create(b, loc, v, v, swap));
      acc = combine(b, loc, acc, other);
    }
    return acc;
  }
};

} // namespace

Values LoopKernel::elements(const LoopStage &stage, Mask mask) {
  Operation *op = stage.value.getDefiningOp();
  if (part == combine && stage.nest == 0) {
    SmallVector<Index> index = indexOf(stage.value);
    index.push_back(Index{chunkIndex});
    return {values.load(values.stored[stage.value], index, mask)};
  }
  // The operand's axes: those that the result keeps, and those that loops reduce.
  auto operandIndex = [&](unsigned operand) {
    SmallVector<Index> index;
    for (int64_t axis = 0; axis < cast<RankedTensorType>(op->getOperand(operand).getType()).getRank();
         ++axis) {
      unsigned c = a.classOf(op, operand, axis);
      unsigned d = c == LoopAnalysis::none ? LoopAnalysis::none : a.dimOfClass[c];
      bool carries = d != LoopAnalysis::none && a.dims[d].classes.back() == c;
      index.push_back(carries ? at[d] : m.constant(0));
    }
    return index;
  };
  Combiner combiner{op};
  Values start = combiner.start(values);
  if (isa<flow::ReduceOp>(op)) {
    Value x = values.get(op->getOperand(0), operandIndex(0), mask);
    return {m.select(mask, x, start[0])};
  }
  if (auto argmax = dyn_cast<flow::ArgmaxOp>(op)) {
    SmallVector<Index> index = operandIndex(0);
    Value x = values.get(op->getOperand(0), index, mask), where = m.vector(index[argmax.getAxis()]);
    return {m.select(mask, x, start[0]), m.select(mask, where, start[1])};
  }
  if (auto sum = dyn_cast<flow::WindowSumOp>(op)) {
    SmallVector<Index> index = operandIndex(0), result = indexOf(stage.value);
    Mask inside = mask;
    for (unsigned i : {0, 1}) {
      // Which window has this element as its own k-th.
      Index place = m.add(m.add(result[2 + i], sum.getPads()[i]), m.mul(index[4 + i], k.i64(-1)));
      int64_t stride = sum.getStrides()[i];
      Value count = extent(flow::Extent::of(sum.getX(), 2 + i));
      inside = m.both(inside, m.within(place, m.mul(count, k.i64(stride))));
      if (stride != 1) {
        auto [quotient, remainder] = m.divide(place, k.i64(stride));
        inside = m.both(inside, m.equals(remainder, k.i64(0)));
        place = quotient;
      }
      index[2 + i] = place;
    }
    return {m.select(inside, values.get(sum.getX(), index, inside), start[0])};
  }
  auto scatter = cast<flow::ScatterAddOp>(op);
  Value row = values.get(scatter.getIndex(), operandIndex(0), mask);
  Index wanted = indexOf(stage.value)[0];
  Mask own = {{}, arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::eq, row, m.vector(wanted))};
  Value x = values.get(scatter.getRows(), operandIndex(1), mask);
  return {m.select(m.both(mask, own), x, start[0])};
}

// Turns of a loop that one running sum takes. Rounding errors of a running sum grow with the number of its
// terms, so that longer loops are cut into runs.
static constexpr int64_t runLength = 32;

// A long reduction's state between two runs: the accumulators of every stage, `copies` times, then an error
// term for each accumulator that is a sum of f32. The error terms collect what the additions of runs round
// off, so that the error of a sum does not grow with the number of its runs.
Values LoopKernel::beginRuns(const LoopNest &nest, const Values &start) {
  Values state(start);
  forEachAccumulator(nest, start.size(), [&](unsigned s, size_t at) {
    if (Combiner{a.stages[s].value.getDefiningOp()}.sumsReals())
      state.push_back(start[at]); // zero
  });
  return state;
}

// The state after one more run, which began from the start value. What an addition rounds off is exactly
// (sum - (total - taken)) + (run - taken), whichever of the two is larger.
Values LoopKernel::addRun(const LoopNest &nest, const Values &state, const Values &run) {
  Values totals, errors;
  auto sub = [&](Value x, Value y) -> Value { return arith::SubFOp::create(b(), loc(), x, y); };
  auto add = [&](Value x, Value y) -> Value { return arith::AddFOp::create(b(), loc(), x, y); };
  forEachAccumulator(nest, run.size(), [&](unsigned s, size_t at) {
    Combiner combiner{a.stages[s].value.getDefiningOp()};
    if (!combiner.sumsReals()) {
      totals.append(combiner.combine(b(), loc(), ValueRange(state).slice(at, combiner.count()),
                                     ValueRange(run).slice(at, combiner.count())));
      return;
    }
    Value sum = state[at], total = add(sum, run[at]), taken = sub(total, sum);
    Value lost = add(sub(sum, sub(total, taken)), sub(run[at], taken));
    errors.push_back(add(state[run.size() + errors.size()], lost));
    totals.push_back(total);
  });
  totals.append(errors);
  return totals;
}

// The accumulators with their errors put right. Where a sum is not finite its error is no number.
Values LoopKernel::endRuns(const LoopNest &nest, const Values &state, size_t accumulators) {
  Values results(state.begin(), state.begin() + accumulators);
  size_t next = accumulators;
  forEachAccumulator(nest, accumulators, [&](unsigned s, size_t at) {
    if (!Combiner{a.stages[s].value.getDefiningOp()}.sumsReals())
      return;
    Value error = state[next++];
    Value infinity = values.constant(b().getF32Type(), std::numeric_limits<double>::infinity());
    Value finite = arith::CmpFOp::create(b(), loc(), arith::CmpFPredicate::OLT,
                                         math::AbsFOp::create(b(), loc(), error), infinity);
    Value corrected = arith::AddFOp::create(b(), loc(), results[at], error);
    results[at] = arith::SelectOp::create(b(), loc(), finite, corrected, results[at]);
  });
  return results;
}

// Calls for each stage's accumulators the function with the stage and the place of the first of them.
void LoopKernel::forEachAccumulator(const LoopNest &nest, size_t accumulators,
                                    llvm::function_ref<void(unsigned, size_t)> function) {
  for (size_t at = 0; at < accumulators;)
    for (unsigned s : nest.stages) {
      function(s, at);
      at += Combiner{a.stages[s].value.getDefiningOp()}.count();
    }
}

// Nested loops over dimensions, each run of turns from the start value; `turns` of an accumulator are made by
// one call of the body.
Values LoopKernel::loopsInRuns(const LoopNest &nest, ArrayRef<unsigned> dims, int64_t turns,
                               const Values &start, llvm::function_ref<Values(Values)> body) {
  // The innermost dimensions that are one run together.
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

// Vectors along a long range, and loops over dimensions around it.
Values LoopKernel::vectorsInRuns(const LoopNest &nest, ArrayRef<unsigned> around, LoopRange range,
                                 unsigned count, const Values &start,
                                 llvm::function_ref<Values(Value, unsigned, Mask, Values)> body) {
  int64_t turn = count * width, run = runLength * turn;
  Values state = loops(around, beginRuns(nest, start), false, [&](Values sums) {
    Value length = range.size ? k.i64(*range.size) : m.sub(range.high, range.low);
    Value wholeEnd = m.add(range.low, m.mul(m.div(length, k.i64(run)), k.i64(run)));
    sums = loop(range.low, wholeEnd, run, sums, [&](Value i, Values outside) {
      return addRun(nest, outside, loop(i, m.add(i, k.i64(run)), turn, start, [&](Value j, Values inside) {
                      return body(j, count, {}, inside);
                    }));
    });
    LoopRange rest = {wholeEnd, range.high, range.size};
    if (range.size) {
      *rest.size %= run;
      if (*rest.size == 0)
        return sums;
    }
    return addRun(nest, sums, vectors(rest, count, start, body));
  });
  return endRuns(nest, state, start.size());
}

// Lanes run along the results: blocks of neighbouring results stay in registers while the loops reduce.
void LoopKernel::emitColumns(const LoopNest &nest, ArrayRef<unsigned> outer) {
  bool split = part == combine && &nest == &a.nests.front();
  SmallVector<unsigned> reduced(nest.reduced);
  if (split)
    reduced.assign({chunkDim});
  int64_t turns = 1;
  for (unsigned d : reduced) {
    std::optional<int64_t> size = rangeOf(d).size;
    turns = size && turns <= 16 ? turns * *size : 1000;
  }
  unsigned d = nest.vector;
  unsigned count = std::clamp<unsigned>(registers / 8 / nest.stages.size(), 1, 4);
  loops(outer, {}, false, [&](Values) {
    vectors(rangeOf(d), count, {}, [&](Value first, unsigned many, Mask last, Values) {
      Values start;
      for (unsigned u = 0; u < many; ++u)
        for (unsigned s : nest.stages)
          start.append(Combiner{a.stages[s].value.getDefiningOp()}.start(values));
      auto body = [&](Values accumulators) {
        values.newPoint();
        Values next;
        unsigned taken = 0;
        for (unsigned u = 0; u < many; ++u) {
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
          Mask mask = u + 1 == many ? last : Mask();
          for (unsigned s : nest.stages) {
            Combiner combiner{a.stages[s].value.getDefiningOp()};
            Values elements = this->elements(a.stages[s], mask);
            ValueRange own = ValueRange(accumulators).slice(taken, elements.size());
            next.append(combiner.combine(b(), loc(), own, elements));
            taken += elements.size();
          }
        }
        return next;
      };
      Values sums = !split && turns <= 16 ? loops(reduced, start, true, body)
                                          : loopsInRuns(nest, reduced, 1, start, body);
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        at[d] = Index{m.add(first, k.i64(u * width)), 1};
        for (unsigned s : nest.stages) {
          size_t own = Combiner{a.stages[s].value.getDefiningOp()}.count();
          finish(a.stages[s], Values(sums.begin() + taken, sums.begin() + taken + own),
                 u + 1 == many ? last : Mask());
          taken += own;
        }
      }
      return Values();
    });
    return Values();
  });
}

// Combines `count` partial vectors of each stage's reduction by a tree; the totals come first.
Values LoopKernel::combineTree(const LoopNest &nest, Values sums, unsigned count) {
  size_t each = sums.size() / count;
  for (unsigned half = count; half > 1;) {
    unsigned upper = half / 2, lower = half - upper;
    for (unsigned u = 0; u < upper; ++u) {
      size_t taken = 0;
      for (unsigned s : nest.stages) {
        Combiner combiner{a.stages[s].value.getDefiningOp()};
        ValueRange all(sums);
        Values combined = combiner.combine(b(), loc(), all.slice(u * each + taken, combiner.count()),
                                           all.slice((lower + u) * each + taken, combiner.count()));
        for (Value value : combined)
          sums[u * each + taken++] = value;
      }
    }
    half = lower;
  }
  return sums;
}

// Lanes run along what is reduced: several partial vectors, combined by a tree, then across lanes.
void LoopKernel::emitRows(const LoopNest &nest, ArrayRef<unsigned> outer) {
  bool split = part == combine && &nest == &a.nests.front();
  if (nest.vector < 0) {
    // Over axes of extent 1 alone: one element.
    values.newPoint();
    for (unsigned s : nest.stages) {
      Combiner combiner{a.stages[s].value.getDefiningOp()};
      finish(a.stages[s], combiner.combine(b(), loc(), combiner.start(values), elements(a.stages[s], {})),
             {});
    }
    return;
  }
  unsigned d = nest.vector;
  SmallVector<unsigned> around;
  for (unsigned r : nest.reduced)
    if (r != d)
      around.push_back(r);
  LoopRange range = rangeOf(d);
  unsigned count =
      range.size && *range.size < 8 * width ? 1 : std::clamp<unsigned>(8 / nest.stages.size(), 1, 4);
  if (split)
    count = 1;
  loops(outer, {}, false, [&](Values) {
    Values start;
    for (unsigned u = 0; u < count; ++u)
      for (unsigned s : nest.stages)
        start.append(Combiner{a.stages[s].value.getDefiningOp()}.start(values));
    auto body = [&](Value first, unsigned many, Mask last, Values accumulators) {
      values.newPoint();
      Values next = accumulators;
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        if (!split)
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
        Mask mask = u + 1 == many ? last : Mask();
        for (unsigned s : nest.stages) {
          Combiner combiner{a.stages[s].value.getDefiningOp()};
          Values elements = this->elements(a.stages[s], mask);
          Values combined =
              combiner.combine(b(), loc(), ValueRange(accumulators).slice(taken, elements.size()), elements);
          for (auto [i, value] : llvm::enumerate(combined))
            next[taken + i] = value;
          taken += elements.size();
        }
      }
      return next;
    };
    Values sums;
    int64_t turns = range.size ? llvm::divideCeil(*range.size, width * count) : INT64_MAX;
    if (split) // Partial results are few: one after another, the same in every lane.
      sums = loopsInRuns(nest, chunkDim, 1, start, [&](Values inner) { return body({}, 1, {}, inner); });
    else if (turns > 2 * runLength)
      sums = vectorsInRuns(nest, around, range, count, start, body);
    else
      sums = loopsInRuns(nest, around, turns, start,
                         [&](Values inner) { return vectors(range, count, inner, body); });
    sums = combineTree(nest, sums, count);
    size_t taken = 0;
    for (unsigned s : nest.stages) {
      Combiner combiner{a.stages[s].value.getDefiningOp()};
      Values result(sums.begin() + taken, sums.begin() + taken + combiner.count());
      taken += combiner.count();
      if (!split)
        result = combiner.acrossLanes(b(), loc(), result, width);
      finish(a.stages[s], result, {});
    }
    return Values();
  });
}

} // namespace moe::cpu
