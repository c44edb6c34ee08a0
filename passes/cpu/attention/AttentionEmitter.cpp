// Emits the kernel of attention. A unit is a block of query rows of one head. It takes the keys block by block:
// scores = scale q k^T, then their powers, then their product with v, which is added to the rows' sums. A row's
// largest score so far is subtracted before powers are taken (the online softmax of Milakov and Gimelshein,
// arXiv 1805.02867, as FlashAttention uses it): where a later block has a larger one, what is summed so far is
// multiplied by the power of the difference. With one block of keys there is nothing to multiply, and the
// units of a head that follow one another in a range share the copies of its keys and values. Of a problem that a mask tells to be
// left out, the results are those of zeros.
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/cpu/attention/AttentionCode.h"
#include "passes/kernels/IndexRange.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moe::cpu {
namespace {

/// The most units that a thread claims at once.
constexpr int64_t kMostTogether = 16;

class AttentionKernel {
public:
  AttentionKernel(const AttentionGroup &group, KernelModule &module)
      : group(group), s(group.shape), plan(s, module.target()),
        kernel(module.begin("attention", group.root->getLoc())), code(kernel, plan) {}

  LaunchSpec emit() {
    llvm::SmallDenseMap<unsigned, Value> inputs; // by the operand of the group
    auto input = [&](unsigned operand) {
      Value &pointer = inputs[group.operands[operand].index];
      if (!pointer)
        pointer =
            kernel.floats(plan::Access::read, group.operands[operand], group.elementsOfOperand(operand));
      return pointer;
    };
    q = input(s.q.operand), k = input(s.k.operand), v = input(s.v.operand);
    y = group.results[0] ? kernel.floats(plan::Access::write, *group.results[0], group.elementsOfResult(0))
                         : Value();
    if (group.live)
      live = kernel.buffer(plan::Access::read, plan::Element::u8, group.live->mask,
                           plan::fromExtent(group.live->elements));
    logSum = group.results[1]
                 ? kernel.floats(plan::Access::write, *group.results[1], group.elementsOfResult(1))
                 : Value();
    scale = kernel.numberConstant(group.scale);
    rows = code.size(s.rows()), keys = code.size(s.keys());
    const int64_t mostRows = AttentionPlan::padded(plan.rows), mostKeys = AttentionPlan::padded(plan.keys);
    const int64_t columns = plan.scoreTile.vectors * code.lanes;
    queries = kernel.floatScratch(mostRows * plan.width);
    keyPanels = kernel.floatScratch((plan.keys + columns - 1) / columns * columns * s.size);
    values = kernel.floatScratch(mostKeys * plan.valueWidth);
    scores = kernel.floatScratch(AttentionPlan::kRowMultiple * plan.scoreStride);
    sums = kernel.floatScratch(mostRows * plan.valueWidth);
    largest = kernel.floatScratch(mostRows), total = kernel.floatScratch(mostRows);

    const bool once = keys.isStatic() && keys.known() <= plan.keys;
    Ix blocks = code.ceilDiv(rows, plan.rows);
    code.loop(kernel.begin(), kernel.end(), 1, {code.i64(-1)}, [&](Ix unit, Values packed) {
      Ix block = code.rem(unit, blocks), pair = code.div(unit, blocks);
      Ix head = code.rem(pair, s.heads), problem = code.div(pair, s.heads);
      Ix first = code.mul(block, plan.rows), count = code.min(plan.rows, code.sub(rows, first));
      if (plan.fetchesNext()) {
        // After the last one of this range, its own operands, which are in the cache.
        Ix next = code.min(code.add(pair, 1), code.div(code.sub(kernel.end(), 1), blocks));
        Ix nextHead = code.rem(next, s.heads), nextProblem = code.div(next, s.heads);
        nextQ = headOf(q, s.q, s.size, nextProblem, nextHead, first, rows);
        nextK = headOf(k, s.k, s.size, nextProblem, nextHead, first, keys);
        nextV = headOf(v, s.v, s.valueSize, nextProblem, nextHead, first, keys);
      }
      auto compute = [&]() -> Values {
        code.packRows(headOf(q, s.q, s.size, problem, head, first, rows), count, queries, plan.width, scale);
        if (once) {
          Value fresh =
              arith::CmpIOp::create(code.b, code.loc, arith::CmpIPredicate::ne, code.i64(pair), packed[0]);
          code.when(fresh, [&] { pack(problem, head, 0, keys); });
          attend(count, keys, true);
        } else {
          code.fill(largest, plan.rows, -INFINITY);
          code.fill(total, plan.rows, 0);
          code.fill(sums, mostRows * plan.valueWidth, 0);
          code.forBlocks(keys, plan.keys, [&](Ix from, Ix length) {
            pack(problem, head, from, length);
            attend(count, length, false);
          });
        }
        return {code.i64(pair)};
      };
      auto skip = [&]() -> Values {
        code.fill(largest, plan.rows, 0);
        code.fill(sums, mostRows * plan.valueWidth, 0);
        Value number = code.splat(code.numberOf(keys));
        code.loop(0, plan.rows, code.lanes, [&](Ix row) { code.store(number, total, row); });
        return {packed[0]};
      };
      const Values next =
          live ? code.choose(code.isLive(live, problem, group.live->run), compute, skip) : compute();
      writeResult(problem, head, first, count);
      return next;
    });
    // The blocks of a head together, which share its keys and values.
    const flow::Extent perHead = s.rows().ceildiv(plan.rows);
    const uint32_t grain =
        once ? uint32_t(plan.heads * std::min<int64_t>(perHead.constantValue().value_or(1), kMostTogether))
             : 1;
    return kernel.finish("attention", s.groups() * s.heads * perHead,
                         cast<flow::CostInterface>(group.root).cost().flops, group.bytes(), grain);
  }

private:
  AttentionCode::Head headOf(Value pointer, const flow::AttentionShape::Rows &part, int64_t size, Ix problem,
                             Ix head, Ix token, Ix tokens) {
    Ix row = code.mul(code.add(code.mul(problem, tokens), token), part.stride);
    return {pointer, code.add(row, code.add(part.offset, code.mul(head, size))), part.stride, size};
  }
  void pack(Ix problem, Ix head, Ix from, Ix length) {
    code.packKeys(headOf(k, s.k, s.size, problem, head, from, keys), length, keyPanels);
    code.packRows(headOf(v, s.v, s.valueSize, problem, head, from, keys), length, values, plan.valueWidth);
  }

