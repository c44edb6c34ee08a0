// Convolution forward and its input gradient, as implicit matrix products.
//   1. The first launch packs the weights into panels, [phase][panel of result channels][tap][source
//      channel][width].
//   2. A work unit of the second launch is a band of rows of one image. It copies the band with its padding
//      to scratch, channels innermost.
//   3. Tiles of consecutive pixels pass over the panels. The channels of a row of taps are contiguous in the
//      copy, so a tile sums over one run of them for each row of taps.
// Pixels of the padding are multiplied by weights too. So an infinite weight gives NaN at the edge of an
// image, as a zero pixel inside it does. Leaving such taps out would need other tiles at each edge.
#include "passes/cpu/contractions/PackPanels.h"
#include "passes/cpu/convolutions/ConvEmitter.h"

using namespace mlir;

namespace moe::cpu {

/// The most floats of a band's padded copy, which then stays in the second-level cache together with the
/// panels in use.
static constexpr int64_t kBandFloats = 80 * 1024;

void emitZero(MicroCode &code, Value target, Ix offset, Ix count) {
  Ix whole = code.mul(code.div(count, code.lanes), code.lanes);
  code.loop(0, whole, code.lanes, [&](Ix i) { code.store(code.zero(), target, code.add(offset, i)); });
  Ix rest = code.sub(count, whole);
  if (!rest.is(0))
    code.store(code.zero(), target, code.add(offset, whole), code.firstLanes(rest));
}

static void emitCopy(MicroCode &code, Value source, Ix from, Value target, Ix to, Ix count) {
  Ix whole = code.mul(code.div(count, code.lanes), code.lanes);
  code.loop(0, whole, code.lanes,
            [&](Ix i) { code.store(code.load(source, code.add(from, i)), target, code.add(to, i)); });
  Ix rest = code.sub(count, whole);
  if (rest.is(0))
    return;
  Value mask = code.firstLanes(rest);
  code.store(code.load(source, code.add(from, whole), mask), target, code.add(to, whole), mask);
}

void emitPaddedCopy(MicroCode &code, const ConvImage &image, Ix top, int64_t left, Ix rows, int64_t width,
                    Value target) {
  const int64_t channels = image.channels;
  left = std::min(left, width); // more padding than any pixel reaches
  const int64_t pixels = std::max<int64_t>(0, std::min(image.width, width - left));
  const int64_t right = width - left - pixels;
  bool contiguous = image.pixelStride.is(channels) && (channels == 1 || image.channelStride.is(1));
  code.loop(0, rows, 1, [&](Ix row) {
    Ix y = code.add(top, row), to = code.mul(row, width * channels);
    Value inside = code.both(code.less(-1, y), code.less(y, image.height));
    code.choose(
        inside,
        [&] {
          emitZero(code, target, to, left * channels);
          Ix at = code.add(to, left * channels), from = code.add(image.origin, code.mul(y, image.rowStride));
          if (contiguous) {
            emitCopy(code, image.pointer, from, target, at, pixels * channels);
          } else {
            // Any other layout: for each channel, copies the pixels of a row.
            code.loop(0, channels, 1, [&](Ix c) {
              Ix start = code.add(from, code.mul(c, image.channelStride));
              code.loop(0, pixels, code.lanes, [&](Ix x) {
                Value mask = pixels % code.lanes == 0 ? Value() : code.firstLanes(code.sub(pixels, x));
                Value values = code.loadStrided(
                    image.pointer, code.add(start, code.mul(x, image.pixelStride)), image.pixelStride, mask);
                code.storeStrided(values, target, code.add(code.add(at, c), code.mul(x, channels)), channels,
                                  mask);
              });
            });
          }
          emitZero(code, target, code.add(at, pixels * channels), right * channels);
          return Values();
        },
        [&] {
          emitZero(code, target, to, width * channels);
          return Values();
        });
  });
}

namespace {
class PixelEmitter {
public:
  PixelEmitter(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
               const ConvOperand &weights, KernelModule &module)
      : group(group), pass(pass), image(image), weights(weights), module(module) {
    const CpuTarget &target = module.target();
    tile = chooseTile(target.lanes(), target.registers, pass.resultChannels);
    width = tile.vectors * target.lanes();
    panels = (pass.resultChannels + width - 1) / width;
    // Bands of equal height.
    int64_t rows = pass.phaseRows(), line = pass.paddedWidth() * pass.sourceChannels;
    bandRows = rows;
    while (bandRows > 1 && pass.paddedRows(bandRows) * line > kBandFloats)
      bandRows = (bandRows + 1) / 2;
    bands = (rows + bandRows - 1) / bandRows;
    bandRows = (rows + bands - 1) / bands;
  }

