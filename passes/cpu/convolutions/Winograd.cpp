// The transforms of the minimal filtering algorithms, and the decision where they are used; see Winograd.h.
// The transforms are sums, differences and halves of few terms.
#include "passes/cpu/convolutions/Winograd.h"

using namespace mlir;

namespace moe::cpu {
namespace {
using In = ArrayRef<Value>;

// F(2, 3): r0 = d0 g0 + d1 g1 + d2 g2, r1 = d1 g0 + d2 g1 + d3 g2, of the four products
// (d0 - d2) g0, (d1 + d2) (g0 + g1 + g2) / 2, (d2 - d1) (g0 - g1 + g2) / 2 and (d1 - d3) g2.
Values pixelsOfThree(MicroCode &code, In d) {
  return {code.subf(d[0], d[2]), code.addf(d[1], d[2]), code.subf(d[2], d[1]), code.subf(d[1], d[3])};
}
Values weightsOfThree(MicroCode &code, In g) {
  Value half = code.number(0.5f);
  Value outer = code.mulf(half, code.addf(g[0], g[2])), middle = code.mulf(half, g[1]);
  return {g[0], code.addf(outer, middle), code.subf(outer, middle), g[2]};
}
Values flippedWeightsOfThree(MicroCode &code, In g) { return weightsOfThree(code, {g[2], g[1], g[0]}); }
Values resultsOfThree(MicroCode &code, In m) {
  return {code.addf(code.addf(m[1], m[2]), m[0]), code.subf(code.subf(m[1], m[2]), m[3])};
}
Values gradientOfThree(MicroCode &code, In dy) {
  return {dy[0], code.addf(dy[0], dy[1]), code.subf(dy[0], dy[1]), code.subf(code.zero(), dy[1])};
}
Values tapsOfThree(MicroCode &code, In m) {
  Value half = code.number(0.5f);
  Value sum = code.mulf(half, code.addf(m[1], m[2])), difference = code.mulf(half, code.subf(m[1], m[2]));
  return {code.addf(m[0], sum), difference, code.addf(sum, m[3])};
}

// Stride 2: r0 = d0 g0 + d1 g1 + d2 g2, r1 = d2 g0 + d3 g1 + d4 g2. The taps g0 and g2 on the even pixels are
// F(2, 2), of the products (d0 - d2) g0, d2 (g0 + g2) and (d4 - d2) g2; d1 g1 is added to the first of these
// and d3 g1 to the last.
Values pixelsOfStride2(MicroCode &code, In d) {
  return {code.subf(d[0], d[2]), d[2], code.subf(d[4], d[2]), d[1], d[3]};
}
Values weightsOfStride2(MicroCode &code, In g) { return {g[0], code.addf(g[0], g[2]), g[2], g[1], g[1]}; }
Values resultsOfStride2(MicroCode &code, In s) { return {code.addf(s[0], s[1]), code.addf(s[1], s[2])}; }
Values gradientOfStride2(MicroCode &code, In dy) {
  return {dy[0], code.addf(dy[0], dy[1]), dy[1], dy[0], dy[1]};
}
Values tapsOfStride2(MicroCode &code, In s) { return {code.addf(s[0], s[1]), s[3], code.addf(s[1], s[2])}; }

// The input gradient of stride 2 computes 4 result pixels from 3 source pixels. Every second one is a sum of
// two taps, e0 = d0 g2 + d1 g0 and e1 = d1 g2 + d2 g0; each of the others is one product with g1. The padding
// decides which come first.
Values evenPixelsOfSpread(MicroCode &code, In d) {
  return {code.subf(d[0], d[1]), d[1], code.subf(d[2], d[1]), d[1], d[2]};
}
Values oddPixelsOfSpread(MicroCode &code, In d) {
  return {code.subf(d[0], d[1]), d[1], code.subf(d[2], d[1]), d[0], d[1]};
}
Values weightsOfSpread(MicroCode &code, In g) { return {g[2], code.addf(g[0], g[2]), g[0], g[1], g[1]}; }
Values evenResultsOfSpread(MicroCode &code, In s) {
  return {code.addf(s[0], s[1]), s[3], code.addf(s[1], s[2]), s[4]};
}
Values oddResultsOfSpread(MicroCode &code, In s) {
  return {s[3], code.addf(s[0], s[1]), s[4], code.addf(s[1], s[2])};
}

WinogradAxis forwardAxis(int64_t stride, int64_t pad) {
  if (stride == 1)
    return {2, 4, 2, int(-pad), {{0}, {1}, {2}, {3}}, pixelsOfThree, weightsOfThree, nullptr, resultsOfThree};
  return {2,
          5,
          4,
          int(-pad),
          {{0, 3}, {1}, {2, 4}},
          pixelsOfStride2,
          weightsOfStride2,
          nullptr,
          resultsOfStride2};
}

WinogradAxis inputGradientAxis(int64_t stride, int64_t pad) {
  if (stride == 1)
    return {2,
            4,
            2,
            int(pad - 2),
            {{0}, {1}, {2}, {3}},
            pixelsOfThree,
            flippedWeightsOfThree,
            nullptr,
            resultsOfThree};
  if (pad % 2)
    return {4,
            3,
            2,
            int(pad / 2),
            {{0}, {1}, {2}, {3}, {4}},
            oddPixelsOfSpread,
            weightsOfSpread,
            nullptr,
            oddResultsOfSpread};
  return {4,
          3,
          2,
          int(pad / 2 - 1),
          {{0}, {1}, {2}, {3}, {4}},
          evenPixelsOfSpread,
          weightsOfSpread,
          nullptr,
          evenResultsOfSpread};
}

WinogradAxis weightGradientAxis(int64_t stride, int64_t pad) {
  WinogradAxis axis = forwardAxis(stride, pad);
  axis.fromWeights = nullptr;
  axis.fromGradient = stride == 1 ? gradientOfThree : gradientOfStride2;
  axis.toResults = stride == 1 ? tapsOfThree : tapsOfStride2;
  // The places that belong to the same tap are added up.
  if (stride == 2)
    axis.sums = {{0}, {1}, {2}, {3, 4}};
  return axis;
}
} // namespace

WinogradAlgorithm::WinogradAlgorithm(WinogradAxis ofY, WinogradAxis ofX)
    : y(std::move(ofY)), x(std::move(ofX)) {
  for (const auto &row : y.sums)
    for (const auto &column : x.sums) {
      sums.push_back({places, int64_t(row.size() * column.size())});
      places += sums.back().places;
      single &= sums.back().places == 1;
    }
}

std::pair<int64_t, int64_t> WinogradAlgorithm::whereIs(int placeY, int placeX) const {
  auto find = [](const WinogradAxis &axis, int place) {
    for (auto [sum, places] : llvm::enumerate(axis.sums))
      for (auto [number, other] : llvm::enumerate(places))
        if (other == place)
          return std::make_pair(int64_t(sum), int64_t(number));
    llvm_unreachable("every place belongs to a sum");
  };
  auto [sumY, numberY] = find(y, placeY);
  auto [sumX, numberX] = find(x, placeX);
  return {sumY * int64_t(x.sums.size()) + sumX, numberY * int64_t(x.sums[sumX].size()) + numberX};
}

Ix WinogradAlgorithm::ofSum(MicroCode &code, Ix sum, llvm::function_ref<int64_t(int64_t)> value) const {
  const int64_t count = sums.size(), step = value(1) - value(0);
  bool even = true;
  for (int64_t i = 1; i < count; ++i)
    even &= value(i) - value(i - 1) == step;
  if (even)
    return code.add(value(0), code.mul(sum, step));
  Ix picked = value(count - 1);
  for (int64_t i = count - 1; i-- > 0;)
    picked = code.select(code.equal(sum, i), value(i), picked);
  return picked;
}

WinogradAlgorithm WinogradAlgorithm::forward(const ConvShape &s) {
  return {forwardAxis(s.strideY, s.padTop), forwardAxis(s.strideX, s.padLeft)};
}
WinogradAlgorithm WinogradAlgorithm::inputGradient(const ConvShape &s) {
  return {inputGradientAxis(s.strideY, s.padTop), inputGradientAxis(s.strideX, s.padLeft)};
}
WinogradAlgorithm WinogradAlgorithm::weightGradient(const ConvShape &s) {
  return {weightGradientAxis(s.strideY, s.padTop), weightGradientAxis(s.strideX, s.padLeft)};
}

void emitWinogradSquare(MicroCode &code, int size, WinogradAxis::Transform alongColumns,
                        WinogradAxis::Transform alongRows, llvm::function_ref<Value(int, int)> load,
                        llvm::function_ref<void(int, int, Value)> store) {
  SmallVector<Values> columns;
  for (int x = 0; x < size; ++x) {
    Values column;
    for (int y = 0; y < size; ++y)
      column.push_back(load(y, x));
    columns.push_back(alongColumns(code, column));
  }
  for (size_t y = 0; y < columns[0].size(); ++y) {
    Values row;
    for (int x = 0; x < size; ++x)
      row.push_back(columns[x][y]);
    for (auto [x, value] : llvm::enumerate(alongRows(code, row)))
      store(int(y), int(x), value);
  }
}

WinogradGrid::Place WinogradGrid::at(MicroCode &code, Ix square) const {
  Ix inImage = code.rem(square, count());
  return {code.div(square, count()), code.div(inImage, columns), code.rem(inImage, columns)};
}

void emitWinogradSource(MicroCode &code, const WinogradSource &source, WinogradAxis::Transform columns,
                        WinogradAxis::Transform rows, llvm::function_ref<void(int, int, Ix, Value)> store) {
  const ConvImage &image = source.image;
  auto pixel = [&](int row, int column) {
    Ix y = code.add(source.top, row), x = code.add(source.left, column);
    return code.add(image.origin, code.add(code.mul(y, image.rowStride), code.mul(x, image.pixelStride)));
  };
  auto squares = [&](llvm::function_ref<Value(int, int, Ix)> load) {
    code.loop(0, image.channels, code.lanes, [&](Ix c) {
      emitWinogradSquare(
          code, source.size, columns, rows, [&](int y, int x) { return load(y, x, c); },
          [&](int y, int x, Value value) { store(y, x, c, value); });
    });
  };
  auto whole = [&] {
    Value corner = code.at(image.pointer, pixel(0, 0));
    squares([&](int y, int x, Ix c) {
      Ix at = code.add(code.mul(image.rowStride, y), code.mul(image.pixelStride, x));
      return code.load(corner, code.add(at, c));
    });
    return Values();
  };
  if (source.inside) {
    whole();
    return;
  }
  Ix bottom = code.add(source.top, source.size), right = code.add(source.left, source.size);
  Value inside = code.both(code.both(code.less(-1, source.top), code.less(bottom, image.height + 1)),
                           code.both(code.less(-1, source.left), code.less(right, image.width + 1)));
  code.choose(inside, whole, [&] {
    SmallVector<Value> pointers;
    for (int row = 0; row < source.size; ++row)
      for (int column = 0; column < source.size; ++column) {
        Ix y = code.add(source.top, row), x = code.add(source.left, column);
        Value there = code.both(code.both(code.less(-1, y), code.less(y, image.height)),
                                code.both(code.less(-1, x), code.less(x, image.width)));
        // The address of a pixel outside the image is never computed; zeros are read in its place.
        pointers.push_back(code.pick(there, code.at(image.pointer, code.select(there, pixel(row, column), 0)),
                                     source.zeros));
      }
    squares([&](int y, int x, Ix c) { return code.load(pointers[y * source.size + x], c); });
    return Values();
  });
}

bool prefersWinograd(const ConvGroup &group, const CpuTarget &target) {
  const ConvShape &s = group.shape;
  const int64_t lanes = target.lanes();
  constexpr int64_t kFewChannels = 32;
  if (s.kernelHeight != 3 || s.kernelWidth != 3 || s.strideY != s.strideX || s.strideY > 2)
    return false;
  if (s.channels % lanes || s.outputs % lanes || s.channels < kFewChannels || s.outputs < kFewChannels)
    return false;
  // Pixels of squares beyond the map are wasted work, which must be less than the work saved.
  bool inputGradient = isa<flow::ConvInputGradOp>(group.op);
  int64_t height = inputGradient ? s.height : s.outHeight, width = inputGradient ? s.width : s.outWidth;
  WinogradGrid grid(inputGradient && s.strideY == 2 ? 4 : 2, height, width);
  if (s.strideY == 1 ? grid.covered() * 2 > height * width * 3 : grid.covered() * 5 > height * width * 6)
    return false;
  // The channels of operands with pixels must be innermost. The second operand of conv and conv_input_grad
  // has weights.
  bool weightGradient = isa<flow::ConvWeightGradOp>(group.op);
  return group.first.strides[1].isConstant(1) && (!weightGradient || group.second.strides[1].isConstant(1));
}

} // namespace moe::cpu
