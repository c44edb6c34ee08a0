// Random cases and error bounds of structural ops, reductions, contractions and convolutions. Copies are
// exact; a sum's factor is stated for up to a few thousand terms of mixed sign, in any fixed order.
#include "dialects/flow/RandomCase.h"
#include <cmath>

using namespace mlir;
using namespace flow;

namespace {

// Sums in loops are made in short runs whose rounding is carried along.
constexpr double sumFactor = 16, loopSumFactor = 8;

/// A random subset of the axes below `rank`, ascending, of a given size.
SmallVector<int64_t> someAxes(RandomCase &r, int64_t rank, int64_t count) {
  auto axes = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  while (int64_t(axes.size()) > count)
    axes.erase(axes.begin() + r.number(0, axes.size() - 1));
  return axes;
}

SmallVector<int64_t> shuffled(RandomCase &r, SmallVector<int64_t> list) {
  for (size_t i = list.size(); i-- > 1;)
    std::swap(list[i], list[r.number(0, i)]);
  return list;
}

/// The shapes of a convolution or of windows over an image.
struct ConvShapes {
  SmallVector<Extent> image, filter, out;
  SmallVector<int64_t> size, strides, pads;

  explicit ConvShapes(RandomCase &r) {
    image = {r.coin() ? Extent::batch(r.builder.getContext()) : r.constant(r.number(1, 2)),
             r.constant(r.number(1, 3))};
    bool given = r.wanted && r.wanted->size() == 4;
    for (int axis : {1, 2, 3})
      given = given && (*r.wanted)[axis].constantValue();
    if (given)
      image = {(*r.wanted)[0], (*r.wanted)[1]};
    filter = {r.constant(r.number(1, 3)), image[1]};
    out = {image[0], filter[0]};
    for (int i : {0, 1})
      strides.push_back(r.number(1, 3) + 0 * i);
    pads = {r.number(0, 2), r.number(0, 2), r.number(0, 2), r.number(0, 2)};
    for (int i : {0, 1}) {
      size.push_back(r.number(1, 4));
      if (given) {
        image.push_back((*r.wanted)[2 + i]);
        size[i] = std::min(size[i], *image.back().constantValue() + pads[i] + pads[i + 2]);
      } else {
        int64_t least = std::max<int64_t>(1, size[i] - pads[i] - pads[i + 2]);
        image.push_back(r.constant(r.number(least, least + 5)));
      }
      filter.push_back(r.constant(size[i]));
      out.push_back(windowCount(image[2 + i], pads[i] + pads[i + 2], size[i], strides[i]));
    }
  }
  SmallVector<Extent> windows(RandomCase &r) const {
    return {image[0], image[1], out[2], out[3], r.constant(size[0]), r.constant(size[1])};
  }
};

} // namespace

void BroadcastOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(0, 4);
  auto dims = someAxes(r, extents.size(), r.number(0, extents.size()));
  SmallVector<Extent> from;
  for (int64_t axis : dims)
    from.push_back(r.number(0, 3) == 0 ? r.constant(1) : extents[axis]);
  Value x = r.any(from);
  r.result(BroadcastOp::create(r.builder, r.location, tensorType(extents, elementOf(x)), x, dims));
}

void ReshapeOp::buildRandomCase(RandomCase &r) {
  // Factors multiplied into runs in two ways.
  auto factors = r.extents(1, 5);
  auto grouped = [&] {
    SmallVector<Extent> extents;
    for (Extent factor : factors)
      if (!extents.empty() && r.coin())
        extents.back() = extents.back() * factor;
      else
        extents.push_back(factor);
    return extents;
  };
  Value x = r.any(grouped());
  r.result(ReshapeOp::create(r.builder, r.location, tensorType(grouped(), elementOf(x)), x));
}

void TransposeOp::buildRandomCase(RandomCase &r) {
  Value x = r.any(r.extents(0, 5));
  auto perm = shuffled(r, llvm::to_vector(llvm::seq<int64_t>(0, rankOf(x))));
  SmallVector<Extent> extents;
  for (int64_t axis : perm)
    extents.push_back(Extent::of(x, axis));
  r.result(TransposeOp::create(r.builder, r.location, tensorType(extents, elementOf(x)), x, perm));
}

