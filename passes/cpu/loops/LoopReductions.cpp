// Emits the reductions of a loop group's kernel. Accumulators are in registers and are combined in an order
// that depends on the shape only. Long sums are cut into runs, so that their rounding error does not grow
// with their length. See LoopKernel.h.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cpu/loops/LoopKernel.h"

using namespace mlir;

namespace moe::cpu {

// Vectors along a range, in runs, with loops over other dimensions around it.
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

// Emits a nest that is vectorised along its results: blocks of neighbouring results are in registers while
// the loops reduce.
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
  unsigned count = std::clamp<unsigned>(registers / 8 / nest.reductions.size(), 1, 4);
  loops(outer, {}, false, [&](Values) {
    vectors(rangeOf(d), count, {}, [&](Value first, unsigned many, Mask last, Values) {
      Values start;
      for (unsigned u = 0; u < many; ++u)
        for (unsigned s : nest.reductions)
          start.append(startOf(a.stages[s]));
      auto body = [&](Values accumulators) {
        values.newPoint();
        Values next;
        unsigned taken = 0;
        for (unsigned u = 0; u < many; ++u) {
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
          Mask mask = u + 1 == many ? last : Mask();
          for (unsigned s : nest.reductions) {
            Values elements = this->elements(a.stages[s], mask);
            ValueRange own = ValueRange(accumulators).slice(taken, elements.size());
            next.append(combined(a.stages[s], own, elements));
            taken += elements.size();
          }
        }
        return next;
      };
      // There are few partial results, but they are large, so the error of adding each is collected.
      Values sums = inSegments(nest, [&] {
        return !split && turns <= 16 ? loops(reduced, start, true, body)
                                     : loopsInRuns(nest, reduced, split ? runLength : 1, start, body);
      });
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        at[d] = Index{m.add(first, k.i64(u * width)), 1};
        for (unsigned s : nest.reductions) {
          size_t own = countOf(a.stages[s]);
          finish(nest, a.stages[s], Values(sums.begin() + taken, sums.begin() + taken + own),
                 u + 1 == many ? last : Mask());
          taken += own;
        }
      }
      return Values();
    });
    return Values();
  });
}

// Combines `count` partial vectors of each stage's reduction in a tree.
Values LoopKernel::combineTree(const LoopNest &nest, Values sums, unsigned count) {
  size_t each = sums.size() / count;
  for (unsigned half = count; half > 1;) {
    unsigned upper = half / 2, lower = half - upper;
    for (unsigned u = 0; u < upper; ++u) {
      size_t taken = 0;
      for (unsigned s : nest.reductions) {
        const size_t count = countOf(a.stages[s]);
        ValueRange all(sums);
        Values both = combined(a.stages[s], all.slice(u * each + taken, count),
                               all.slice((lower + u) * each + taken, count));
        for (Value value : both)
          sums[u * each + taken++] = value;
      }
    }
    half = lower;
  }
  return sums;
}

// Emits a nest that is vectorised along a reduced dimension: several partial vectors are combined in a tree,
// then across lanes.
void LoopKernel::emitRows(const LoopNest &nest, ArrayRef<unsigned> outer) {
  bool split = part == combine && &nest == &a.nests.front();
  if (nest.vector < 0) {
    // All reduced axes are of extent 1: each result has one element.
    loops(outer, {}, false, [&](Values) {
      values.newPoint();
      for (unsigned s : nest.reductions) {
        const LoopStage &stage = a.stages[s];
        finish(nest, stage, combined(stage, startOf(stage), elements(stage, {})), {});
      }
      return Values();
    });
    return;
  }
  unsigned d = nest.vector;
  SmallVector<unsigned> around;
  for (unsigned r : nest.reduced)
    if (r != d)
      around.push_back(r);
  const std::optional<int64_t> length = rangeOf(d).size;
  unsigned count = length && *length < 8 * width ? 1 : std::clamp<unsigned>(8 / nest.reductions.size(), 1, 4);
  if (split || !nest.segments.empty()) // segments are short
    count = 1;
  loops(outer, {}, false, [&](Values) {
    Values start;
    for (unsigned u = 0; u < count; ++u)
      for (unsigned s : nest.reductions)
        start.append(startOf(a.stages[s]));
    auto body = [&](Value first, unsigned many, Mask last, Values accumulators) {
      values.newPoint();
      Values next = accumulators;
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        if (!split)
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
        Mask mask = u + 1 == many ? last : Mask();
        for (unsigned s : nest.reductions) {
          Values elements = this->elements(a.stages[s], mask);
          Values both =
              combined(a.stages[s], ValueRange(accumulators).slice(taken, elements.size()), elements);
          for (auto [i, value] : llvm::enumerate(both))
            next[taken + i] = value;
          taken += elements.size();
        }
      }
      return next;
    };
    Values sums = inSegments(nest, [&]() -> Values {
      LoopRange range = rangeOf(d);
      int64_t turns = range.size ? llvm::divideCeil(*range.size, width * count) : INT64_MAX;
      if (split) // There are few partial results: adds them one after another, the same in every lane.
        return loopsInRuns(nest, chunkDim, runLength, start,
                           [&](Values inner) { return body({}, 1, {}, inner); });
      if (turns > 2 * runLength)
        return vectorsInRuns(nest, around, range, count, start, body);
      return loopsInRuns(nest, around, turns, start,
                         [&](Values inner) { return vectors(range, count, inner, body); });
    });
    sums = combineTree(nest, sums, count);
    size_t taken = 0;
    for (unsigned s : nest.reductions) {
      const LoopStage &stage = a.stages[s];
      Values result(sums.begin() + taken, sums.begin() + taken + countOf(stage));
      taken += countOf(stage);
      finish(nest, stage, split ? result : acrossLanes(stage, result), {});
    }
    return Values();
  });
}

} // namespace moe::cpu
