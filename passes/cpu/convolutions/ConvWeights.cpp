// A convolution's weight gradient: for every tap, channel of x and channel of dy, a sum over all pixels of
// all images.
//   1. The batch is cut into parts, one per work unit. Their number follows from the shape and a memory
//      budget, never from the number of threads.
//   2. A part packs its images, one band of rows at a time: x with its padding into strips of a tile's rows
//      of channels, dy into panels of a tile's width of channels.
//   3. A tile sums over all pixels of the band. For each tap, it reads the strips of x at another offset.
//   4. A second launch adds the parts' sums, [tap][channel of x][channel of dy], in order, and stores them in
//      the weights' layout.
#include "passes/cpu/contractions/PackPanels.h"
#include "passes/cpu/convolutions/ConvEmitter.h"

using namespace mlir;

namespace moe::cpu {
namespace {

/// The most floats of a band's packed operands.
constexpr int64_t kBandFloats = 96 * 1024;

class WeightEmitter {
public:
  WeightEmitter(const ConvGroup &group, KernelModule &module) : group(group), s(group.shape), module(module) {
    const CpuTarget &target = module.target();
    tile = chooseTile(target.lanes(), target.registers, s.outputs);
    width = tile.vectors * target.lanes();
    panels = (s.outputs + width - 1) / width;
    // If there are few channels, the rows of a tile run over taps and channels together, and x is packed into
    // one strip.
    mixed = s.channels <= tile.rows;
    strip = mixed ? s.channels : tile.rows;
    strips = (s.channels + strip - 1) / strip;
    paddedWidth = (s.outWidth - 1) * s.strideX + s.kernelWidth;
    band = s.outHeight;
    while (band > 1 && imageFloats() + gradientFloats() > kBandFloats)
      band = (band + 1) / 2;
    bands = (s.outHeight + band - 1) / band;
    band = (s.outHeight + bands - 1) / bands;
    // A panel of dy is used for every strip and tap while it is in the first-level cache.
    int64_t fit = std::max<int64_t>(1, target.l1Bytes * 7 / 8 / (s.outWidth * width * kFloatBytes));
    chunk = (band + fit - 1) / fit;
    chunk = (band + chunk - 1) / chunk;
    int64_t most = std::clamp<int64_t>(kPartFloats / (s.taps() * s.channels * s.outputs), 2, 16);
    partImages = s.batch.ceildiv(most);
    parts = s.batch.ceildiv(partImages);
  }

  GroupCode emit() {
    emitParts();
    emitSum();
    return std::move(result);
  }

private:
  int64_t paddedRows() const { return (band - 1) * s.strideY + s.kernelHeight; }
  int64_t imageFloats() const { return strips * paddedRows() * paddedWidth * strip; }
  int64_t gradientFloats() const { return panels * width * band * s.outWidth; }
  int64_t matrix() const { return s.taps() * s.channels * s.outputs; }
  flow::Extent partsFloats() { return parts * matrix(); }

  void emitParts();
  void packImage(MicroCode &code, Value x, Ix base, Ix firstRow, Value target);
  void emitTiles(MicroCode &code, Value image, Value gradient, Ix rows, Value sums, Ix sumsAt, Value first);
  /// A tile: `rows` rows of pixels from `row` on, a panel of dy, the number of a strip of x, and `which` tap
  /// (or which run of taps and channels together).
  struct Place {
    Ix row, rows, panel, number, which;
  };
  void emitTile(MicroCode &code, Value image, Value gradient, const Place &place, Value sums, Ix sumsAt,
                Value first);
  void emitSum();

