// Attention and its gradient: their shapes, the evaluator in f64, the error bounds that follow from the same
// loops, random cases, and costs. The gradient, and how other ops compute both, is in GradientAttention.cpp.
#include "dialects/flow/Attention.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/RandomCase.h"

using namespace mlir;

namespace flow {

AttentionShape AttentionShape::of(ValueRange inputs, int64_t heads) {
  const bool packed = inputs.size() == 1;
  AttentionShape shape;
  shape.heads = heads;
  shape.element = elementOf(inputs[0]);
  auto width = [&](unsigned input) {
    return *Extent::of(inputs[input], rankOf(inputs[input]) - 1).constantValue();
  };
  auto part = [&](unsigned i) -> Rows {
    const unsigned operand = packed ? 0 : i;
    const Extent tokens = Extent::of(inputs[operand], rankOf(inputs[operand]) - 2);
    return {operand, packed ? int64_t(i) * (width(0) / 3) : 0, width(operand), tokens};
  };
  shape.q = part(0), shape.k = part(1), shape.v = part(2);
  shape.size = width(0) / (packed ? 3 : 1) / heads;
  shape.valueSize = packed ? shape.size : width(2) / heads;
  shape.lead = extentsOf(inputs[0]);
  shape.lead.pop_back_n(2);
  return shape;
}

RankedTensorType AttentionShape::resultType() const {
  SmallVector<Extent> extents(lead);
  extents.append({rows(), Extent::constant(element.getContext(), heads * valueSize)});
  return tensorType(extents, element);
}
RankedTensorType AttentionShape::sumType() const {
  SmallVector<Extent> extents(lead);
  extents.append({rows(), Extent::constant(element.getContext(), heads)});
  return tensorType(extents, element);
}

namespace {

using Rows = AttentionShape::Rows;

/// The numbers of one evaluation, by group, head, token and feature.
struct Numbers {
  AttentionShape shape;
  Operands inputs;
  double scale;
  int64_t groups, rows, keys;

  Numbers(AttentionShape shape, Operands inputs, double scale)
      : shape(std::move(shape)), inputs(inputs), scale(scale) {
    auto tokens = [&](const Rows &part) { return *(inputs[part.operand]->shape.end() - 2); };
    rows = tokens(this->shape.q), keys = tokens(this->shape.k);
    groups = inputs[0]->size() / (rows * this->shape.q.stride);
  }
  size_t place(const Rows &part, int64_t size, int64_t group, int64_t head, int64_t token,
               int64_t feature) const {
    const int64_t tokens = &part == &shape.q ? rows : keys;
    return (group * tokens + token) * part.stride + part.offset + head * size + feature;
  }
  double q(int64_t g, int64_t h, int64_t i, int64_t c) const {
    return inputs[shape.q.operand]->data[place(shape.q, shape.size, g, h, i, c)];
  }
  double k(int64_t g, int64_t h, int64_t j, int64_t c) const {
    return inputs[shape.k.operand]->data[place(shape.k, shape.size, g, h, j, c)];
  }
  double v(int64_t g, int64_t h, int64_t j, int64_t c) const {
    return inputs[shape.v.operand]->data[place(shape.v, shape.valueSize, g, h, j, c)];
  }
  /// Of a value of the result's shape, and of one number a row and head.
  size_t result(int64_t g, int64_t h, int64_t i, int64_t c) const {
    return ((g * rows + i) * shape.heads + h) * shape.valueSize + c;
  }
  size_t sum(int64_t g, int64_t h, int64_t i) const { return (g * rows + i) * shape.heads + h; }

  double score(int64_t g, int64_t h, int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t c = 0; c < shape.size; ++c)
      sum += q(g, h, i, c) * k(g, h, j, c);
    return scale * sum;
  }
  /// The sum of a score's absolute terms, to which its rounding error is relative.
  double scoreTerms(int64_t g, int64_t h, int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t c = 0; c < shape.size; ++c)
      sum += std::fabs(q(g, h, i, c) * k(g, h, j, c));
    return std::fabs(scale) * sum;
  }
  template <typename Function> void forEachRow(Function function) const {
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t h = 0; h < shape.heads; ++h)
        for (int64_t i = 0; i < rows; ++i)
          function(g, h, i);
  }
};

void clear(Array &x) { std::fill(x.data.begin(), x.data.end(), 0.0); }

