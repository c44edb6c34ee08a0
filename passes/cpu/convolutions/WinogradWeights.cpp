// The weight gradient by the transposed algorithm of minimal filtering; see Winograd.h.
//   1. The squares of all images are cut into parts, one per work unit. Their number follows from the shape
//      and a memory budget, never from the number of threads.
//   2. For each block of its squares, a part transforms the pixels of x and of dy to [sum][place of the
//      sum][square][channel], and adds their products to its sums, [sum][channel of x][channel of dy].
//   3. A second launch adds the parts' sums in order and transforms them to the weights' gradient.
#include "passes/cpu/convolutions/Winograd.h"

using namespace mlir;

namespace moe::cpu {
namespace {

/// The squares of a block: so few that both operands of a tile, at one place, stay in the first-level cache.
constexpr int64_t kBlock = 48;
/// As in WinogradPixels.cpp: one cache line more, so that places are not a multiple of a page apart.
constexpr int64_t kLine = 16;

class WeightEmitter {
public:
  WeightEmitter(const ConvGroup &group, KernelModule &module)
      : group(group), s(group.shape), module(module), algorithm(WinogradAlgorithm::weightGradient(s)),
        grid(2, s.outHeight, s.outWidth) {
    const CpuTarget &target = module.target();
    tile = chooseTile(target.lanes(), target.registers, s.outputs);
    width = tile.vectors * target.lanes();
    panels = (s.outputs + width - 1) / width;
    line = panels * width;
    strips = (s.channels + tile.rows - 1) / tile.rows;
    pixelPlace = kBlock * s.channels + kLine;
    gradientPlace = kBlock * line + kLine;
    matrix = int64_t(algorithm.sums.size()) * s.channels * line;
    int64_t most = std::clamp<int64_t>(kPartFloats / matrix, 2, 16);
    flow::Extent squares = s.batch * grid.count();
    partSquares = squares.ceildiv(kBlock).ceildiv(most) * kBlock;
    parts = squares.ceildiv(partSquares);
  }

  GroupCode emit() {
    emitParts();
    emitSum();
    return std::move(result);
  }

private:
  flow::Extent partsFloats() { return parts * matrix; }
  /// Places in the order of their sums.
  int64_t place(int y, int x) const {
    auto [sum, placeOfSum] = algorithm.whereIs(y, x);
    return algorithm.sums[sum].before + placeOfSum;
  }

  void emitParts();
  void emitBlock(MicroCode &code, Value x, Value dy, Value zeros, Value pixels, Value gradient,
                 Ix firstSquare, Ix count);
  void emitTile(MicroCode &code, Value pixels, Value gradient, Ix sum, Ix panel, Ix strip, Ix count,
                Value sums, Ix sumsAt, Value first);
  void emitSum();

