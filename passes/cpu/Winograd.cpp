// The transforms of F(2x2, 3x3) and the choice of where it is used; see Winograd.h. All of them are sums,
// differences and halves, so that nothing but the products' own magnitude is lost in them.
#include "passes/cpu/Winograd.h"

using namespace mlir;

namespace moe::cpu {

WinogradRow winogradPixels(MicroCode &code, const WinogradRow &d) {
  return {code.subf(d[0], d[2]), code.addf(d[1], d[2]), code.subf(d[2], d[1]), code.subf(d[1], d[3])};
}

WinogradRow winogradGradient(MicroCode &code, const WinogradRow &dy) {
  return {dy[0], code.addf(dy[0], dy[1]), code.subf(dy[0], dy[1]), code.subf(code.zero(), dy[1])};
}

WinogradRow winogradWeights(MicroCode &code, const WinogradRow &g) {
  Value half = code.number(0.5f);
  Value outer = code.mulf(half, code.addf(g[0], g[2])), middle = code.mulf(half, g[1]);
  return {g[0], code.addf(outer, middle), code.subf(outer, middle), g[2]};
}

WinogradRow winogradResults(MicroCode &code, const WinogradRow &m) {
  return {code.addf(code.addf(m[1], m[2]), m[0]), code.subf(code.subf(m[1], m[2]), m[3])};
}

WinogradRow winogradWeightGradient(MicroCode &code, const WinogradRow &m) {
  Value half = code.number(0.5f);
  Value sum = code.mulf(half, code.addf(m[1], m[2])), difference = code.mulf(half, code.subf(m[1], m[2]));
  return {code.addf(m[0], sum), difference, code.addf(sum, m[3])};
}

void emitWinogradSquare(MicroCode &code, int from, int to,
                        llvm::function_ref<WinogradRow(MicroCode &, const WinogradRow &)> transform,
                        llvm::function_ref<Value(int, int)> load,
                        llvm::function_ref<void(int, int, Value)> store) {
  std::array<WinogradRow, 4> columns; // of `to` each
  for (int x = 0; x < from; ++x) {
    WinogradRow column;
    for (int y = 0; y < from; ++y)
      column[y] = load(y, x);
    columns[x] = transform(code, column);
  }
  for (int y = 0; y < to; ++y) {
    WinogradRow row;
    for (int x = 0; x < from; ++x)
      row[x] = columns[x][y];
    row = transform(code, row);
    for (int x = 0; x < to; ++x)
      store(y, x, row[x]);
  }
}

WinogradGrid::Place WinogradGrid::at(MicroCode &code, Ix square) const {
  Ix inImage = code.rem(square, count());
  return {code.div(square, count()), code.div(inImage, columns), code.rem(inImage, columns)};
}

void emitWinogradSource(MicroCode &code, const WinogradSource &source,
                        llvm::function_ref<WinogradRow(MicroCode &, const WinogradRow &)> transform,
                        Value target, Ix offset, int64_t placeStride) {
  const ConvImage &image = source.image;
  auto pixel = [&](int row, int column) {
    Ix y = code.add(source.top, row), x = code.add(source.left, column);
    return code.add(image.origin, code.add(code.mul(y, image.rowStride), code.mul(x, image.pixelStride)));
  };
  auto squares = [&](llvm::function_ref<Value(int, int, Ix)> load) {
    code.loop(0, image.channels, code.lanes, [&](Ix c) {
      emitWinogradSquare(
          code, source.size, 4, transform, [&](int y, int x) { return load(y, x, c); },
          [&](int y, int x, Value value) {
            code.store(value, target, code.add(code.add(offset, (y * 4 + x) * placeStride), c));
          });
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
    Value pointers[4][4];
    for (int row = 0; row < source.size; ++row)
      for (int column = 0; column < source.size; ++column) {
        Ix y = code.add(source.top, row), x = code.add(source.left, column);
        Value there = code.both(code.both(code.less(-1, y), code.less(y, image.height)),
                                code.both(code.less(-1, x), code.less(x, image.width)));
        // The address is never formed for a pixel that is not there.
        pointers[row][column] = code.pick(
            there, code.at(image.pointer, code.select(there, pixel(row, column), 0)), source.zeros);
      }
    squares([&](int y, int x, Ix c) { return code.load(pointers[y][x], c); });
    return Values();
  });
}

bool prefersWinograd(const ConvGroup &group, const CpuTarget &target) {
  const ConvShape &s = group.shape;
  const int64_t lanes = target.lanes();
  constexpr int64_t kFewChannels = 32;
  if (s.kernelHeight != 3 || s.kernelWidth != 3 || s.strideY != 1 || s.strideX != 1)
    return false;
  if (s.channels % lanes || s.outputs % lanes || s.channels < kFewChannels || s.outputs < kFewChannels)
    return false;
  // Squares that stick out are work for nothing: of 36 products a square, 16 remain.
  WinogradGrid out(s.outHeight, s.outWidth), in(s.height, s.width);
  if (out.count() * 4 * 3 > s.outHeight * s.outWidth * 4 || in.count() * 4 * 3 > s.height * s.width * 4)
    return false;
  // Of the operands, those with pixels; the weights are the second of conv and conv_input_grad.
  bool weightGradient = isa<flow::ConvWeightGradOp>(group.op);
  return group.first.strides[1].isConstant(1) && (!weightGradient || group.second.strides[1].isConstant(1));
}

} // namespace moe::cpu