  GroupCode emit() {
    emitPack();
    emitTiles();
    return std::move(result);
  }

private:
  int64_t depth(const ConvPhase &phase) const { return phase.tapsY * phase.tapsX * pass.sourceChannels; }
  int64_t packedFloats() const {
    int64_t sum = 0;
    for (const ConvPhase &phase : pass.phases)
      sum += panels * depth(phase) * width;
    return sum;
  }
  flow::Extent constant(int64_t value) { return flow::Extent::constant(group.op->getContext(), value); }

  void emitPack();
  void emitTiles();
  /// A band: rows of an image from `firstRow` on, numbered within each phase, and the memory of its padded
  /// copy.
  struct Band {
    Ix image, firstRow;
    Value source;
    Ix origin, rowStride, pixelStride;
  };
  /// A ConvPhase in the kernel's code. The code is the same for all phases; these values are computed from
  /// the phase's number.
  struct Phase {
    Ix rows, columns, pixels; ///< of the phase within the band
    Ix resultY, resultX, tapsY, sourceY, sourceX;
    Ix run; ///< the number of taps in a row times the number of channels
    Ix panelFloats,
        packedAt; ///< the size of a panel of packed weights, and the offset of the phase's first panel
  };
  Phase phaseAt(MicroCode &code, const Band &band, Ix number);
  void emitPhase(MicroCode &code, const Band &band, Ix number);
  /// Emits a tile: the band's pixels from `first` on, by a panel of channels.
  void emitTile(MicroCode &code, const Band &band, const Phase &phase, Ix panel, Ix first);
  /// The row and column in the result of a phase's pixel of the band.
  std::pair<Ix, Ix> resultPixel(MicroCode &code, const Band &band, const Phase &phase,
                                std::pair<Ix, Ix> pixel);
  void prefetchResults(MicroCode &code, const Band &band, const Phase &phase, Ix panel,
                       ArrayRef<std::pair<Ix, Ix>> pixels);
  void store(MicroCode &code, const Band &band, const Phase &phase, std::pair<Ix, Ix> pixel, Ix column,
             Value sum);

  const ConvGroup &group;
  const PixelPass &pass;
  const ConvOperand &image, &weights;
  KernelModule &module;
  Tile tile;
  int64_t width, panels, bandRows, bands;
  BufferRef packedRef{};
  flow::Extent packedSize;
  Values ports; ///< the epilogue's inputs and outputs, in the second kernel
  Value packed; ///< the packed weights, in the second kernel
  Value tileScratch;
  GroupCode result;
};

void PixelEmitter::emitPack() {
  KernelBuilder kernel = module.begin("pack", group.op->getLoc());
  MicroCode code(kernel);
  packedSize = constant(std::max<int64_t>(1, packedFloats()));
  packedRef = result.addTemporary(packedSize, "packed weights");
  Value source = kernel.floats(plan::Access::read, weights.ref, weights.elements);
  Value target = kernel.floats(plan::Access::write, packedRef, packedSize);
  const int64_t channels = pass.sourceChannels, kernelWidth = group.shape.kernelWidth,
                taps = group.shape.taps();
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix panel) {
    int64_t base = 0;
    for (const ConvPhase &phase : pass.phases) {
      Ix offset = code.add(code.mul(panel, depth(phase) * width), base);
      base += panels * depth(phase) * width;
      Ix lane = code.mul(panel, width);
      if (pass.tapStepY > 0) {
        // Forward: the weights of a result channel are contiguous in the order (channel, tap), and are
        // transposed to the order (tap, channel).
        PackSource from{source, pass.weightOutput, pass.resultChannels, [](Ix step) { return step; }, true};
        emitPackPanel(code, from, lane, width, 0, channels * taps, target, offset, [&](Ix step) {
          return code.add(code.mul(code.rem(step, taps), channels), code.div(step, taps));
        });
        continue;
      }
      auto at = [&](Ix step) {
        Ix c = code.rem(step, channels), tap = code.div(step, channels);
        Ix ky = code.add(phase.firstTapY, code.mul(code.div(tap, phase.tapsX), pass.tapStepY));
        Ix kx = code.add(phase.firstTapX, code.mul(code.rem(tap, phase.tapsX), pass.tapStepX));
        return code.add(code.mul(c, pass.weightSource), code.add(code.mul(ky, kernelWidth), kx));
      };
      PackSource from{source, pass.weightOutput, pass.resultChannels, at, false};
      if (depth(phase))
        emitPackPanel(code, from, lane, width, 0, depth(phase), target, offset);
    }
  });
  int64_t moved = packedFloats() + pass.resultChannels * pass.sourceChannels * taps;
  result.launches.push_back(
      kernel.finish("pack", constant(panels), constant(0), constant(kFloatBytes * moved)));
}