  const ConvGroup &group;
  const ConvShape &s;
  KernelModule &module;
  WinogradAlgorithm algorithm;
  WinogradGrid grid;
  Tile tile;
  int64_t width, panels, line, strips, pixelPlace, gradientPlace, matrix;
  flow::Extent partSquares, parts;
  BufferRef partsRef{};
  GroupCode result;
};

void WeightEmitter::emitBlock(MicroCode &code, Value x, Value dy, Value zeros, Value pixels, Value gradient,
                              Ix firstSquare, Ix count) {
  const WinogradAxis &ofY = algorithm.y, &ofX = algorithm.x;
  auto inside = [](const WinogradAxis &axis, int64_t squares, int64_t size) {
    return axis.first >= 0 && axis.first + (squares - 1) * axis.step + axis.pixels <= size;
  };
  const bool allOfX = inside(ofY, grid.rows, s.height) && inside(ofX, grid.columns, s.width);
  const bool allOfDy = s.outHeight % 2 == 0 && s.outWidth % 2 == 0;
  auto image = [&](const ConvOperand &operand, Value pointer, Ix number, int64_t channels, int64_t height,
                   int64_t width) {
    return ConvImage{pointer,
                     code.mul(number, code.size(operand.strides[0])),
                     1,
                     code.size(operand.strides[2]),
                     code.size(operand.strides[3]),
                     channels,
                     height,
                     width};
  };
  code.loop(0, count, 1, [&](Ix square) {
    WinogradGrid::Place at = grid.at(code, code.add(firstSquare, square));
    WinogradSource under{image(group.first, x, at.image, s.channels, s.height, s.width),
                         code.add(code.mul(at.row, ofY.step), ofY.first),
                         code.add(code.mul(at.column, ofX.step), ofX.first),
                         ofY.pixels,
                         allOfX,
                         zeros};
    emitWinogradSource(code, under, ofY.fromPixels, ofX.fromPixels,
                       [&](int y, int x, Ix channel, Value value) {
                         Ix to = code.add(code.mul(square, s.channels), place(y, x) * pixelPlace);
                         code.store(value, pixels, code.add(to, channel));
                       });
    WinogradSource of{image(group.second, dy, at.image, s.outputs, s.outHeight, s.outWidth),
                      code.mul(at.row, 2),
                      code.mul(at.column, 2),
                      2,
                      allOfDy,
                      zeros};
    emitWinogradSource(code, of, ofY.fromGradient, ofX.fromGradient,
                       [&](int y, int x, Ix channel, Value value) {
                         Ix to = code.add(code.mul(square, line), place(y, x) * gradientPlace);
                         code.store(value, gradient, code.add(to, channel));
                       });
  });
}

void WeightEmitter::emitTile(MicroCode &code, Value pixels, Value gradient, Ix sum, Ix panel, Ix strip,
                             Ix count, Value sums, Ix sumsAt, Value first) {
  Ix before = algorithm.ofSum(code, sum, [&](int64_t i) { return algorithm.sums[i].before; });
  Ix places = algorithm.ofSum(code, sum, [&](int64_t i) { return algorithm.sums[i].places; });
  Ix firstChannel = code.mul(strip, tile.rows);
  MicroOperands operands{
      pixels, {}, gradient, code.add(code.mul(before, gradientPlace), code.mul(panel, width))};
  SmallVector<Ix> at;
  SmallVector<Value> valid;
  Ix base = code.add(sumsAt, code.add(code.mul(sum, s.channels * line), code.mul(panel, width)));
  const bool whole = s.channels % tile.rows == 0;
  for (int i = 0; i < tile.rows; ++i) {
    Ix channel = code.add(firstChannel, i);
    valid.push_back(whole ? Value() : code.less(channel, s.channels));
    channel = whole ? channel : code.min(channel, s.channels - 1);
    operands.rows.push_back(code.add(code.mul(before, pixelPlace), channel));
    at.push_back(code.add(base, code.mul(channel, line)));
  }
  auto prefetchRow = [&](Ix row) {
    Ix channel = code.min(code.add(firstChannel, row), s.channels - 1);
    for (int64_t j = 0; j < width; j += 16)
      code.prefetch(sums, code.add(code.add(base, code.mul(channel, line)), j), /*write=*/true, 3);
  };
  // Prefetches the memory of the sums while the tile runs: one row per section if the sum has one place,
  // otherwise all rows at once.
  auto ahead = [&](Ix turn) {
    if (algorithm.single)
      prefetchRow(turn);
    else
      for (int i = 0; i < tile.rows; ++i)
        prefetchRow(i);
  };
  Reduction nest[] = {{places, pixelPlace, gradientPlace}, {count, s.channels, line}};
  Values totals = emitMicroKernel(code, tile, operands, ArrayRef(nest).drop_front(algorithm.single), ahead);
  auto vectorAt = [&](int i, int j) { return code.add(at[i], j * code.lanes); };
  totals = addPartialSums(code, tile, totals, first,
                          [&](int i, int j) { return code.load(sums, vectorAt(i, j)); });
  for (int i = 0; i < tile.rows; ++i)
    code.when(valid[i], [&] {
      for (int j = 0; j < tile.vectors; ++j)
        code.store(totals[i * tile.vectors + j], sums, vectorAt(i, j));
    });
}

void WeightEmitter::emitParts() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  partsRef = result.addTemporary(partsFloats(), "parts of the transformed weight gradient");
  Value x = kernel.floats(plan::Access::read, group.first.ref, group.first.elements);
  Value dy = kernel.floats(plan::Access::read, group.second.ref, group.second.elements);
  Value sums = kernel.floats(plan::Access::write, partsRef, partsFloats());
  Value pixels = kernel.floatScratch(algorithm.places * pixelPlace);
  Value gradient = kernel.floatScratch(algorithm.places * gradientPlace);
  Value zeros = kernel.floatScratch(std::max(s.channels, s.outputs));
  emitZero(code, zeros, 0, std::max(s.channels, s.outputs));
  // Columns beyond the last channel of dy are summed too, so they must not be uninitialised.
  if (line != s.outputs)
    code.loop(0, algorithm.places, 1, [&](Ix place) {
      code.loop(0, kBlock, 1, [&](Ix square) {
        Ix at = code.add(code.mul(place, gradientPlace), code.mul(square, line));
        emitZero(code, gradient, code.add(at, s.outputs), line - s.outputs);
      });
    });
  Ix total = code.size(s.batch * grid.count()), most = code.size(partSquares);
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix part) {
    Ix begin = code.mul(part, most), end = code.min(code.add(begin, most), total);
    code.loop(begin, end, kBlock, [&](Ix firstSquare) {
      Ix count = code.min(kBlock, code.sub(end, firstSquare));
      emitBlock(code, x, dy, zeros, pixels, gradient, firstSquare, count);
      Value first = code.equal(firstSquare, begin);
      code.loop(0, int64_t(algorithm.sums.size()), 1, [&](Ix sum) {
        code.loop(0, panels, 1, [&](Ix panel) {
          code.loop(0, strips, 1, [&](Ix strip) {
            emitTile(code, pixels, gradient, sum, panel, strip, count, sums, code.mul(part, matrix), first);
          });
        });
      });
    });
  });
  flow::Extent moved = group.first.elements + group.second.elements + partsFloats();
  result.launches.push_back(kernel.finish("conv_weight_grad", parts, s.flops(), moved * kFloatBytes));
}

