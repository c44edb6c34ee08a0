// Emits the kernel of attention's gradient. A unit is one head of one problem, so that no two units add to the same
// element. For each block of keys it goes over all blocks of query rows: the scores are computed again, and
// with the sums that the forward part has kept their weights follow directly; then
//     dv += p^T dy,    ds = p (dy v^T - delta),    dk += ds^T (scale q),    dq += scale (ds k).
// The gradients of k and v are summed in scratch over the blocks of rows, those of q in memory over the blocks of
// keys: the first block writes them, later ones add.
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/cpu/attention/AttentionCode.h"

using namespace mlir;

namespace moe::cpu {
namespace {

class AttentionGradKernel {
public:
  AttentionGradKernel(const AttentionGroup &group, KernelModule &module)
      : group(group), s(group.shape), plan(s, module.target()),
        kernel(module.begin("attention_grad", group.root->getLoc())), code(kernel, plan) {}

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
    logSum = input(group.logSum()), dy = input(group.dy()), delta = input(group.delta());
    SmallVector<Value> outputs;
    for (auto [i, result] : llvm::enumerate(group.results))
      outputs.push_back(result ? kernel.floats(plan::Access::write, *result, group.elementsOfResult(i))
                               : Value());
    dq = outputs[s.q.operand], dk = outputs[s.k.operand], dv = outputs[s.v.operand];
    if (group.live)
      live = kernel.buffer(plan::Access::read, plan::Element::u8, group.live->mask,
                           plan::fromExtent(group.live->elements));
    scale = kernel.numberConstant(group.scale);
    rows = code.size(s.rows()), keys = code.size(s.keys());
    const int64_t mostRows = AttentionPlan::padded(plan.rows), mostKeys = AttentionPlan::padded(plan.keys);
    const int64_t columns = plan.scoreTile.vectors * code.lanes,
                  panels = (plan.keys + columns - 1) / columns * columns;
    queries = kernel.floatScratch(mostRows * plan.width);
    upstream = kernel.floatScratch(mostRows * plan.valueWidth);
    weights = kernel.floatScratch(mostRows * plan.scoreStride);
    if (dq || dk) {
      dScores = kernel.floatScratch(mostRows * plan.scoreStride);
      valuePanels = kernel.floatScratch(panels * s.valueSize);
    }
    keyPanels = kernel.floatScratch(panels * s.size);
    if (dq) {
      keyRows = kernel.floatScratch(mostKeys * plan.width);
      dQueries = kernel.floatScratch(mostRows * plan.width);
    }
    if (dk)
      dKeys = kernel.floatScratch(mostKeys * plan.width);
    if (dv)
      dValues = kernel.floatScratch(mostKeys * plan.valueWidth);

    code.loop(kernel.begin(), kernel.end(), 1, [&](Ix unit) {
      Ix head = code.rem(unit, s.heads), problem = code.div(unit, s.heads);
      if (plan.fetchesNext()) {
        // After the last one of this range, its own operands, which are in the cache.
        Ix next = code.min(code.add(unit, 1), code.sub(kernel.end(), 1));
        Ix nextHead = code.rem(next, s.heads), nextProblem = code.div(next, s.heads);
        nextQ = headOf(q, s.q, s.size, nextProblem, nextHead, 0, rows);
        nextK = headOf(k, s.k, s.size, nextProblem, nextHead, 0, keys);
        nextV = headOf(v, s.v, s.valueSize, nextProblem, nextHead, 0, keys);
        nextDy = headOf(dy, resultRows(), s.valueSize, nextProblem, nextHead, 0, rows);
      }
      auto compute = [&]() -> Values {
        code.forBlocks(keys, plan.keys,
                       [&](Ix from, Ix length) { block(problem, head, from, length, mostKeys); });
        return {};
      };
      if (!live)
        compute();
      else
        code.choose(code.isLive(live, problem, group.live->run), compute, [&]() -> Values {
          writeZeros(problem, head, mostRows, mostKeys);
          return {};
        });
    });
    return kernel.finish("attention_grad", s.groups() * s.heads,
                         cast<flow::CostInterface>(group.root).cost().flops, group.bytes(),
                         uint32_t(plan.heads));
  }

private:
  AttentionCode::Head headOf(Value pointer, const flow::AttentionShape::Rows &part, int64_t size, Ix problem,
                             Ix head, Ix token, Ix tokens) {
    Ix row = code.mul(code.add(code.mul(problem, tokens), token), part.stride);
    return {pointer, code.add(row, code.add(part.offset, code.mul(head, size))), part.stride, size};
  }

  flow::AttentionShape::Rows resultRows() const { return {0, 0, s.heads * s.valueSize, s.rows()}; }

  /// The gradients of a problem that is left out.
  void writeZeros(Ix problem, Ix head, int64_t mostRows, int64_t mostKeys) {
    if (dq)
      code.fill(dQueries, mostRows * plan.width, 0);
    if (dk)
      code.fill(dKeys, mostKeys * plan.width, 0);
    if (dv)
      code.fill(dValues, mostKeys * plan.valueWidth, 0);
    if (dq)
      code.forBlocks(rows, plan.rows, [&](Ix first, Ix count) {
        code.unpackRows(dQueries, plan.width, count, headOf(dq, s.q, s.size, problem, head, first, rows));
      });
    code.forBlocks(keys, plan.keys, [&](Ix from, Ix length) {
      if (dk)
        code.unpackRows(dKeys, plan.width, length, headOf(dk, s.k, s.size, problem, head, from, keys));
      if (dv)
        code.unpackRows(dValues, plan.valueWidth, length,
                        headOf(dv, s.v, s.valueSize, problem, head, from, keys));
    });
  }