/// Adds the terms of attention's gradients, `ours(term, relative)` each, where `relative` is what the term's
/// error is relative to beside the term itself.
template <typename Own>
void addGradients(const Numbers &n, Operands v, MutableArrayRef<Array> results, Own own) {
  for (Array &result : results)
    clear(result);
  const unsigned inputs = n.inputs.size();
  const std::vector<double> &logSum = v[inputs]->data, &dy = v[inputs + 1]->data,
                            &delta = v[inputs + 2]->data;
  const AttentionShape &s = n.shape;
  n.forEachRow([&](int64_t g, int64_t h, int64_t i) {
    const double sum = logSum[n.sum(g, h, i)], less = delta[n.sum(g, h, i)];
    for (int64_t j = 0; j < n.keys; ++j) {
      const double p = std::exp(n.score(g, h, i, j) - sum);
      const double error = 1 + n.scoreTerms(g, h, i, j) + std::fabs(sum);
      double dp = -less, terms = std::fabs(less);
      for (int64_t c = 0; c < s.valueSize; ++c) {
        const double term = dy[n.result(g, h, i, c)] * n.v(g, h, j, c);
        dp += term, terms += std::fabs(term);
      }
      for (int64_t c = 0; c < s.valueSize; ++c)
        own(results[s.v.operand].data[n.place(s.v, s.valueSize, g, h, j, c)], p * dy[n.result(g, h, i, c)],
            p * std::fabs(dy[n.result(g, h, i, c)]) * error);
      for (int64_t c = 0; c < s.size; ++c) {
        own(results[s.q.operand].data[n.place(s.q, s.size, g, h, i, c)], n.scale * p * dp * n.k(g, h, j, c),
            std::fabs(n.scale * n.k(g, h, j, c)) * p * terms * error);
        own(results[s.k.operand].data[n.place(s.k, s.size, g, h, j, c)], n.scale * p * dp * n.q(g, h, i, c),
            std::fabs(n.scale * n.q(g, h, i, c)) * p * terms * error);
      }
    }
  });
}

/// Operands of a random case: in three values or one, with any axes in front of the tokens.
struct AttentionCase {
  SmallVector<Value> inputs;
  int64_t heads;
  double scale;

  explicit AttentionCase(RandomCase &r) {
    const bool given = r.wanted && r.wanted->size() >= 2 && r.wanted->back().constantValue();
    bool packed = r.coin();
    SmallVector<Extent> q;
    int64_t width;
    if (given) {
      q = *r.wanted;
      width = *q.pop_back_val().constantValue();
      packed = packed && width % 3 == 0;
      width /= packed ? 3 : 1;
      do
        heads = r.number(1, std::min<int64_t>(width, 4));
      while (width % heads);
    } else {
      q = r.extents(0, 2);
      q.push_back(r.extent(7));
      heads = r.number(1, 3);
      width = heads * r.number(1, 5);
    }
    scale = double(float(r.coin() ? 1 / std::sqrt(double(width / heads)) : r.uniform(-1, 1)));
    auto of = [&](Extent tokens, int64_t features) {
      SmallVector<Extent> extents(ArrayRef(q).drop_back());
      extents.append({tokens, r.constant(features)});
      return extents;
    };
    if (packed) {
      inputs = {r.values(of(q.back(), 3 * width))};
      return;
    }
    const Extent keys = r.coin() ? q.back() : r.extent(7);
    const int64_t values = r.coin() ? width : heads * r.number(1, 5);
    inputs = {r.values(of(q.back(), width)), r.values(of(keys, width)), r.values(of(keys, values))};
  }
};

SmallVector<Extent> scores(const AttentionShape &shape) {
  return {shape.groups(), Extent::constant(shape.element.getContext(), shape.heads), shape.rows(),
          shape.keys()};
}

} // namespace

void AttentionOp::evaluate(Operands v, MutableArrayRef<Array> results, const Setting &) {
  const Numbers n(AttentionShape::of(*this), v, getScale().convertToDouble());
  Array &y = results[0], &logSum = results[1];
  clear(y);
  n.forEachRow([&](int64_t g, int64_t h, int64_t i) {
    std::vector<double> score(n.keys);
    for (int64_t j = 0; j < n.keys; ++j)
      score[j] = n.score(g, h, i, j);
    const double largest = *std::max_element(score.begin(), score.end());
    double sum = 0;
    for (double each : score)
      sum += std::exp(each - largest);
    logSum.data[n.sum(g, h, i)] = largest + std::log(sum);
    for (int64_t j = 0; j < n.keys; ++j)
      for (int64_t c = 0; c < n.shape.valueSize; ++c)
        y.data[n.result(g, h, i, c)] += std::exp(score[j] - largest) / sum * n.v(g, h, j, c);
  });
}

