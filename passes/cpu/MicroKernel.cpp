// Emits the register tile; see MicroKernel.h. Accumulators start from zero and live in registers over the
// whole nest: what is in memory already is added by the caller at the end, so that the first FMA does not
// wait for a load.
#include "passes/cpu/MicroKernel.h"

using namespace mlir;

namespace moe::cpu {

Tile chooseTile(int lanes, int registers, int64_t width) {
  // One register holds a vector of B each, and with AVX2, which has no broadcast operand, one the element of
  // A.
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
  int64_t unroll;

  /// `steps` consecutive steps from offsets a and b.
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
      for (int i = 0; i < tile.rows; ++i) {
        Value av = code.splat(code.loadScalar(operands.a, code.add(rows[i], code.mul(inner.aStep, u))));
        for (int j = 0; j < tile.vectors; ++j)
          sums[i * tile.vectors + j] = code.fma(av, bs[j], sums[i * tile.vectors + j]);
      }
    }
    return sums;
  }

  /// `count` steps, some a turn and the rest one by one.
  Values run(Ix count, Ix a, Ix b, Values sums, int64_t multiple) {
    const Reduction &inner = loops.back();
    if (count.isStatic() && count.known() <= 2 * unroll)
      return steps(count.known(), a, b, sums);
    int64_t together = unroll;
    if (count.isStatic() && count.known() % unroll && unroll > 1)
      for (int64_t u : {3, 5, 6, 7})
        together = count.known() % u ? together : u;
    auto offset = [&](Ix base, Ix step, Ix k) { return code.add(base, code.mul(step, k)); };
    bool exact = multiple % together == 0;
    Ix whole = exact ? count : code.mul(code.div(count, together), together);
    sums = code.loop(0, whole, together, sums, [&](Ix k, Values carried) {
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

  Values inSections(Ix a, Ix b, Values sums) {
    const Reduction &inner = loops.back();
    Ix length = code.mul(code.div(inner.count, tile.rows * unroll), unroll);
    sums = code.loop(0, tile.rows, 1, sums, [&](Ix section, Values carried) {
      ahead(section);
      Ix k = code.mul(section, length);
      return run(length, code.add(a, code.mul(k, inner.aStep)), code.add(b, code.mul(k, inner.bStep)),
                 carried, unroll);
    });
    Ix done = code.mul(length, tile.rows);
    return code.sub(inner.count, done).is(0) ? sums : one(done, inner.count, a, b, sums);
  }

  Values build(unsigned depth, Ix a, Ix b, Values sums) {
    const Reduction &loop = loops[depth];
    if (depth + 1 == loops.size())
      return ahead && depth == 0 ? inSections(a, b, sums) : run(loop.count, a, b, sums, loop.multiple);
    // Long turns sum from zero and are then added: the rounding error grows with the turns' length and number, not with
    // their product. The totals wait in memory meanwhile, which short turns would notice.
    const Ix &inner = loops.back().count;
    bool apart = inner.isStatic() && inner.known() >= kMicroChain;
    return code.loop(0, loop.count, 1, sums, [&](Ix k, Values carried) {
      if (ahead && depth == 0)
        ahead(k);
      Values start = apart ? Values(carried.size(), code.zero()) : carried;
      Values turn = build(depth + 1, code.add(a, code.mul(loop.aStep, k)), code.add(b, code.mul(loop.bStep, k)), start);
      if (apart)
        for (auto [part, total] : llvm::zip_equal(turn, carried))
          part = code.addf(total, part);
      return turn;
    });
  }
};
} // namespace

Values emitMicroKernel(MicroCode &code, Tile tile, const MicroOperands &operands, ArrayRef<Reduction> nest,
                       llvm::function_ref<void(Ix)> ahead, int64_t unroll) {
  assert(int(operands.rows.size()) == tile.rows && "a row offset for each row of the tile");
  Values sums(tile.rows * tile.vectors, code.zero());
  return Nest{code, tile, operands, nest, ahead, unroll}.build(0, 0, operands.panel, sums);
}

} // namespace moe::cpu