  /// All that a block of keys takes part in.
  void block(Ix problem, Ix head, Ix from, Ix length, int64_t mostKeys) {
    const AttentionCode::Head keyHead = headOf(k, s.k, s.size, problem, head, from, keys);
    code.packKeys(keyHead, length, keyPanels);
    if (dScores)
      code.packKeys(headOf(v, s.v, s.valueSize, problem, head, from, keys), length, valuePanels);
    if (dq)
      code.packRows(keyHead, length, keyRows, plan.width);
    if (dk)
      code.fill(dKeys, mostKeys * plan.width, 0);
    if (dv)
      code.fill(dValues, mostKeys * plan.valueWidth, 0);
    code.forBlocks(rows, plan.rows, [&](Ix first, Ix count) {
      code.packRows(headOf(q, s.q, s.size, problem, head, first, rows), count, queries, plan.width, scale);
      code.packRows(headOf(dy, resultRows(), s.valueSize, problem, head, first, rows), count, upstream,
                    plan.valueWidth);
      // A few rows at a time, whose scores are still in the first-level cache when their weights are computed.
      code.loop(0, count, AttentionPlan::kRowMultiple, [&](Ix some) {
        Ix number = code.min(AttentionPlan::kRowMultiple, code.sub(count, some));
        auto rowsOf = [&](Value block, int64_t width) { return code.at(block, code.mul(some, width)); };
        Value toWeights = rowsOf(weights, plan.scoreStride),
              toScores = dScores ? rowsOf(dScores, plan.scoreStride) : Value();
        code.scoreProduct({rowsOf(queries, plan.width), plan.width, 1}, number, keyPanels, s.size, length,
                          toWeights, code.ofNext(nextQ, code.add(first, some)));
        if (dScores)
          code.scoreProduct({rowsOf(upstream, plan.valueWidth), plan.valueWidth, 1}, number, valuePanels,
                            s.valueSize, length, toScores, code.ofNext(nextV, code.add(first, some)));
        differentiate(problem, head, code.add(first, some), number, length, toWeights, toScores);
      });
      if (dv)
        code.featureProduct({weights, 1, plan.scoreStride}, length, count, upstream, plan.valueWidth,
                            plan.valueTile, dValues, true, code.ofNext(nextDy, from));
      if (dk)
        code.featureProduct({dScores, 1, plan.scoreStride}, length, count, queries, plan.width,
                            plan.featureTile, dKeys, true);
      if (dq) {
        code.featureProduct({dScores, plan.scoreStride, 1}, count, length, keyRows, plan.width,
                            plan.featureTile, dQueries, false);
        code.unpackRows(
            dQueries, plan.width, count, headOf(dq, s.q, s.size, problem, head, first, rows), scale,
            from.is(0) && length.isStatic() && length.known() == keys.known() ? Value()
                                                                              : code.equal(from, 0));
      }
    });
    if (dk)
      code.unpackRows(dKeys, plan.width, length, headOf(dk, s.k, s.size, problem, head, from, keys));
    if (dv)
      code.unpackRows(dValues, plan.valueWidth, length,
                      headOf(dv, s.v, s.valueSize, problem, head, from, keys));
  }

  /// From scores to weights, and from the gradients of weights to those of scores (without their scale).
  void differentiate(Ix problem, Ix head, Ix first, Ix count, Ix length, Value toWeights, Value toScores) {
    code.loop(0, count, 1, [&](Ix row) {
      code.fetch(code.ofNext(nextK, first), row, 1);
      Ix at = code.mul(row, plan.scoreStride);
      Ix number = code.add(code.mul(code.add(code.add(code.mul(problem, rows), first), row), s.heads), head);
      Value sum = code.splat(code.loadScalar(logSum, number)),
            less = code.splat(code.loadScalar(delta, number));
      code.forVectors(at, length, {}, [&](Ix i, Value, Values) {
        Value weight = code.exp(code.subf(code.load(toWeights, i), sum));
        code.store(weight, toWeights, i);
        if (toScores)
          code.store(code.mulf(weight, code.subf(code.load(toScores, i), less)), toScores, i);
        return Values();
      });
    });
  }

  const AttentionGroup &group;
  const flow::AttentionShape &s;
  const AttentionPlan plan;
  KernelBuilder kernel;
  AttentionCode code;
  Ix rows, keys;
  AttentionCode::Head nextQ, nextK, nextV, nextDy; // of the head that follows, where it is fetched
  Value q, k, v, logSum, dy, delta, dq, dk, dv, scale, live;
  Value queries, upstream, weights, dScores, keyPanels, valuePanels, keyRows; // blocks in scratch
  Value dQueries, dKeys, dValues;
};

} // namespace

LaunchSpec emitAttentionGrad(const AttentionGroup &group, KernelModule &module) {
  return AttentionGradKernel(group, module).emit();
}

} // namespace moe::cpu