// An error of a score changes its own weight, and all others through the sum.
SmallVector<Array> AttentionOp::magnitude(Operands v, ArrayRef<Array> results) {
  const Numbers n(AttentionShape::of(*this), v, getScale().convertToDouble());
  SmallVector<Array> all(results.begin(), results.end());
  clear(all[0]);
  n.forEachRow([&](int64_t g, int64_t h, int64_t i) {
    const double logSum = results[1].data[n.sum(g, h, i)];
    double mean = 0;
    for (int64_t j = 0; j < n.keys; ++j)
      mean += std::exp(n.score(g, h, i, j) - logSum) * n.scoreTerms(g, h, i, j);
    all[1].data[n.sum(g, h, i)] = 1 + mean + std::fabs(logSum) + std::log(double(n.keys));
    for (int64_t j = 0; j < n.keys; ++j) {
      const double weight = std::exp(n.score(g, h, i, j) - logSum) * (1 + n.scoreTerms(g, h, i, j) + mean);
      for (int64_t c = 0; c < n.shape.valueSize; ++c)
        all[0].data[n.result(g, h, i, c)] += weight * std::fabs(n.v(g, h, j, c));
    }
  });
  return all;
}

void AttentionGradOp::evaluate(Operands v, MutableArrayRef<Array> results, const Setting &) {
  addGradients(
      Numbers(AttentionShape::of(*this), v.take_front(getInputs().size()), getScale().convertToDouble()), v,
      results, [](double &sum, double term, double) { sum += term; });
}

SmallVector<Array> AttentionGradOp::magnitude(Operands v, ArrayRef<Array> results) {
  SmallVector<Array> all(results.begin(), results.end());
  addGradients(
      Numbers(AttentionShape::of(*this), v.take_front(getInputs().size()), getScale().convertToDouble()), v,
      all, [](double &sum, double, double size) { sum += size; });
  return all;
}

// As a sum of products, and an exponential function.
double AttentionOp::errorFactor() { return 24; }
double AttentionGradOp::errorFactor() { return 24; }

void AttentionOp::buildRandomCase(RandomCase &r) {
  AttentionCase one(r);
  const AttentionShape shape = AttentionShape::of(one.inputs, one.heads);
  auto op = AttentionOp::create(r.builder, r.location, shape.resultType(), shape.sumType(), one.inputs,
                                one.heads, APFloat(one.scale));
  r.results(op.getResults());
}

// The sums need not be those of the scores, nor `delta` that of a result.
void AttentionGradOp::buildRandomCase(RandomCase &r) {
  AttentionCase one(r);
  const AttentionShape shape = AttentionShape::of(one.inputs, one.heads);
  Value logSum = r.between(extentsOf(shape.sumType()), 0, 2), dy = r.values(extentsOf(shape.resultType())),
        delta = r.values(extentsOf(shape.sumType()));
  auto op = AttentionGradOp::create(r.builder, r.location, TypeRange(ValueRange(one.inputs)), one.inputs,
                                    logSum, dy, delta, one.heads, APFloat(one.scale));
  r.results(op.getResults());
}

SmallVector<Extent> AttentionOp::iterationSpace() { return scores(AttentionShape::of(*this)); }
SmallVector<Extent> AttentionGradOp::iterationSpace() { return scores(AttentionShape::of(*this)); }
SmallVector<Access> AttentionOp::accesses() { return {}; }
SmallVector<Access> AttentionGradOp::accesses() { return {}; }

Cost AttentionOp::cost() {
  const AttentionShape shape = AttentionShape::of(*this);
  return {productOf(scores(shape), getContext()) * (2 * (shape.size + shape.valueSize)), true};
}
// Two products for each of attention's. The scores, which are computed once more, do not count, as nothing does that
// is computed again to save memory.
Cost AttentionGradOp::cost() {
  const AttentionShape shape = AttentionShape::of(*this);
  return {productOf(scores(shape), getContext()) * (4 * (shape.size + shape.valueSize)), true};
}

} // namespace flow