  /// What a block of keys adds to the sums of `count` rows; `only` if there is no other block. A few rows at a time, whose
  /// scores stay in the first-level cache.
  void attend(Ix count, Ix length, bool only) {
    code.loop(0, count, AttentionPlan::kRowMultiple, [&](Ix first) {
      Ix some = code.min(AttentionPlan::kRowMultiple, code.sub(count, first));
      Value own = code.at(queries, code.mul(first, plan.width));
      code.scoreProduct({own, plan.width, 1}, some, keyPanels, s.size, length, scores,
                        code.ofNext(nextQ, first));
      takePowers(first, some, length, only);
      code.featureProduct({scores, plan.scoreStride, 1}, some, length, values, plan.valueWidth,
                          plan.valueTile, code.at(sums, code.mul(first, plan.valueWidth)), !only,
                          code.ofNext(nextV, first));
    });
  }

  /// Replaces scores by their powers, and updates the largest score and the sum of powers of each row. Some rows side by side, for
  /// the largest score and the sum of a row are chains, each link of which waits for the one before. Scratch has rows beyond `count`.
  void takePowers(Ix first, Ix count, Ix length, bool only) {
    Value lowest = code.number(-INFINITY);
    const int64_t together = code.lanes >= 16 ? 4 : 2;
    static_assert(AttentionPlan::kRowMultiple % 4 == 0);
    code.loop(0, count, together, [&](Ix local) {
      code.fetch(code.ofNext(nextK, first), local, together);
      auto at = [&](int64_t r, Ix i) { return code.add(code.mul(code.add(local, r), plan.scoreStride), i); };
      Values tops = code.forVectors(0, length, Values(together, lowest), [&](Ix i, Value mask, Values now) {
        for (int64_t r = 0; r < together; ++r) {
          Value x = code.load(scores, at(r, i));
          now[r] = code.larger(mask ? code.pick(mask, x, lowest) : x, now[r]);
        }
        return now;
      });
      Values most, before, less;
      for (int64_t r = 0; r < together; ++r) {
        most.push_back(code.largestLane(tops[r]));
        if (!only) {
          before.push_back(code.loadScalar(largest, code.add(first, code.add(local, r))));
          most[r] = code.larger(before[r], most[r]);
        }
        less.push_back(code.splat(most[r]));
      }
      Values powers =
          code.forVectors(0, length, Values(together, code.zero()), [&](Ix i, Value mask, Values now) {
            for (int64_t r = 0; r < together; ++r) {
              Value power = code.exp(code.subf(code.load(scores, at(r, i)), less[r]));
              if (mask)
                power = code.pick(mask, power, code.zero());
              code.store(power, scores, at(r, i));
              now[r] = code.addf(now[r], power);
            }
            return now;
          });
      for (int64_t r = 0; r < together; ++r) {
        const Ix row = code.add(first, code.add(local, r));
        Value added = code.sumLanes(powers[r]);
        code.storeScalar(most[r], largest, row);
        if (!only) {
          Value factor = code.exp(code.subf(before[r], most[r]));
          added = code.fma(code.loadScalar(total, row), factor, added);
          Value factors = code.splat(factor);
          for (int64_t c = 0; c < plan.valueWidth; c += code.lanes) {
            Ix place = code.add(code.mul(row, plan.valueWidth), c);
            code.store(code.mulf(code.load(sums, place), factors), sums, place);
          }
        }
        code.storeScalar(added, total, row);
      }
    });
  }