PixelEmitter::Phase PixelEmitter::phaseAt(MicroCode &code, const Band &band, Ix number) {
  auto pick = [&](llvm::function_ref<int64_t(const ConvPhase &)> value) {
    Ix picked = value(pass.phases.back());
    for (size_t i = pass.phases.size() - 1; i-- > 0;)
      if (int64_t other = value(pass.phases[i]); !picked.is(other))
        picked = code.select(code.equal(number, int64_t(i)), other, picked);
    return picked;
  };
  Phase phase;
  const Ix height = pick([](const ConvPhase &p) { return p.rows; });
  phase.columns = pick([](const ConvPhase &p) { return p.columns; });
  phase.resultY = pick([](const ConvPhase &p) { return p.resultY; });
  phase.resultX = pick([](const ConvPhase &p) { return p.resultX; });
  phase.tapsY = pick([](const ConvPhase &p) { return p.tapsY; });
  phase.sourceY = pick([](const ConvPhase &p) { return p.sourceY; });
  phase.sourceX = pick([](const ConvPhase &p) { return p.sourceX; });
  phase.run = pick([&](const ConvPhase &p) { return p.tapsX * pass.sourceChannels; });
  phase.panelFloats = pick([&](const ConvPhase &p) { return depth(p) * width; });
  phase.packedAt = pick([&](const ConvPhase &p) {
    int64_t before = 0;
    for (const ConvPhase *q = pass.phases.begin(); q != &p; ++q)
      before += panels * depth(*q) * width;
    return before;
  });
  phase.rows = code.min(bandRows, code.sub(height, band.firstRow));
  phase.pixels = code.mul(phase.rows, phase.columns);
  return phase;
}

void PixelEmitter::emitPhase(MicroCode &code, const Band &band, Ix number) {
  const Phase phase = phaseAt(code, band, number);
  // Phases may differ in height, so the last bands of a lower one are empty.
  code.when(code.less(0, phase.rows), [&] {
    code.loop(0, panels, 1, [&](Ix panel) {
      code.loop(0, phase.pixels, tile.rows, [&](Ix first) { emitTile(code, band, phase, panel, first); });
    });
  });
}

void PixelEmitter::emitTile(MicroCode &code, const Band &band, const Phase &phase, Ix panel, Ix first) {
  MicroOperands operands{
      band.source, {}, packed, code.add(code.mul(panel, phase.panelFloats), phase.packedAt)};
  SmallVector<std::pair<Ix, Ix>> pixels;
  for (int i = 0; i < tile.rows; ++i) {
    Ix pixel = code.min(code.add(first, i), code.sub(phase.pixels, 1));
    Ix y = code.div(pixel, phase.columns), x = code.rem(pixel, phase.columns);
    pixels.push_back({y, x});
    Ix sourceY = code.add(code.mul(y, pass.sourceStepY), phase.sourceY);
    Ix sourceX = code.add(code.mul(x, pass.sourceStepX), phase.sourceX);
    operands.rows.push_back(code.add(
        band.origin, code.add(code.mul(sourceY, band.rowStride), code.mul(sourceX, band.pixelStride))));
  }
  prefetchResults(code, band, phase, panel, pixels);
  Reduction nest[] = {{phase.tapsY, band.rowStride, code.mul(phase.run, width)},
                      {phase.run, 1, width, pass.sourceChannels}};
  Values sums = emitMicroKernel(code, tile, operands, nest);
  if (group.epilogue.isShort()) {
    for (int i = 0; i < tile.rows; ++i)
      code.when(code.less(code.add(first, i), phase.pixels), [&] {
        for (int j = 0; j < tile.vectors; ++j)
          store(code, band, phase, pixels[i], code.add(code.mul(panel, width), j * code.lanes),
                sums[i * tile.vectors + j]);
      });
    return;
  }
  // A long epilogue runs over the tile in a loop, since unrolled code would be very large.
  for (auto [i, sum] : llvm::enumerate(sums))
    code.store(sum, tileScratch, int64_t(i) * code.lanes);
  code.loop(0, code.min(tile.rows, code.sub(phase.pixels, first)), 1, [&](Ix i) {
    Ix pixel = code.add(first, i);
    code.loop(0, width, code.lanes, [&](Ix j) {
      Value sum = code.load(tileScratch, code.add(code.mul(i, width), j));
      Ix y = code.div(pixel, phase.columns), x = code.rem(pixel, phase.columns);
      store(code, band, phase, {y, x}, code.add(code.mul(panel, width), j), sum);
    });
  });
}

