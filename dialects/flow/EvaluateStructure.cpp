// The meaning of structural ops, reductions, contractions and convolutions in f64: for each, loops over
// indices as the op's definition reads.
#include "dialects/flow/Define.h"
#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace flow;

namespace {

void fill(Array &y, double value) { std::fill(y.data.begin(), y.data.end(), value); }

/// Calls `function(image row, image column)` for what lies in the image of window (oh, ow) at (kh, kw).
struct Windows {
  ArrayRef<int64_t> strides, pads;
  int64_t height, width;

  bool inside(int64_t oh, int64_t ow, int64_t kh, int64_t kw, int64_t &h, int64_t &w) const {
    h = oh * strides[0] + kh - pads[0];
    w = ow * strides[1] + kw - pads[1];
    return h >= 0 && h < height && w >= 0 && w < width;
  }
};

/// Every product of a convolution: `function(x index, w index, y index)`.
template <typename Function>
void forEachProduct(ArrayRef<int64_t> x, ArrayRef<int64_t> w, ArrayRef<int64_t> y, ArrayRef<int64_t> strides,
                    ArrayRef<int64_t> pads, Function function) {
  for (int64_t b = 0; b < y[0]; ++b)
    for (int64_t o = 0; o < y[1]; ++o)
      for (int64_t c = 0; c < x[1]; ++c)
        for (int64_t kh = 0; kh < w[2]; ++kh)
          for (int64_t kw = 0; kw < w[3]; ++kw)
            for (int64_t oh = 0; oh < y[2]; ++oh) {
              int64_t h = oh * strides[0] + kh - pads[0];
              if (h < 0 || h >= x[2])
                continue;
              int64_t xRow = ((b * x[1] + c) * x[2] + h) * x[3],
                      wAt = ((o * w[1] + c) * w[2] + kh) * w[3] + kw,
                      yRow = ((b * y[1] + o) * y[2] + oh) * y[3];
              for (int64_t ow = 0; ow < y[3]; ++ow) {
                int64_t v = ow * strides[1] + kw - pads[1];
                if (v >= 0 && v < x[3])
                  function(xRow + v, wAt, yRow + ow);
              }
            }
}

/// A contraction's sum for every result element; `term` is what is summed of a product.
template <typename Term>
void contractInto(ContractOp op, const Array &a, const Array &b, Array &y, Term term) {
  // Labels in order: the result's, then the summed ones. Each tensor's position advances by its own stride a
  // label.
  SmallVector<int64_t> labels(op.getOutAxes());
  for (int64_t label : op.getAAxes())
    if (!llvm::is_contained(labels, label))
      labels.push_back(label);
  size_t kept = op.getOutAxes().size();
  SmallVector<int64_t> extents(labels.size(), 1);
  auto stridesOf = [&](ArrayRef<int64_t> axes, ArrayRef<int64_t> shape) {
    SmallVector<int64_t> strides(labels.size(), 0);
    int64_t stride = 1;
    for (size_t axis = axes.size(); axis-- > 0;) {
      size_t label = llvm::find(labels, axes[axis]) - labels.begin();
      strides[label] = stride;
      extents[label] = shape[axis];
      stride *= shape[axis];
    }
    return strides;
  };
  auto aStrides = stridesOf(op.getAAxes(), a.shape), bStrides = stridesOf(op.getBAxes(), b.shape);
  auto dot = [](ArrayRef<int64_t> index, ArrayRef<int64_t> strides) {
    int64_t position = 0;
    for (size_t i = 0; i < index.size(); ++i)
      position += index[i] * strides[i];
    return position;
  };
  ArrayRef<int64_t> outer = ArrayRef(extents).take_front(kept), inner = ArrayRef(extents).drop_front(kept);
  SmallVector<std::pair<int64_t, int64_t>> summed;
  forEachIndex(inner, [&](ArrayRef<int64_t> index, int64_t) {
    summed.push_back(
        {dot(index, ArrayRef(aStrides).drop_front(kept)), dot(index, ArrayRef(bStrides).drop_front(kept))});
  });
  forEachIndex(outer, [&](ArrayRef<int64_t> index, int64_t position) {
    int64_t aBase = dot(index, ArrayRef(aStrides).take_front(kept)),
            bBase = dot(index, ArrayRef(bStrides).take_front(kept));
    double total = 0;
    for (auto [aOffset, bOffset] : summed)
      total += term(a.data[aBase + aOffset] * b.data[bBase + bOffset]);
    y.data[position] = total;
  });
}

double itself(double x) { return x; }
double absoluteTerm(double x) { return std::fabs(x); }

template <typename Term> void reduceInto(ReduceOp op, const Array &x, Array &y, Term term) {
  double start = op.getKind() == ReduceKind::sum ? 0 : op.getKind() == ReduceKind::max ? -INFINITY : INFINITY;
  fill(y, start);
  forEachIndex(x.shape, [&](ArrayRef<int64_t> index, int64_t position) {
    Index kept;
    for (size_t axis = 0; axis < index.size(); ++axis)
      if (!llvm::is_contained(op.getAxes(), int64_t(axis)))
        kept.push_back(index[axis]);
    double &into = at(y, kept), value = x.data[position];
    if (op.getKind() == ReduceKind::sum)
      into += term(value);
    else if (std::isnan(value) || (op.getKind() == ReduceKind::max ? value > into : value < into))
      into = value;
  });
}

template <typename Term> void scatterInto(const Array &index, const Array &rows, Array &y, Term term) {
  fill(y, 0);
  int64_t row = rows.size() / std::max<int64_t>(index.size(), 1);
  for (int64_t i = 0; i < index.size(); ++i) {
    int64_t to = int64_t(index.data[i]);
    if (to >= 0 && to < y.shape[0])
      for (int64_t j = 0; j < row; ++j)
        y.data[to * row + j] += term(rows.data[i * row + j]);
  }
}

template <typename Term> void segmentsInto(const Array &rows, const Array &offsets, Array &y, Term term) {
  fill(y, 0);
  int64_t row = y.size() / std::max<int64_t>(y.shape[0], 1);
  for (int64_t k = 0; k < y.shape[0]; ++k) {
    const double end = std::min(offsets.data[k + 1], double(rows.shape[0]));
    for (int64_t i = int64_t(std::max(offsets.data[k], 0.0)); double(i) < end; ++i)
      for (int64_t j = 0; j < row; ++j)
        y.data[k * row + j] += term(rows.data[i * row + j]);
  }
}

template <typename Term> void windowSumInto(WindowSumOp op, const Array &x, Array &y, Term term) {
  fill(y, 0);
  Windows windows{op.getStrides(), op.getPads(), y.shape[2], y.shape[3]};
  forEachIndex(x.shape, [&](ArrayRef<int64_t> i, int64_t position) {
    int64_t h, w;
    if (windows.inside(i[2], i[3], i[4], i[5], h, w))
      at(y, {i[0], i[1], h, w}) += term(x.data[position]);
  });
}

/// A convolution's operands without their signs.
Array absolute(const Array &x) {
  Array y = x;
  for (double &value : y.data)
    value = std::fabs(value);
  return y;
}

} // namespace