void SliceOp::buildRandomCase(RandomCase &r) {
  auto drawn = r.extents(1, 4);
  const bool whole = r.coin(); // what is drawn is the operand's
  SmallVector<Extent> from, to;
  SmallVector<int64_t> starts, strides;
  for (Extent extent : drawn) {
    const std::optional<int64_t> known = extent.constantValue();
    const int64_t start = whole ? (known ? r.number(0, *known - 1) : 0) : r.number(0, 2);
    const int64_t stride =
        known ? r.number(1, 3) : 1; // symbolic axes are taken whole, or offset in a larger one
    starts.push_back(start), strides.push_back(stride);
    if (whole) {
      from.push_back(extent);
      to.push_back(known ? r.constant(r.number(1, (*known - 1 - start) / stride + 1)) : extent);
    } else {
      to.push_back(extent);
      from.push_back(known ? r.constant(start + (*known - 1) * stride + 1 + r.number(0, 2)) : extent + start);
    }
  }
  r.result(flow::slice(r.builder, r.location, r.any(from), starts, strides, to));
}

void PadOp::buildRandomCase(RandomCase &r) {
  auto from = r.extents(1, 4);
  SmallVector<Extent> to;
  SmallVector<int64_t> low, interior;
  for (Extent &extent : from) {
    if (r.number(0, 3) == 0)
      extent = r.constant(1);
    low.push_back(r.number(0, 2)), interior.push_back(r.number(0, 2));
    to.push_back((extent - 1) * (interior.back() + 1) + (low.back() + 1 + r.number(0, 3)));
  }
  double value = r.coin() ? 0 : double(float(r.uniform(-2, 2)));
  r.result(flow::pad(r.builder, r.location, r.values(from), low, interior, to, value));
}

void ConcatOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 4);
  int64_t axis = r.number(0, extents.size() - 1);
  SmallVector<Value> xs;
  for (int64_t i = 0, count = r.number(1, 3); i < count; ++i) {
    extents[axis] = i + 1 < count ? r.constant(r.number(1, 4)) : r.extent();
    xs.push_back(r.values(extents));
  }
  r.result(flow::concat(r.builder, r.location, xs, axis));
}

void ReduceOp::buildRandomCase(RandomCase &r) {
  ReduceKind kind = ReduceKind(r.number(0, 2));
  auto extents = r.extents(1, 4);
  Value x = kind == ReduceKind::sum ? r.values(extents) : r.distinct(extents);
  r.result(
      flow::reduce(r.builder, r.location, kind, x, someAxes(r, extents.size(), r.number(1, extents.size()))));
}

void ArgmaxOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 4);
  // Few values, so that ties are common.
  Value x = r.coin() ? r.distinct(extents)
                     : r.input(extents, r.builder.getF32Type(), [&] { return double(r.number(0, 2)); });
  r.result(flow::argmax(r.builder, r.location, x, r.number(0, extents.size() - 1)));
}

void GatherOp::buildRandomCase(RandomCase &r) {
  auto table = r.extents(1, 3);
  int64_t count = r.valueOf(table[0]);
  Value rows = r.number(0, 3) ? r.values(table) : r.indices(table, 100);
  // One beyond the table on either side: such an index gives zeros.
  Value index = r.input(r.extents(0, 2), r.builder.getI32Type(), [&] { return double(r.number(-1, count)); });
  r.result(flow::gather(r.builder, r.location, rows, index));
}

void ScatterAddOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(0, 2);
  Extent count = r.extent();
  Value index =
      r.input(extents, r.builder.getI32Type(), [&] { return double(r.number(-1, r.valueOf(count))); });
  llvm::append_range(extents, r.extents(0, 2));
  r.result(flow::scatterAdd(r.builder, r.location, index, r.values(extents), count));
}

void CountingSortOp::buildRandomCase(RandomCase &r) {
  Extent count = r.extent();
  Value index = r.input(r.extents(1, 1), r.builder.getI32Type(),
                        [&] { return double(r.number(-1, r.valueOf(count))); });
  auto [order, offsets, positions] = flow::countingSort(r.builder, r.location, index, count);
  r.results({order, offsets, positions});
}

void SegmentSumOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 3);
  int64_t last = r.valueOf(extents[0]), next = r.number(-1, 1);
  Extent count = r.extent();
  // Segments need not follow one another, nor lie inside.
  Value offsets = r.input({count + r.constant(1)}, r.builder.getI32Type(), [&] {
    int64_t at = next;
    next = r.number(0, 5) ? std::min(next + r.number(0, 3), last + 1) : r.number(-1, last + 1);
    return double(at);
  });
  r.result(flow::segmentSum(r.builder, r.location, r.values(extents), offsets));
}

void ContractOp::buildRandomCase(RandomCase &r) {
  // Each label is batched (in all three), free (in one operand and the result) or summed (in both operands).
  SmallVector<int64_t> a, b, out;
  auto extents = r.extents(1, 5);
  for (int64_t label = 0; label < int64_t(extents.size()); ++label) {
    int64_t kind = r.number(0, 3);
    if (kind != 2)
      a.push_back(label);
    if (kind != 1)
      b.push_back(label);
    if (kind != 3)
      out.push_back(label);
  }
  for (auto *axes : {&a, &b, &out})
    if (r.coin())
      *axes = shuffled(r, *axes);
  auto pick = [&](ArrayRef<int64_t> labels) {
    SmallVector<Extent> picked;
    for (int64_t label : labels)
      picked.push_back(extents[label]);
    return picked;
  };
  Value x = r.values(pick(a)), y = r.values(pick(b));
  r.result(flow::contract(r.builder, r.location, x, a, y, b, out));
}

void ConvOp::buildRandomCase(RandomCase &r) {
  ConvShapes shapes(r);
  Value x = r.values(shapes.image), w = r.values(shapes.filter);
  r.result(flow::conv(r.builder, r.location, x, w, shapes.strides, shapes.pads));
}
void ConvInputGradOp::buildRandomCase(RandomCase &r) {
  ConvShapes shapes(r);
  Value dy = r.values(shapes.out), w = r.values(shapes.filter);
  r.result(flow::convInputGrad(r.builder, r.location, dy, w, shapes.strides, shapes.pads,
                               tensorType(shapes.image, r.builder.getF32Type())));
}
void ConvWeightGradOp::buildRandomCase(RandomCase &r) {
  ConvShapes shapes(r);
  Value x = r.values(shapes.image), dy = r.values(shapes.out);
  r.result(flow::convWeightGrad(r.builder, r.location, x, dy, shapes.strides, shapes.pads,
                                tensorType(shapes.filter, r.builder.getF32Type())));
}
void WindowOp::buildRandomCase(RandomCase &r) {
  ConvShapes shapes(r);
  double value = r.coin() ? 0 : double(float(r.uniform(-2, 2)));
  r.result(flow::window(r.builder, r.location, r.values(shapes.image), shapes.size, shapes.strides,
                        shapes.pads, value));
}
void WindowSumOp::buildRandomCase(RandomCase &r) {
  ConvShapes shapes(r);
  r.result(flow::windowSum(r.builder, r.location, r.values(shapes.windows(r)), shapes.strides, shapes.pads,
                           tensorType(shapes.image, r.builder.getF32Type())));
}

double ReduceOp::errorFactor() { return getKind() == ReduceKind::sum ? loopSumFactor : 0; }
double ArgmaxOp::errorFactor() { return 0; }
double ScatterAddOp::errorFactor() { return loopSumFactor; }
double CountingSortOp::errorFactor() { return 0; }
double SegmentSumOp::errorFactor() { return loopSumFactor; }
double ContractOp::errorFactor() { return sumFactor; }
double ConvOp::errorFactor() { return sumFactor; }
double ConvInputGradOp::errorFactor() { return sumFactor; }
double ConvWeightGradOp::errorFactor() { return sumFactor; }
double WindowSumOp::errorFactor() { return loopSumFactor; }

SmallVector<Array> CountingSortOp::magnitude(ArrayRef<const Array *>, ArrayRef<Array> results) {
  return {sizesOf(results[0]), sizesOf(results[1]), sizesOf(results[2])};
}

Array ArgmaxOp::magnitude(ArrayRef<const Array *>, const Array &y) { return sizesOf(y); }