  const ConvGroup &group;
  const ConvShape &s;
  KernelModule &module;
  Tile tile;
  int64_t width, panels, strip, strips, paddedWidth, band, bands, chunk;
  bool mixed;
  flow::Extent partImages, parts;
  BufferRef partsRef{};
  GroupCode result;
};

void WeightEmitter::packImage(MicroCode &code, Value x, Ix base, Ix firstRow, Value target) {
  const ConvOperand &image = group.first;
  Ix channelStride = code.size(image.strides[1]), rowStride = code.size(image.strides[2]),
     pixelStride = code.size(image.strides[3]);
  Ix top = code.sub(code.mul(firstRow, s.strideY), s.padTop);
  if (mixed) {
    ConvImage from{x, base, channelStride, rowStride, pixelStride, s.channels, s.height, s.width};
    emitPaddedCopy(code, from, top, s.padLeft, paddedRows(), paddedWidth, target);
    return;
  }
  const int64_t line = paddedWidth * strip, plane = paddedRows() * line;
  const int64_t pixels = std::max<int64_t>(0, std::min(s.width, paddedWidth - s.padLeft));
  // The padding at both ends of a row is zero from the start and is never overwritten. A whole row of padding
  // may still hold a row of another band, and is zeroed.
  code.loop(0, paddedRows(), 1, [&](Ix row) {
    Ix y = code.add(top, row), to = code.mul(row, line);
    Value inside = code.both(code.less(-1, y), code.less(y, s.height));
    code.choose(
        inside,
        [&] {
          Ix from = code.add(base, code.mul(y, rowStride));
          PackSource source{x, channelStride, s.channels,
                            [&](Ix step) { return code.add(from, code.mul(step, pixelStride)); }};
          emitPackStrips(code, source, 0, s.channels, strip, 0, pixels, target,
                         code.add(to, s.padLeft * strip), plane);
          return Values();
        },
        [&] {
          if (bands > 1)
            code.loop(0, strips, 1, [&](Ix number) {
              emitZero(code, target, code.add(to, code.mul(number, plane)), line);
            });
          return Values();
        });
  });
}

void WeightEmitter::emitTiles(MicroCode &code, Value image, Value gradient, Ix rows, Value sums, Ix sumsAt,
                              Value first) {
  // The tiles of a tap, or of a run of taps and channels together.
  const int64_t outer = mixed ? 1 : strips;
  const int64_t inner = mixed ? (s.taps() * s.channels + tile.rows - 1) / tile.rows : s.taps();
  code.loop(0, rows, chunk, [&](Ix row) {
    Value begins = code.both(first, code.equal(row, 0));
    code.loop(0, panels, 1, [&](Ix panel) {
      code.loop(0, outer, 1, [&](Ix number) {
        code.loop(0, inner, 1, [&](Ix which) {
          emitTile(code, image, gradient, {row, code.min(chunk, code.sub(rows, row)), panel, number, which},
                   sums, sumsAt, begins);
        });
      });
    });
  });
}

void WeightEmitter::emitTile(MicroCode &code, Value image, Value gradient, const Place &place, Value sums,
                             Ix sumsAt, Value first) {
  const int64_t plane = paddedRows() * paddedWidth * strip, gradientPanel = band * s.outWidth * width;
  const int64_t lines = s.taps() * s.channels;
  const Ix firstColumn = code.mul(place.panel, width);
  // The line of the result, [tap][channel], of row i of the tile; it may lie beyond the last channel.
  auto lineOf = [&](Ix i) {
    if (mixed)
      return code.add(code.mul(place.which, tile.rows), i);
    return code.add(code.mul(place.which, s.channels), code.add(code.mul(place.number, strip), i));
  };
  MicroOperands operands{
      image,
      {},
      gradient,
      code.add(code.mul(place.panel, gradientPanel), code.mul(place.row, s.outWidth * width))};
  SmallVector<Value> valid;
  for (int i = 0; i < tile.rows; ++i) {
    Ix tap = place.which, channel = i;
    if (mixed) {
      Ix line = code.min(lineOf(i), lines - 1);
      tap = code.div(line, s.channels);
      channel = code.rem(line, s.channels);
      valid.push_back(lines % tile.rows == 0 ? Value() : code.less(lineOf(i), lines));
    } else {
      valid.push_back(s.channels % strip == 0
                          ? Value()
                          : code.less(code.add(code.mul(place.number, strip), i), s.channels));
    }
    Ix y = code.add(code.mul(place.row, s.strideY), code.div(tap, s.kernelWidth)),
       x = code.rem(tap, s.kernelWidth);
    Ix pixel = code.add(code.mul(y, paddedWidth), x);
    operands.rows.push_back(
        code.add(code.mul(place.number, plane), code.add(code.mul(pixel, strip), channel)));
  }
  // While rows of the image are summed, the memory of the partial sums is prefetched, a few rows of it at a
  // time.
  const int64_t share = (tile.rows + chunk - 1) / chunk;
  auto ahead = [&](Ix turn) {
    for (int64_t i = 0; i < share; ++i) {
      Ix line = code.min(lineOf(code.min(code.add(code.mul(turn, share), i), tile.rows - 1)), lines - 1);
      for (int64_t j = 0; j < width; j += 16)
        code.prefetch(sums, code.add(code.add(sumsAt, code.mul(line, s.outputs)), code.add(firstColumn, j)),
                      /*write=*/true, 3);
    }
  };
  Reduction nest[] = {{place.rows, s.strideY * paddedWidth * strip, s.outWidth * width},
                      {s.outWidth, s.strideX * strip, width}};
  Values totals = emitMicroKernel(code, tile, operands, nest, ahead);
  SmallVector<Value> masks;
  for (int j = 0; j < tile.vectors; ++j)
    masks.push_back(s.outputs % width == 0
                        ? Value()
                        : code.firstLanes(code.sub(s.outputs, code.add(firstColumn, j * code.lanes))));
  auto at = [&](Ix line, int j) {
    return code.add(sumsAt, code.add(code.mul(line, s.outputs), code.add(firstColumn, j * code.lanes)));
  };
  totals = addPartialSums(code, tile, totals, first, [&](int i, int j) {
    return code.load(sums, at(code.min(lineOf(i), lines - 1), j), masks[j]);
  });
  for (int i = 0; i < tile.rows; ++i)
    code.when(valid[i], [&] {
      for (int j = 0; j < tile.vectors; ++j)
        code.store(totals[i * tile.vectors + j], sums, at(lineOf(i), j), masks[j]);
    });
}

void WeightEmitter::emitParts() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  partsRef = result.addTemporary(partsFloats(), "parts of the weight gradient");
  Value x = kernel.floats(plan::Access::read, group.first.ref, group.first.elements);
  Value dy = kernel.floats(plan::Access::read, group.second.ref, group.second.elements);
  Value sums = kernel.floats(plan::Access::write, partsRef, partsFloats());
  Value image = kernel.floatScratch(imageFloats());
  Value gradient = kernel.floatScratch(gradientFloats());
  if (!mixed)
    emitZero(code, image, 0, imageFloats());
  Ix batch = code.size(s.batch), images = code.size(partImages);
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix part) {
    Ix begin = code.mul(part, images), end = code.min(code.add(begin, images), batch);
    code.loop(begin, end, 1, [&](Ix number) {
      code.loop(0, bands, 1, [&](Ix bandNumber) {
        Ix firstRow = code.mul(bandNumber, band);
        Ix rows = code.min(band, code.sub(s.outHeight, firstRow));
        packImage(code, x, code.mul(number, code.size(group.first.strides[0])), firstRow, image);
        // Packs the band's pixels of dy, row after row.
        Ix dyBase = code.add(code.mul(number, code.size(group.second.strides[0])),
                             code.mul(firstRow, code.size(group.second.strides[2])));
        Ix rowStride = code.size(group.second.strides[2]), pixelStride = code.size(group.second.strides[3]);
        bool flat = group.second.strides[2] == group.second.strides[3] * s.outWidth;
        auto pixel = [&](Ix step) {
          if (flat)
            return code.add(dyBase, code.mul(step, pixelStride));
          return code.add(dyBase, code.add(code.mul(code.div(step, s.outWidth), rowStride),
                                           code.mul(code.rem(step, s.outWidth), pixelStride)));
        };
        PackSource source{dy, code.size(group.second.strides[1]), s.outputs, pixel, false};
        code.loop(0, panels, 1, [&](Ix panel) {
          emitPackPanel(code, source, code.mul(panel, width), width, 0, code.mul(rows, s.outWidth), gradient,
                        code.mul(panel, band * s.outWidth * width));
        });
        Value first = code.both(code.equal(number, begin), code.equal(bandNumber, 0));
        emitTiles(code, image, gradient, rows, sums, code.mul(part, matrix()), first);
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
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix row) {
    Ix tap = code.div(row, s.channels), channel = code.rem(row, s.channels);
    Ix ky = code.div(tap, s.kernelWidth), kx = code.rem(tap, s.kernelWidth);
    code.loop(0, s.outputs, code.lanes, [&](Ix column) {
      Value mask = s.outputs % code.lanes == 0 ? Value() : code.firstLanes(code.sub(s.outputs, column));
      Ix at = code.add(code.mul(row, s.outputs), column);
      Values total = code.loop(0, count, 1, {code.zero()}, [&](Ix part, Values carried) {
        return Values{code.addf(carried[0], code.load(sums, code.add(at, code.mul(part, matrix())), mask))};
      });
      group.epilogue.storeAt(code, ports, total[0], mask, {column, channel, ky, kx}, 0);
    });
  });
  flow::Extent units = flow::Extent::constant(group.op->getContext(), s.taps() * s.channels);
  result.launches.push_back(kernel.finish("conv_weight_grad", units, partsFloats(),
                                          (partsFloats() + matrix()) * kFloatBytes, /*grain=*/16));
}
} // namespace

GroupCode emitWeightGradient(const ConvGroup &group, KernelModule &module) {
  return WeightEmitter(group, module).emit();
}

} // namespace moe::cpu