  void writeResult(Ix problem, Ix head, Ix first, Ix count) {
    Ix token = code.add(code.mul(problem, rows), first);
    const int64_t stride = s.heads * s.valueSize;
    if (y)
      code.loop(0, count, 1, [&](Ix row) {
        Value one = arith::ConstantOp::create(code.b, code.loc, code.b.getF32FloatAttr(1));
        Value by = code.splat(arith::DivFOp::create(code.b, code.loc, one, code.loadScalar(total, row)));
        Ix to = code.add(code.mul(code.add(token, row), stride), code.mul(head, s.valueSize));
        for (int64_t c = 0; c < s.valueSize; c += code.lanes) {
          Value mask = c + code.lanes > s.valueSize ? code.firstLanes(s.valueSize - c) : Value();
          Value x = code.mulf(code.load(sums, code.add(code.mul(row, plan.valueWidth), c)), by);
          code.store(x, y, code.add(to, c), mask);
        }
      });
    if (logSum)
      code.loop(0, count, code.lanes, [&](Ix row) {
        Value sum = math::LogOp::create(code.b, code.loc, code.load(total, row));
        Ix to = code.add(code.mul(code.add(token, row), s.heads), head);
        code.storeStrided(code.addf(code.load(largest, row), sum), logSum, to, s.heads,
                          code.firstLanes(code.sub(count, row)));
      });
  }

  const AttentionGroup &group;
  const flow::AttentionShape &s;
  const AttentionPlan plan;
  KernelBuilder kernel;
  AttentionCode code;
  Ix rows, keys;
  AttentionCode::Head nextQ, nextK, nextV; // of the head that follows, where it is fetched
  Value q, k, v, y, logSum, scale, live;
  Value queries, keyPanels, values, scores, sums; // blocks in scratch
  Value largest, total;                           // of each row: of its scores, and of their powers
};

} // namespace

LaunchSpec emitAttention(const AttentionGroup &group, KernelModule &module) {
  return AttentionKernel(group, module).emit();
}

FailureOr<GroupCode> emitAttentionGroup(flow::GroupOp group, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  FailureOr<AttentionGroup> found = AttentionGroup::of(group);
  if (failed(found))
    return failure();
  GroupCode code;
  code.launches.push_back(isa<flow::AttentionOp>(found->root) ? emitAttention(*found, module)
                                                              : emitAttentionGrad(*found, module));
  return code;
}

} // namespace moe::cpu