void BroadcastOp::evaluate(Operands v, Array &y, const Setting &) {
  const Array &x = *v[0];
  forEachIndex(y.shape, [&](ArrayRef<int64_t> index, int64_t position) {
    Index from;
    for (auto [axis, to] : llvm::enumerate(getDims()))
      from.push_back(x.shape[axis] == 1 ? 0 : index[to]);
    y.data[position] = at(x, from);
  });
}

void ReshapeOp::evaluate(Operands v, Array &y, const Setting &) { y.data = v[0]->data; }

void TransposeOp::evaluate(Operands v, Array &y, const Setting &) {
  forEachIndex(y.shape, [&](ArrayRef<int64_t> index, int64_t position) {
    Index from(index.size());
    for (auto [axis, of] : llvm::enumerate(getPerm()))
      from[of] = index[axis];
    y.data[position] = at(*v[0], from);
  });
}

void SliceOp::evaluate(Operands v, Array &y, const Setting &) {
  forEachIndex(y.shape, [&](ArrayRef<int64_t> index, int64_t position) {
    Index from;
    for (size_t axis = 0; axis < index.size(); ++axis)
      from.push_back(getStarts()[axis] + index[axis] * getStrides()[axis]);
    y.data[position] = at(*v[0], from);
  });
}

void PadOp::evaluate(Operands v, Array &y, const Setting &) {
  fill(y, getValue().convertToDouble());
  forEachIndex(v[0]->shape, [&](ArrayRef<int64_t> index, int64_t position) {
    Index to;
    for (size_t axis = 0; axis < index.size(); ++axis)
      to.push_back(getLow()[axis] + index[axis] * (getInterior()[axis] + 1));
    at(y, to) = v[0]->data[position];
  });
}

void ConcatOp::evaluate(Operands v, Array &y, const Setting &) {
  int64_t offset = 0;
  for (const Array *x : v) {
    forEachIndex(x->shape, [&](ArrayRef<int64_t> index, int64_t position) {
      Index to(index);
      to[getAxis()] += offset;
      at(y, to) = x->data[position];
    });
    offset += x->shape[getAxis()];
  }
}

void ReduceOp::evaluate(Operands v, Array &y, const Setting &) { reduceInto(*this, *v[0], y, itself); }

void ArgmaxOp::evaluate(Operands v, Array &y, const Setting &) {
  const std::vector<double> &x = v[0]->data;
  forEachRow(v[0]->shape, getAxis(), [&](int64_t row, ArrayRef<int64_t> elements) {
    double most = -INFINITY;
    y.data[row] = 0;
    for (auto [i, element] : llvm::enumerate(elements))
      if (!std::isnan(most) && (std::isnan(x[element]) || x[element] > most)) {
        most = x[element];
        y.data[row] = double(i);
      }
  });
}

