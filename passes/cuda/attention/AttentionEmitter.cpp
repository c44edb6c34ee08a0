// Emits the kernels of attention and of its gradient for a GPU. A warp computes one token of one head: forward a
// query row, backward a query row (q's gradient) or a key (k's and v's). It goes over the other tokens, 32 at a
// time: first each lane has one of them and computes its score and weight, which go to shared memory; then
// each lane has some features, and adds the products of the 32 weights to them. So nothing is summed by two warps,
// no weight is stored to global memory, and nothing depends on the order of warps. Rows are read from global
// memory by each warp that needs them: this is right before it is fast.
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/kernels/AttentionGroup.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cuda {

constexpr int64_t kWarps = 4;
constexpr int64_t kMostFeatures = 512;

bool fitsAttentionKernel(const flow::AttentionShape &shape) {
  return std::max(shape.size, shape.valueSize) <= kMostFeatures;
}

namespace {

class AttentionKernel {
public:
  AttentionKernel(const AttentionGroup &group, KernelModule &module)
      : group(group), s(group.shape),
        k(module.begin(isa<flow::AttentionOp>(group.root) ? "attention" : "attention_grad", kWarps * kWarp,
                       group.root->getLoc())),
        code(k, /*narrow=*/true), b(k.builder()), f32(b.getF32Type()) {}

  LaunchSpec emit() {
    for (auto [i, bound] : llvm::enumerate(group.operands)) {
      Value &pointer = byOperand[bound.index];
      if (!pointer)
        pointer = k.floats(plan::Access::read, bound, group.elementsOfOperand(i));
      operands.push_back(pointer);
    }
    for (auto [i, bound] : llvm::enumerate(group.results))
      results.push_back(bound ? k.floats(plan::Access::write, *bound, group.elementsOfResult(i)) : Value());
    scale = k.numberConstant(group.scale);
    rows = code.size(s.rows()), keys = code.size(s.keys());
    const bool forward = isa<flow::AttentionOp>(group.root);
    shared = k.shared((forward ? 1 : 2) * kWarps * kWarp, f32);
    lane = code.rem(k.thread(), kWarp), warp = code.div(k.thread(), kWarp);

    const bool hasRows = forward || results[s.q.operand],
               hasKeys = !forward && (results[s.k.operand] || results[s.v.operand]);
    flow::Extent tokens = hasRows && hasKeys ? s.rows() + s.keys() : hasKeys ? s.keys() : s.rows();
    const flow::Extent units = s.groups() * s.heads * tokens;
    Ix unit = code.add(code.mul(k.block(), kWarps), warp), count = code.size(tokens);
    code.when(code.less(unit, code.size(units)), [&] {
      Ix token = code.rem(unit, count), pair = code.div(unit, count);
      head = code.rem(pair, s.heads), problem = code.div(pair, s.heads);
      if (forward)
        return row(token);
      if (!hasKeys)
        return dRow(token);
      if (!hasRows)
        return dKey(token);
      code.choose(
          code.less(token, rows),
          [&] {
            dRow(token);
            return Values();
          },
          [&] {
            dKey(code.sub(token, rows));
            return Values();
          });
    });
    LaunchSpec launch = k.finish(units.ceildiv(kWarps));
    launch.op = group.root->getName().stripDialect().str();
    launch.flops = plan::fromExtent(cast<flow::CostInterface>(group.root).cost().flops);
    launch.bytes = plan::fromExtent(group.bytes());
    return launch;
  }

private:
  using Rows = flow::AttentionShape::Rows;
  /// The features of the head in a value; those of a token begin at offset + token * stride.
  struct Head {
    Value pointer;
    Ix offset;
    int64_t stride, size;
  };
  Head headOf(Value pointer, const Rows &part, int64_t size, Ix tokens) {
    Ix offset = code.add(code.mul(code.mul(problem, tokens), part.stride),
                         code.add(part.offset, code.mul(head, size)));
    return {pointer, offset, part.stride, size};
  }
  Head q(Value pointer) { return headOf(pointer, s.q, s.size, rows); }
  Head keyOf(Value pointer) { return headOf(pointer, s.k, s.size, keys); }
  Head v(Value pointer) { return headOf(pointer, s.v, s.valueSize, keys); }
  Head y(Value pointer) {
    return headOf(pointer, {0, 0, s.heads * s.valueSize, s.rows()}, s.valueSize, rows);
  }
  /// Where the row's number of this head is, in sums and the like.
  Ix number(Ix row) { return code.add(code.mul(code.add(code.mul(problem, rows), row), s.heads), head); }

  Value constant(float value) { return arith::ConstantOp::create(b, k.loc(), b.getF32FloatAttr(value)); }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, k.loc(), x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, k.loc(), x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, k.loc(), x, y); }
  Value fma(Value x, Value y, Value z) { return LLVM::FMAOp::create(b, k.loc(), x, y, z); }
  Value exp(Value x) { return math::ExpOp::create(b, k.loc(), x); }
  // A NaN need not be the largest: it makes its own power NaN, and with it the row's sum.
  Value larger(Value x, Value y) {
    return code.pick(arith::CmpFOp::create(b, k.loc(), arith::CmpFPredicate::OGT, x, y), x, y);
  }
  Value read(Value pointer, Ix at) { return k.load(f32, pointer, f32, code.i64(at)); }
  Value read(const Head &head, Ix token, Ix feature) {
    return read(head.pointer, code.add(code.add(head.offset, code.mul(token, head.stride)), feature));
  }

  /// The product of two tokens' features.
  Value dot(const Head &x, Ix i, const Head &y, Ix j) {
    return code.loop(0, x.size, 1, {constant(0)},
                     [&](Ix c, Values sum) { return Values{fma(read(x, i, c), read(y, j, c), sum[0])}; })[0];
  }
  /// A number of all lanes, of which each lane has a part.
  Value across(Value part, llvm::function_ref<Value(Value, Value)> combine) {
    for (int64_t offset = 1; offset < kWarp; offset *= 2)
      part = combine(part, k.exchange(part, offset));
    return part;
  }

  /// Goes over `count` tokens, 32 at a time. `lanes` gets a lane's token (the last one, where there is none for it) and
  /// whether it has one; `features` then the first of the 32 and how many there are.
  Values forTokens(Ix count, Values carried, llvm::function_ref<Values(Ix, Value, Values)> lanes,
                   llvm::function_ref<Values(Ix, Ix, Values)> features) {
    return code.loop(0, count, kWarp, carried, [&](Ix first, Values now) {
      Ix token = code.add(first, lane);
      now = lanes(code.min(token, code.sub(count, 1)), code.less(token, count), now);
      k.warpBarrier();
      now = features(first, code.min(kWarp, code.sub(count, first)), now);
      k.warpBarrier();
      return now;
    });
  }
  Ix place(int64_t part, Ix of) {
    return code.add(code.add(part * kWarps * kWarp, code.mul(warp, kWarp)), of);
  }
  /// Makes a lane's weight, 0 where it has no token, visible to the warp: the first or second number of each token.
  void show(Value weight, Value has, int64_t part = 0) {
    k.store(code.pick(has, weight, constant(0)), shared, f32, code.i64(place(part, lane)));
  }
  static int64_t perLane(int64_t size) { return (size + kWarp - 1) / kWarp; }
  /// The lane's features of a head, the last one where there is none: number t of each lane.
  Ix feature(int64_t t, int64_t size) {
    Ix c = code.add(lane, t * kWarp);
    return (t + 1) * kWarp <= size ? c : code.min(c, size - 1);
  }
  /// sums + the weighted features of the tokens from `first` on.
  Values weighted(const Head &of, Ix first, Ix count, int64_t part, ArrayRef<Value> sums) {
    const int64_t each = perLane(of.size);
    Values parts = code.loop(0, count, 1, Values(each, constant(0)), [&](Ix j, Values now) {
      Value weight = read(shared, place(part, j));
      for (int64_t t = 0; t < each; ++t)
        now[t] = fma(weight, read(of, code.add(first, j), feature(t, of.size)), now[t]);
      return now;
    });
    for (int64_t t = 0; t < each; ++t)
      parts[t] = add(sums[t], parts[t]);
    return parts;
  }
  void write(const Head &to, Ix token, ArrayRef<Value> sums) {
    for (auto [t, sum] : llvm::enumerate(sums)) {
      Ix c = code.add(lane, int64_t(t) * kWarp);
      Value some = int64_t(t + 1) * kWarp <= to.size ? Value() : code.less(c, to.size);
      code.when(some, [&] {
        Ix at = code.add(code.add(to.offset, code.mul(token, to.stride)), c);
        k.store(sum, to.pointer, f32, code.i64(at));
      });
    }
  }

  /// A row of the result. Carried: the largest score so far, the sum of powers, and the sums of features.
  void row(Ix i) {
    const Head own = q(operands[s.q.operand]), key = keyOf(operands[s.k.operand]),
               value = v(operands[s.v.operand]);
    Values start(2 + perLane(s.valueSize), constant(0));
    start[0] = constant(-INFINITY);
    Value factor;
    Values end = forTokens(
        keys, start,
        [&](Ix j, Value has, Values now) {
          Value score = code.pick(has, mul(scale, dot(own, i, key, j)), constant(-INFINITY));
          Value most = larger(now[0], across(score, [&](Value x, Value y) { return larger(x, y); }));
          Value power = code.pick(has, exp(sub(score, most)), constant(0));
          factor = exp(sub(now[0], most));
          show(power, has);
          now[0] = most;
          now[1] = fma(now[1], factor, across(power, [&](Value x, Value y) { return add(x, y); }));
          return now;
        },
        [&](Ix first, Ix count, Values now) {
          Values sums;
          for (Value sum : ArrayRef(now).drop_front(2))
            sums.push_back(mul(sum, factor));
          sums = weighted(value, first, count, 0, sums);
          llvm::copy(sums, now.begin() + 2);
          return now;
        });
    if (results[0]) {
      Values sums;
      for (Value sum : ArrayRef(end).drop_front(2))
        sums.push_back(arith::DivFOp::create(b, k.loc(), sum, end[1]));
      write(y(results[0]), i, sums);
    }
    if (results[1])
      code.when(code.equal(lane, 0), [&] {
        Value sum = add(end[0], math::LogOp::create(b, k.loc(), end[1]));
        k.store(sum, results[1], f32, code.i64(number(i)));
      });
  }

  /// The weight of key j in row i, and the gradient of their score.
  std::pair<Value, Value> derivative(Ix i, Ix j) {
    Value score = mul(scale, dot(q(operands[s.q.operand]), i, keyOf(operands[s.k.operand]), j));
    Value weight = exp(sub(score, read(operands[group.logSum()], number(i))));
    Value dWeight = dot(y(operands[group.dy()]), i, v(operands[s.v.operand]), j);
    Value less = sub(dWeight, read(operands[group.delta()], number(i)));
    return {weight, mul(scale, mul(weight, less))};
  }

  void dRow(Ix i) {
    Values sums = forTokens(
        keys, Values(perLane(s.size), constant(0)),
        [&](Ix j, Value has, Values now) {
          show(derivative(i, j).second, has);
          return now;
        },
        [&](Ix first, Ix count, Values now) {
          return weighted(keyOf(operands[s.k.operand]), first, count, 0, now);
        });
    write(q(results[s.q.operand]), i, sums);
  }

  void dKey(Ix j) {
    const int64_t ofKey = results[s.k.operand] ? perLane(s.size) : 0,
                  ofValue = results[s.v.operand] ? perLane(s.valueSize) : 0;
    Values sums = forTokens(
        rows, Values(ofKey + ofValue, constant(0)),
        [&](Ix i, Value has, Values now) {
          auto [weight, dScore] = derivative(i, j);
          show(weight, has, 0);
          show(dScore, has, 1);
          return now;
        },
        [&](Ix first, Ix count, Values now) {
          ArrayRef<Value> all(now);
          Values next;
          if (ofKey)
            llvm::append_range(next,
                               weighted(q(operands[s.q.operand]), first, count, 1, all.take_front(ofKey)));
          if (ofValue)
            llvm::append_range(next,
                               weighted(y(operands[group.dy()]), first, count, 0, all.drop_front(ofKey)));
          return next;
        });
    if (ofKey)
      write(keyOf(results[s.k.operand]), j, ArrayRef(sums).take_front(ofKey));
    if (ofValue)
      write(v(results[s.v.operand]), j, ArrayRef(sums).drop_front(ofKey));
  }

  const AttentionGroup &group;
  const flow::AttentionShape &s;
  KernelBuilder k;
  IndexCode code;
  OpBuilder &b;
  Type f32;
  llvm::SmallDenseMap<unsigned, Value> byOperand; // of the group
  SmallVector<Value> operands, results;           // of the root
  Value scale, shared;
  Ix rows, keys, lane, warp, head, problem;
};

} // namespace

FailureOr<GroupCode> emitAttentionGroup(flow::GroupOp group, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  FailureOr<AttentionGroup> found = AttentionGroup::of(group);
  if (failed(found))
    return failure();
  GroupCode code;
  code.launches.push_back(AttentionKernel(*found, module).emit());
  return code;
}

} // namespace moe::cuda
