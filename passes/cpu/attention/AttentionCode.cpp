#include "passes/cpu/attention/AttentionCode.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/kernels/math/MathFunctions.h"

using namespace mlir;

namespace moe::cpu {

/// The most elements of a row block of keys: with its transpose, its gradient and the scores it stays in the
/// second-level cache.
static constexpr int64_t kKeyElements = 1 << 14;
static constexpr int64_t kMostKeys = 256, kMostRows = 96;
static constexpr int64_t kMostFeatures = 1024;
/// A panel of B comes from the second-level cache whenever it was not the last one: values do so for every tile.
static constexpr int64_t kPanelAhead = 8, kPrefetchedWidth = 32;
/// Copies fetch the token this far ahead: the tokens of a head lie pages apart, which no prefetcher of the hardware
/// follows.
static constexpr int64_t kTokensAhead = 12, kLine = 16; // elements of a cache line

/// In multiplications: a head that is short, and what a thread claims at once of them, about a tenth of a millisecond's.
static constexpr int64_t kShortHead = int64_t(1) << 18, kClaim = int64_t(1) << 21;

bool fitsAttentionKernel(const flow::AttentionShape &shape) {
  return std::max(shape.size, shape.valueSize) <= kMostFeatures;
}

/// Blocks of about equal length, so that the last one is not much shorter; unknown totals have full blocks.
static int64_t blockOf(flow::Extent total, int64_t most, int64_t multiple) {
  const std::optional<int64_t> known = total.constantValue();
  if (!known)
    return most;
  const int64_t blocks = (*known + most - 1) / most, length = (*known + blocks - 1) / blocks;
  return std::min(most, (length + multiple - 1) / multiple * multiple);
}

AttentionPlan::AttentionPlan(const flow::AttentionShape &shape, const CpuTarget &target)
    : scoreTile(chooseTile(target.lanes(), target.registers, 0)),
      featureTile(chooseTile(target.lanes(), target.registers, shape.size)),
      valueTile(chooseTile(target.lanes(), target.registers, shape.valueSize)), lanes(target.lanes()) {
  const int64_t largest = std::max(shape.size, shape.valueSize), columns = scoreTile.vectors * lanes;
  const int64_t mostKeys = std::max(columns, std::min(kMostKeys, kKeyElements / largest / columns * columns)),
                mostRows = std::max(kRowMultiple, std::min(kMostRows, kKeyElements / 2 / largest /
                                                                          kRowMultiple * kRowMultiple));
  rows = blockOf(shape.rows(), mostRows, 1);
  // Where several blocks follow one another, each but the last is a whole number of vectors.
  const std::optional<int64_t> known = shape.keys().constantValue();
  keys = known && *known <= mostKeys ? *known : blockOf(shape.keys(), mostKeys, lanes);
  auto widthOf = [&](int64_t size, Tile tile) {
    const int64_t panel = tile.vectors * lanes;
    return (size + panel - 1) / panel * panel;
  };
  width = widthOf(shape.size, featureTile), valueWidth = widthOf(shape.valueSize, valueTile);
  // One vector more than a row may have, so that the rows of a column are not all in the same sets of the cache.
  scoreStride =
      (std::max(padded(keys), (keys + columns - 1) / columns * columns) + lanes - 1) / lanes * lanes + lanes;
  heads = 1;
  if (const std::optional<int64_t> scores = (shape.rows() * shape.keys()).constantValue()) {
    const int64_t head = std::max<int64_t>(1, *scores * (shape.size + shape.valueSize));
    if (head < kShortHead)
      heads = shape.heads * std::max<int64_t>(1, kClaim / (head * shape.heads));
  }
}

void AttentionCode::fetchToken(const Head &head, Ix token, bool write) {
  for (int64_t c = 0; c < head.size; c += kLine)
    prefetch(head.pointer, add(token, kTokensAhead * head.stride + c), write, 3);
}

void AttentionCode::fetch(const FetchedTokens &tokens, Ix row, int64_t count) {
  if (!tokens.head)
    return;
  const Head &head = *tokens.head;
  for (int64_t i = 0; i < count; ++i) {
    Ix token = add(head.offset, mul(add(add(tokens.first, row), i), head.stride));
    for (int64_t c = 0; c < head.size; c += kLine)
      prefetch(head.pointer, add(token, c), /*write=*/false, /*locality=*/2); // into the second-level cache
  }
}

void AttentionCode::packRows(const Head &head, Ix count, Value to, int64_t width, Value scale) {
  Value factor = scale ? splat(scale) : Value();
  loop(0, count, 1, [&](Ix t) {
    Ix from = add(head.offset, mul(t, head.stride)), row = mul(t, width);
    fetchToken(head, from, false);
    for (int64_t c = 0; c < width; c += lanes) {
      Value x;
      if (c >= head.size)
        x = zero();
      else
        x = load(head.pointer, add(from, c), c + lanes > head.size ? firstLanes(head.size - c) : Value());
      store(factor && c < head.size ? mulf(x, factor) : x, to, add(row, c));
    }
  });
}

void AttentionCode::unpackRows(Value from, int64_t width, Ix count, const Head &head, Value scale,
                               Value first) {
  Value factor = scale ? splat(scale) : Value();
  loop(0, count, 1, [&](Ix t) {
    Ix to = add(head.offset, mul(t, head.stride)), row = mul(t, width);
    fetchToken(head, to, true);
    for (int64_t c = 0; c < head.size; c += lanes) {
      Value mask = c + lanes > head.size ? firstLanes(head.size - c) : Value();
      Value x = load(from, add(row, c));
      if (factor)
        x = mulf(x, factor);
      if (first)
        x = pick(first, x, addf(load(head.pointer, add(to, c), mask), x));
      store(x, head.pointer, add(to, c), mask);
    }
  });
}

void AttentionCode::packKeys(const Head &head, Ix count, Value to) {
  const int64_t columns = plan.scoreTile.vectors * lanes, whole = head.size / lanes * lanes;
  // `vectors` vectors of keys in a panel of as many, which begins at the key `first` and at the offset `place`.
  auto panel = [&](Ix first, Ix place, int64_t vectors) {
    loop(0, vectors, 1, [&](Ix vector) {
      Ix key = add(first, mul(vector, lanes)), at = add(place, mul(vector, lanes));
      Ix from = add(head.offset, mul(key, head.stride));
      auto gathered = [&](int64_t begin) {
        if (begin == head.size)
          return;
        Value mask = firstLanes(sub(count, key));
        loop(begin, head.size, 1, [&](Ix c) {
          store(loadStrided(head.pointer, add(from, c), head.stride, mask), to,
                add(at, mul(c, vectors * lanes)));
        });
      };
      auto transposed = [&] {
        SmallVector<Ix> rows;
        loop(0, whole, lanes, [&](Ix c) {
          rows.clear();
          for (int i = 0; i < lanes; ++i) {
            rows.push_back(add(add(from, c), i * head.stride));
            prefetch(head.pointer, add(rows.back(), lanes * head.stride), /*write=*/false, 3);
          }
          Values turned = loadTransposed(head.pointer, rows);
          for (int i = 0; i < lanes; ++i)
            store(turned[i], to, add(at, mul(add(c, i), vectors * lanes)));
        });
        gathered(whole);
      };
      if (!whole)
        return gathered(0);
      Ix end = add(key, lanes);
      if (end.isStatic() && count.isStatic())
        return end.known() <= count.known() ? transposed() : gathered(0);
      Value full = less(sub(end, 1), count);
      choose(
          full,
          [&] {
            transposed();
            return Values();
          },
          [&] {
            gathered(0);
            return Values();
          });
    });
  };
  Ix full = count.isStatic() ? div(count, columns) : ceilDiv(count, columns);
  loop(0, full, 1,
       [&](Ix p) { panel(mul(p, columns), mul(p, columns * head.size), plan.scoreTile.vectors); });
  if (count.isStatic() && count.known() % columns)
    panel(mul(full, columns), mul(full, columns * head.size), (count.known() % columns + lanes - 1) / lanes);
}

void AttentionCode::product(const Left &a, Ix rows, Ix depth, Value b, Ix panels, Ix panelStride,
                            int64_t bStep, Tile tile, Value c, int64_t cRow, bool isSum,
                            const FetchedTokens &fetched) {
  loop(0, panels, 1, [&](Ix p) {
    Ix column = mul(p, tile.vectors * lanes);
    loop(0, rows, tile.rows, [&](Ix row) {
      if (fetched.head)
        when(panels.is(1) ? Value() : equal(p, 0), [&] { fetch(fetched, row, tile.rows); });
      MicroOperands operands;
      operands.a = a.pointer;
      for (int i = 0; i < tile.rows; ++i)
        operands.rows.push_back(mul(add(row, i), a.row));
      operands.b = b;
      operands.panel = mul(p, panelStride);
      operands.prefetchAhead = tile.vectors * lanes >= kPrefetchedWidth ? kPanelAhead : 0;
      Values sums = emitMicroKernel(*this, tile, operands, {{depth, a.step, bStep}});
      auto at = [&](int i, int j) { return add(add(mul(add(row, i), cRow), column), j * lanes); };
      Values results;
      for (int i = 0; i < tile.rows; ++i)
        for (int j = 0; j < tile.vectors; ++j) {
          Value sum = sums[i * tile.vectors + j];
          results.push_back(isSum ? addf(load(c, at(i, j)), sum) : sum);
        }
      for (int i = 0; i < tile.rows; ++i)
        for (int j = 0; j < tile.vectors; ++j)
          store(results[i * tile.vectors + j], c, at(i, j));
    });
  });
}

void AttentionCode::scoreProduct(const Left &a, Ix rows, Value keyPanels, int64_t size, Ix keys, Value scores,
                                 const FetchedTokens &fetched) {
  const int64_t columns = plan.scoreTile.vectors * lanes;
  Ix full = keys.isStatic() ? div(keys, columns) : ceilDiv(keys, columns);
  product(a, rows, size, keyPanels, full, columns * size, columns, plan.scoreTile, scores, plan.scoreStride,
          false, full.is(0) ? FetchedTokens() : fetched);
  if (!keys.isStatic() || keys.known() % columns == 0)
    return;
  const Tile rest = chooseTile(lanes, registers, keys.known() % columns);
  product(a, rows, size, at(keyPanels, mul(full, columns * size)), 1, 0, rest.vectors * lanes, rest,
          at(scores, mul(full, columns)), plan.scoreStride, false, full.is(0) ? fetched : FetchedTokens());
}

void AttentionCode::featureProduct(const Left &a, Ix rows, Ix depth, Value b, int64_t width, Tile tile,
                                   Value c, bool add, const FetchedTokens &fetched) {
  const int64_t columns = tile.vectors * lanes;
  product(a, rows, depth, b, width / columns, columns, width, tile, c, width, add, fetched);
}

Values AttentionCode::forVectors(Ix offset, Ix count, Values carried,
                                 llvm::function_ref<Values(Ix, Value, Values)> body) {
  Ix whole = mul(div(count, lanes), lanes);
  carried = loop(0, whole, lanes, carried, [&](Ix i, Values now) { return body(add(offset, i), {}, now); });
  if (count.isStatic())
    return whole.known() == count.known()
               ? carried
               : body(add(offset, whole), firstLanes(count.known() - whole.known()), carried);
  // The last vector may have no lane at all.
  return body(add(offset, whole), firstLanes(sub(count, whole)), carried);
}

Value AttentionCode::across(Value vector, llvm::function_ref<Value(Value, Value)> combine) {
  for (int n = lanes / 2; n > 0; n /= 2) {
    SmallVector<int64_t> low, high;
    for (int i = 0; i < n; ++i)
      low.push_back(i), high.push_back(i + n);
    vector = combine(vector::ShuffleOp::create(b, loc, vector, vector, low),
                     vector::ShuffleOp::create(b, loc, vector, vector, high));
  }
  return vector::ExtractOp::create(b, loc, vector, int64_t(0));
}

Value AttentionCode::sumLanes(Value vector) {
  return across(vector, [&](Value x, Value y) { return addf(x, y); });
}
Value AttentionCode::largestLane(Value vector) {
  return across(vector, [&](Value x, Value y) { return larger(x, y); });
}
// A NaN need not be the largest: it makes its own power NaN, and with it the row's sum.
Value AttentionCode::larger(Value x, Value y) {
  return pick(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y), x, y);
}
Value AttentionCode::exp(Value x) { return kernels::buildExpUpToOne(b, loc, x); }

void AttentionCode::fill(Value pointer, Ix count, float value) {
  loop(0, count, lanes, [&](Ix i) { store(number(value), pointer, i); });
}

Value AttentionCode::numberOf(Ix count) {
  return arith::SIToFPOp::create(b, loc, b.getF32Type(), i64(count));
}

Value AttentionCode::isLive(Value mask, Ix problem, flow::Extent run) {
  Value own = kernel.load(b.getI8Type(), mask, b.getI8Type(), i64(div(problem, size(run))));
  Value none = arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(0));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, own, none);
}

void AttentionCode::forBlocks(Ix total, int64_t block, llvm::function_ref<void(Ix, Ix)> body) {
  if (!total.isStatic())
    return loop(0, total, block, [&](Ix first) { body(first, min(block, sub(total, first))); });
  const int64_t whole = total.known() / block * block;
  loop(0, whole, block, [&](Ix first) { body(first, block); });
  if (whole < total.known())
    body(whole, total.known() - whole);
}

} // namespace moe::cpu
