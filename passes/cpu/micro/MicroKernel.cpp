// Emits the micro-kernel; see MicroKernel.h. The accumulators start from zero and stay in registers. The
// caller adds partial sums from memory at the end, so that the first FMA does not wait for a load. A long sum
// is cut into chains: each starts from zero and is then added to the total, so the rounding error grows with
// the length of a chain plus the number of chains, not with their product. The cuts depend on the shape only.
#include "passes/cpu/micro/MicroKernel.h"

using namespace mlir;

namespace moe::cpu {

Tile chooseTile(int lanes, int registers, int64_t width) {
  // Besides the accumulators, each vector of B needs a register; with AVX2, which has no broadcast operand,
  // so does the element of A.
  int most = registers >= 32 ? 4 : 2;
  int vectors = most;
  if (width > 0) {
    int64_t panels = (width + most * lanes - 1) / (most * lanes);
    vectors = (width + panels * lanes - 1) / (panels * lanes);
  }
  if (registers >= 32)
    return {vectors == 4 ? 6 : vectors == 3 ? 8 : 12, vectors};
  return {vectors == 2 ? 6 : 12, vectors};
}

namespace {
struct Nest {
  MicroCode &code;
  Tile tile;
  const MicroOperands &operands;
  ArrayRef<Reduction> loops;
  llvm::function_ref<void(Ix)> ahead;
  int64_t unroll, chainSteps;
  /// The streams of the section under construction that are spread over the loop, each with its advance per
  /// step.
  SmallVector<std::pair<PrefetchStream, int64_t>> streams = {};

  /// Emits `steps` consecutive steps from offsets a and b.
  Values steps(int64_t steps, Ix a, Ix b, Values sums) {
    const Reduction &inner = loops.back();
    SmallVector<Ix> rows;
    for (Ix row : operands.rows)
      rows.push_back(code.add(a, row));
    for (int64_t u = 0; u < steps; ++u) {
      Ix bu = code.add(b, code.mul(inner.bStep, u));
      Values bs;
      for (int j = 0; j < tile.vectors; ++j)
        bs.push_back(code.load(operands.b, code.add(bu, j * code.lanes)));
      if (operands.prefetchAhead)
        for (int64_t at = 0, step = inner.bStep.known(); at < step; at += 16)
          code.prefetch(operands.b, code.add(bu, step * operands.prefetchAhead + at), /*write=*/false, 3);
      for (int i = 0; i < tile.rows; ++i) {
        Value av = code.splat(code.loadScalar(operands.a, code.add(rows[i], code.mul(inner.aStep, u))));
        for (int j = 0; j < tile.vectors; ++j)
          sums[i * tile.vectors + j] = code.fma(av, bs[j], sums[i * tile.vectors + j]);
      }
    }
    return sums;
  }

  /// Whether so few steps are no loop.
  bool isStraight(Ix count) const { return count.isStatic() && count.known() <= 2 * unroll; }

  /// The steps of an iteration.
  int64_t unrolled(Ix count) const {
    int64_t together = unroll;
    if (count.isStatic() && count.known() % unroll && unroll > 1)
      for (int64_t u : {3, 5, 6, 7})
        together = count.known() % u ? together : u;
    return together;
  }

  /// Emits `count` steps: a loop of unrolled iterations, and the remaining steps one by one. `multiple` is a
  /// known divisor of a count that is not known itself.
  Values run(Ix count, Ix a, Ix b, Values sums, int64_t multiple) {
    const Reduction &inner = loops.back();
    if (isStraight(count))
      return steps(count.known(), a, b, sums);
    const int64_t together = unrolled(count);
    auto offset = [&](Ix base, Ix step, Ix k) { return code.add(base, code.mul(step, k)); };
    bool exact = (count.isStatic() ? count.known() : multiple) % together == 0;
    Ix whole = exact ? count : code.mul(code.div(count, together), together);
    sums = code.loop(0, whole, together, sums, [&](Ix k, Values carried) {
      for (const auto &[stream, perStep] : streams)
        code.prefetch(stream.pointer, code.add(stream.offset, code.mul(k, perStep)), stream.write, 3);
      return steps(together, offset(a, inner.aStep, k), offset(b, inner.bStep, k), carried);
    });
    if (exact || (count.isStatic() && count.known() == whole.known()))
      return sums;
    return one(whole, count, a, b, sums);
  }

  Values one(Ix first, Ix end, Ix a, Ix b, Values sums) {
    const Reduction &inner = loops.back();
    return code.loop(first, end, 1, sums, [&](Ix k, Values carried) {
      return steps(1, code.add(a, code.mul(inner.aStep, k)), code.add(b, code.mul(inner.bStep, k)), carried);
    });
  }