void WeightEmitter::emitSum() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  Value sums = kernel.floats(plan::Access::read, partsRef, partsFloats());
  Values ports = group.epilogue.bind(kernel);
  Ix count = code.size(parts);
  const size_t all = algorithm.sums.size();
  // A work unit is a channel of x.
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix channel) {
    code.loop(0, s.outputs, code.lanes, [&](Ix column) {
      Ix at = code.add(code.mul(channel, line), column);
      Values totals = code.loop(0, count, 1, Values(all, code.zero()), [&](Ix part, Values carried) {
        Ix from = code.add(at, code.mul(part, matrix));
        for (auto [i, total] : llvm::enumerate(carried))
          total = code.addf(total, code.load(sums, code.add(from, int64_t(i) * s.channels * line)));
        return carried;
      });
      const int side = algorithm.y.sums.size();
      emitWinogradSquare(
          code, side, algorithm.y.toResults, algorithm.x.toResults,
          [&](int y, int x) { return totals[y * side + x]; },
          [&](int ky, int kx, Value sum) {
            group.epilogue.storeAt(code, ports, sum, {}, {column, channel, ky, kx}, 0);
          });
    });
  });
  flow::Extent units = flow::Extent::constant(group.op->getContext(), s.channels);
  result.launches.push_back(kernel.finish("conv_weight_grad", units, partsFloats(),
                                          (partsFloats() + s.channels * s.outputs * s.taps()) * kFloatBytes,
                                          /*grain=*/4));
}
} // namespace

GroupCode emitWinogradWeightGradient(const ConvGroup &group, KernelModule &module) {
  return WeightEmitter(group, module).emit();
}

} // namespace moe::cpu