std::pair<Ix, Ix> PixelEmitter::resultPixel(MicroCode &code, const Band &band, const Phase &phase,
                                            std::pair<Ix, Ix> pixel) {
  Ix y = code.add(phase.resultY, code.mul(code.add(band.firstRow, pixel.first), pass.resultStepY));
  Ix x = code.add(phase.resultX, code.mul(pixel.second, pass.resultStepX));
  return {y, x};
}

void PixelEmitter::prefetchResults(MicroCode &code, const Band &band, const Phase &phase, Ix panel,
                                   ArrayRef<std::pair<Ix, Ix>> pixels) {
  const EpilogueOutput &output = group.epilogue.outputs().front();
  if (!output.strides[1].isConstant(1) || output.element != plan::Element::f32)
    return;
  for (std::pair<Ix, Ix> pixel : pixels) {
    auto [y, x] = resultPixel(code, band, phase, pixel);
    Ix at = code.add(code.mul(band.image, code.size(output.strides[0])), code.mul(panel, width));
    at = code.add(
        at, code.add(code.mul(y, code.size(output.strides[2])), code.mul(x, code.size(output.strides[3]))));
    for (int64_t j = 0; j < width; j += 16)
      code.prefetch(ports[group.epilogue.inputs().size()], code.add(at, j), /*write=*/true, 3);
  }
}

void PixelEmitter::store(MicroCode &code, const Band &band, const Phase &phase, std::pair<Ix, Ix> pixel,
                         Ix column, Value sum) {
  auto [y, x] = resultPixel(code, band, phase, pixel);
  Value mask =
      pass.resultChannels % width == 0 ? Value() : code.firstLanes(code.sub(pass.resultChannels, column));
  group.epilogue.storeAt(code, ports, sum, mask, {band.image, column, y, x}, 1);
}

void PixelEmitter::emitTiles() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  Value source = kernel.floats(plan::Access::read, image.ref, image.elements);
  packed = kernel.floats(plan::Access::read, packedRef, packedSize);
  ports = group.epilogue.bind(kernel);
  const int64_t channels = pass.sourceChannels, line = pass.paddedWidth() * channels;
  bool channelsInnermost = channels == 1 || image.strides[1].isConstant(1);
  bool direct = pass.unpadded() && channelsInnermost && image.strides[3].isConstant(channels);
  if (!group.epilogue.isShort())
    tileScratch = kernel.floatScratch(int64_t(tile.rows) * width);
  Value copy = direct ? source : kernel.floatScratch(pass.paddedRows(bandRows) * line);
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix unit) {
    Ix number = code.div(unit, bands), firstRow = code.mul(code.rem(unit, bands), bandRows);
    Ix base = code.mul(number, code.size(image.strides[0]));
    Ix top = code.mul(firstRow, pass.sourceStepY);
    Ix origin = 0, rowStride = line, pixelStride = channels;
    if (direct) {
      rowStride = code.size(image.strides[2]);
      origin = code.add(base, code.mul(top, rowStride));
    } else {
      ConvImage from{source,
                     base,
                     code.size(image.strides[1]),
                     code.size(image.strides[2]),
                     code.size(image.strides[3]),
                     channels,
                     pass.sourceHeight,
                     pass.sourceWidth};
      Ix rows = code.min(bandRows, code.sub(pass.phaseRows(), firstRow));
      Ix padded = code.add(code.mul(code.sub(rows, 1), pass.sourceStepY), pass.spanY);
      emitPaddedCopy(code, from, code.sub(top, pass.lowY), pass.lowX, padded, pass.paddedWidth(), copy);
    }
    code.loop(0, int64_t(pass.phases.size()), 1, [&](Ix phase) {
      emitPhase(code, {number, firstRow, copy, origin, rowStride, pixelStride}, phase);
    });
  });
  flow::Extent moved = image.elements + weights.elements + flow::elementsOf(group.op->getResult(0).getType());
  result.launches.push_back(kernel.finish(group.op->getName().stripDialect(), group.shape.batch * bands,
                                          group.shape.flops(), moved * kFloatBytes));
}
} // namespace

GroupCode emitPixelPass(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
                        const ConvOperand &weights, KernelModule &module) {
  return PixelEmitter(group, pass, image, weights, module).emit();
}

} // namespace moe::cpu