  /// Lines are spread over the iterations of a section of `length` steps if those are enough.
  void prefetchIn(Ix section, Ix length) {
    streams.clear();
    if (!operands.streams)
      return;
    const int64_t steps = std::max(unroll, operands.expectedCount / (tile.rows * unroll) * unroll);
    const int64_t iterations =
        isStraight(length) ? 0 : (length.isStatic() ? length.known() : steps) / unrolled(length);
    for (const PrefetchStream &stream : operands.streams(section)) {
      if (stream.lines >= kPrefetchBurst && iterations >= stream.lines) {
        streams.push_back({stream, (stream.lines * stream.distance + steps - 1) / steps});
        continue;
      }
      for (int64_t line = 0; line < stream.lines; ++line)
        code.prefetch(stream.pointer, code.add(stream.offset, line * stream.distance), stream.write, 3);
    }
  }

  Values inSections(Ix a, Ix b, Values sums) {
    const Reduction &inner = loops.back();
    Ix length = code.mul(code.div(inner.count, tile.rows * unroll), unroll);
    sums = code.loop(0, tile.rows, 1, sums, [&](Ix section, Values carried) {
      if (ahead)
        ahead(section);
      prefetchIn(section, length);
      Ix k = code.mul(section, length);
      return run(length, code.add(a, code.mul(k, inner.aStep)), code.add(b, code.mul(k, inner.bStep)),
                 carried, unroll);
    });
    streams.clear();
    Ix done = code.mul(length, tile.rows);
    return code.sub(inner.count, done).is(0) ? sums : one(done, inner.count, a, b, sums);
  }

  /// Sums `part` from zero and adds the result to the totals, which need no registers meanwhile.
  Values addTo(const Values &totals, llvm::function_ref<Values(Values)> part) {
    Values sums = part(Values(totals.size(), code.zero()));
    for (auto [sum, total] : llvm::zip_equal(sums, totals))
      sum = code.addf(total, sum);
    return sums;
  }

  /// The number of chains of the innermost loop; 1 if its count is only known when the kernel runs.
  int64_t chains() const {
    const Ix &count = loops.back().count;
    return count.isStatic() ? std::max<int64_t>(1, (count.known() + chainSteps / 2 - 1) / chainSteps) : 1;
  }

  Values inChains(Ix a, Ix b, Values sums) {
    const Reduction &inner = loops.back();
    const int64_t count = inner.count.known(), most = (count + chains() - 1) / chains();
    const int64_t length = (most + unroll - 1) / unroll * unroll, whole = count / length * length;
    auto chain = [&](Ix first, int64_t steps, const Values &totals) {
      return addTo(totals, [&](Values zeros) {
        return run(steps, code.add(a, code.mul(inner.aStep, first)),
                   code.add(b, code.mul(inner.bStep, first)), zeros, unroll);
      });
    };
    sums = code.loop(0, whole, length, sums,
                     [&](Ix first, Values totals) { return chain(first, length, totals); });
    return whole == count ? sums : chain(whole, count - whole, sums);
  }

  Values build(unsigned depth, Ix a, Ix b, Values sums) {
    const Reduction &loop = loops[depth];
    if (depth + 1 == loops.size()) {
      if ((ahead || operands.streams) && depth == 0)
        return inSections(a, b, sums);
      return chains() > 1 ? inChains(a, b, sums) : run(loop.count, a, b, sums, loop.multiple);
    }
    // An iteration of this loop becomes one chain, if it is long enough and not cut into several chains
    // itself.
    const Reduction &inner = loops.back();
    const int64_t least = inner.count.isStatic() ? inner.count.known() : inner.multiple;
    const bool isChain = least >= chainSteps / 2 && chains() == 1;
    return code.loop(0, loop.count, 1, sums, [&](Ix k, Values totals) {
      if (ahead && depth == 0)
        ahead(k);
      Ix turnA = code.add(a, code.mul(loop.aStep, k)), turnB = code.add(b, code.mul(loop.bStep, k));
      auto turn = [&](Values start) { return build(depth + 1, turnA, turnB, start); };
      return isChain ? addTo(totals, turn) : turn(totals);
    });
  }
};
} // namespace

Values emitMicroKernel(MicroCode &code, Tile tile, const MicroOperands &operands, ArrayRef<Reduction> nest,
                       llvm::function_ref<void(Ix)> ahead, int64_t unroll, int64_t chain) {
  assert(int(operands.rows.size()) == tile.rows && "a row offset for each row of the tile");
  Values sums(tile.rows * tile.vectors, code.zero());
  return Nest{code, tile, operands, nest, ahead, unroll, chain}.build(0, 0, operands.panel, sums);
}

Values addPartialSums(MicroCode &code, Tile tile, const Values &sums, Value first,
                      llvm::function_ref<Value(int, int)> load) {
  auto added = [&] {
    Values totals;
    for (int i = 0; i < tile.rows; ++i)
      for (int j = 0; j < tile.vectors; ++j)
        totals.push_back(code.addf(sums[i * tile.vectors + j], load(i, j)));
    return totals;
  };
  return code.choose(first, [&] { return sums; }, added);
}

} // namespace moe::cpu