void GatherOp::evaluate(Operands v, Array &y, const Setting &) {
  const Array &table = *v[0], &index = *v[1];
  int64_t row = y.size() / std::max<int64_t>(index.size(), 1);
  for (int64_t i = 0; i < index.size(); ++i) {
    int64_t from = int64_t(index.data[i]);
    bool known = from >= 0 && from < table.shape[0];
    for (int64_t j = 0; j < row; ++j)
      y.data[i * row + j] = known ? table.data[from * row + j] : 0;
  }
}

void ScatterAddOp::evaluate(Operands v, Array &y, const Setting &) { scatterInto(*v[0], *v[1], y, itself); }

void CountingSortOp::evaluate(Operands v, MutableArrayRef<Array> results, const Setting &) {
  const std::vector<double> &number = v[0]->data;
  Array &order = results[0], &offsets = results[1], &positions = results[2];
  const double end = double(offsets.size() - 1);
  auto rankOf = [&](double place) {
    double at = number[size_t(place)];
    return at >= 0 && at < end ? at : end;
  };
  std::iota(order.data.begin(), order.data.end(), 0.0);
  std::sort(order.data.begin(), order.data.end(),
            [&](double a, double b) { return std::pair(rankOf(a), a) < std::pair(rankOf(b), b); });
  for (int64_t k = 0; k < offsets.size(); ++k)
    offsets.data[k] = double(llvm::count_if(number, [&](double at) { return at >= 0 && at < double(k); }));
  for (auto [position, place] : llvm::enumerate(order.data))
    positions.data[size_t(place)] = double(position);
}

void SegmentSumOp::evaluate(Operands v, Array &y, const Setting &) { segmentsInto(*v[0], *v[1], y, itself); }

void ContractOp::evaluate(Operands v, Array &y, const Setting &) {
  contractInto(*this, *v[0], *v[1], y, itself);
}

void ConvOp::evaluate(Operands v, Array &y, const Setting &) {
  fill(y, 0);
  forEachProduct(v[0]->shape, v[1]->shape, y.shape, getStrides(), getPads(),
                 [&](int64_t x, int64_t w, int64_t to) { y.data[to] += v[0]->data[x] * v[1]->data[w]; });
}
void ConvInputGradOp::evaluate(Operands v, Array &y, const Setting &) {
  fill(y, 0);
  forEachProduct(y.shape, v[1]->shape, v[0]->shape, getStrides(), getPads(),
                 [&](int64_t x, int64_t w, int64_t from) { y.data[x] += v[0]->data[from] * v[1]->data[w]; });
}
void ConvWeightGradOp::evaluate(Operands v, Array &y, const Setting &) {
  fill(y, 0);
  forEachProduct(v[0]->shape, y.shape, v[1]->shape, getStrides(), getPads(),
                 [&](int64_t x, int64_t w, int64_t from) { y.data[w] += v[0]->data[x] * v[1]->data[from]; });
}

void WindowOp::evaluate(Operands v, Array &y, const Setting &) {
  Windows windows{getStrides(), getPads(), v[0]->shape[2], v[0]->shape[3]};
  forEachIndex(y.shape, [&](ArrayRef<int64_t> i, int64_t position) {
    int64_t h, w;
    bool inside = windows.inside(i[2], i[3], i[4], i[5], h, w);
    y.data[position] = inside ? at(*v[0], {i[0], i[1], h, w}) : getValue().convertToDouble();
  });
}

void WindowSumOp::evaluate(Operands v, Array &y, const Setting &) { windowSumInto(*this, *v[0], y, itself); }

// Magnitudes: the same loops over absolute values.

Array ReduceOp::magnitude(Operands v, const Array &result) {
  Array y = result;
  reduceInto(*this, *v[0], y, absoluteTerm);
  return y;
}
Array ScatterAddOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape);
  scatterInto(*v[0], *v[1], y, absoluteTerm);
  return y;
}
Array SegmentSumOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape);
  segmentsInto(*v[0], *v[1], y, absoluteTerm);
  return y;
}
Array ContractOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape);
  contractInto(*this, *v[0], *v[1], y, absoluteTerm);
  return y;
}
Array WindowSumOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape);
  windowSumInto(*this, *v[0], y, absoluteTerm);
  return y;
}
Array ConvOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape), a = absolute(*v[0]), b = absolute(*v[1]);
  evaluate({&a, &b}, y, {});
  return y;
}
Array ConvInputGradOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape), a = absolute(*v[0]), b = absolute(*v[1]);
  evaluate({&a, &b}, y, {});
  return y;
}
Array ConvWeightGradOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape), a = absolute(*v[0]), b = absolute(*v[1]);
  evaluate({&a, &b}, y, {});
  return y;
}
