// The weight gradient by the transpose of F(2x2, 3x3); see Winograd.h. The squares of all images are cut into
// parts, as many as fit a memory budget and follow from the shape. A part takes its squares block by block:
// it transforms the pixels of x and of dy under them, and adds, at each of the 16 places, the product of the
// two matrices to sums [place][channel of x][channel of dy]. The parts' sums are then added in order and
// transformed back.
#include "passes/cpu/Winograd.h"

using namespace mlir;

namespace moe::cpu {
namespace {

/// Floats that all parts together may take.
constexpr int64_t kPartFloats = int64_t(1) << 22;
/// Squares of a block: at one place, both operands of a tile stay in the first-level cache.
constexpr int64_t kBlock = 48;

class WeightEmitter {
public:
  WeightEmitter(const ConvGroup &group, KernelModule &module)
      : group(group), s(group.shape), module(module), grid(s.outHeight, s.outWidth) {
    const CpuTarget &target = module.target();
    tile = chooseTile(target.lanes(), target.registers, s.outputs);
    width = tile.vectors * target.lanes();
    panels = (s.outputs + width - 1) / width;
    line = panels * width;
    strips = (s.channels + tile.rows - 1) / tile.rows;
    // One line more than a multiple of a page, as in WinogradPixels.cpp. A tile's last rows may be read
    // behind the last channel.
    pixelPlace = kBlock * s.channels + 16;
    gradientPlace = kBlock * line + 16;
    matrix = kWinogradPlaces * s.channels * line;
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

  void emitParts();
  void emitTile(MicroCode &code, Value pixels, Value gradient, Ix place, Ix panel, Ix strip, Ix count,
                Value sums, Ix sumsAt, Value first);
  void emitSum();

  const ConvGroup &group;
  const ConvShape &s;
  KernelModule &module;
  WinogradGrid grid;
  Tile tile;
  int64_t width, panels, line, strips, pixelPlace, gradientPlace, matrix;
  flow::Extent partSquares, parts;
  BufferRef partsRef{BufferRef::temporary, 0};
  GroupCode result;
};

void WeightEmitter::emitTile(MicroCode &code, Value pixels, Value gradient, Ix place, Ix panel, Ix strip,
                             Ix count, Value sums, Ix sumsAt, Value first) {
  Ix firstChannel = code.mul(strip, tile.rows);
  MicroOperands operands{
      pixels, {}, gradient, code.add(code.mul(place, gradientPlace), code.mul(panel, width))};
  SmallVector<Ix> at;
  SmallVector<Value> valid;
  Ix base = code.add(sumsAt, code.add(code.mul(place, s.channels * line), code.mul(panel, width)));
  const bool whole = s.channels % tile.rows == 0;
  for (int i = 0; i < tile.rows; ++i) {
    Ix channel = code.add(firstChannel, i);
    valid.push_back(whole ? Value() : code.less(channel, s.channels));
    channel = whole ? channel : code.min(channel, s.channels - 1);
    operands.rows.push_back(code.add(code.mul(place, pixelPlace), channel));
    at.push_back(code.add(base, code.mul(channel, line)));
  }
  // Fetches the sums' rows one by one meanwhile.
  auto ahead = [&](Ix row) {
    Ix channel = code.min(code.add(firstChannel, row), s.channels - 1);
    for (int64_t j = 0; j < width; j += 16)
      code.prefetch(sums, code.add(code.add(base, code.mul(channel, line)), j), /*write=*/true, 3);
  };
  Reduction nest[] = {{count, s.channels, line}};
  Values totals = emitMicroKernel(code, tile, operands, nest, ahead);
  totals = code.choose(
      first, [&] { return totals; },
      [&] {
        Values added;
        for (int i = 0; i < tile.rows; ++i)
          for (int j = 0; j < tile.vectors; ++j)
            added.push_back(code.addf(totals[i * tile.vectors + j],
                                      code.load(sums, code.add(at[i], j * code.lanes))));
        return added;
      });
  for (int i = 0; i < tile.rows; ++i) {
    auto store = [&] {
      for (int j = 0; j < tile.vectors; ++j)
        code.store(totals[i * tile.vectors + j], sums, code.add(at[i], j * code.lanes));
    };
    if (valid[i])
      code.when(valid[i], store);
    else
      store();
  }
}

void WeightEmitter::emitParts() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  result.temporaries.push_back({plan::Element::f32, toExpr(partsFloats()), "parts of the weight gradient"});
  Value x =
      kernel.buffer(plan::Access::read, plan::Element::f32, group.first.ref, toExpr(group.first.elements));
  Value dy =
      kernel.buffer(plan::Access::read, plan::Element::f32, group.second.ref, toExpr(group.second.elements));
  Value sums = kernel.buffer(plan::Access::write, plan::Element::f32, partsRef, toExpr(partsFloats()));
  Value pixels = kernel.scratch(kWinogradPlaces * pixelPlace * 4);
  Value gradient = kernel.scratch(kWinogradPlaces * gradientPlace * 4);
  Value zeros = kernel.scratch(std::max(s.channels, s.outputs) * 4);
  emitZero(code, zeros, 0, std::max(s.channels, s.outputs));
  // Columns behind the last channel of dy are summed too, and must be numbers.
  if (line != s.outputs)
    code.loop(0, kWinogradPlaces, 1, [&](Ix place) {
      code.loop(0, kBlock, 1, [&](Ix square) {
        Ix at = code.add(code.mul(place, gradientPlace), code.mul(square, line));
        emitZero(code, gradient, code.add(at, s.outputs), line - s.outputs);
      });
    });
  Ix total = code.size(s.batch * grid.count()), most = code.size(partSquares);
  const bool insideX = s.padTop == 0 && s.padLeft == 0 && grid.rows * 2 + 2 <= s.height &&
                       grid.columns * 2 + 2 <= s.width;
  const bool insideY = s.outHeight % 2 == 0 && s.outWidth % 2 == 0;
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
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix part) {
    Ix begin = code.mul(part, most), end = code.min(code.add(begin, most), total);
    code.loop(begin, end, kBlock, [&](Ix firstSquare) {
      Ix count = code.min(kBlock, code.sub(end, firstSquare));
      code.loop(0, count, 1, [&](Ix square) {
        WinogradGrid::Place place = grid.at(code, code.add(firstSquare, square));
        Ix y = code.mul(place.row, 2), x0 = code.mul(place.column, 2);
        WinogradSource under{image(group.first, x, place.image, s.channels, s.height, s.width),
                             code.sub(y, s.padTop),
                             code.sub(x0, s.padLeft),
                             4,
                             insideX,
                             zeros};
        emitWinogradSource(code, under, winogradPixels, pixels, code.mul(square, s.channels), pixelPlace);
        WinogradSource of{image(group.second, dy, place.image, s.outputs, s.outHeight, s.outWidth),
                          y,
                          x0,
                          2,
                          insideY,
                          zeros};
        emitWinogradSource(code, of, winogradGradient, gradient, code.mul(square, line), gradientPlace);
      });
      Value first = code.equal(firstSquare, begin);
      code.loop(0, kWinogradPlaces, 1, [&](Ix place) {
        code.loop(0, panels, 1, [&](Ix panel) {
          code.loop(0, strips, 1, [&](Ix strip) {
            emitTile(code, pixels, gradient, place, panel, strip, count, sums, code.mul(part, matrix), first);
          });
        });
      });
    });
  });
  LaunchSpec launch = kernel.finish();
  launch.units = toExpr(parts);
  launch.flops = toExpr(s.batch * (2 * s.outHeight * s.outWidth * s.outputs * s.channels * s.taps()));
  launch.bytes = toExpr((group.first.elements + group.second.elements + partsFloats()) * 4);
  launch.op = "conv_weight_grad";
  result.launches.push_back(launch);
}

void WeightEmitter::emitSum() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  Value sums = kernel.buffer(plan::Access::read, plan::Element::f32, partsRef, toExpr(partsFloats()));
  Values ports = group.epilogue.bind(kernel);
  Ix count = code.size(parts);
  // A unit is a channel of x.
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix channel) {
    code.loop(0, s.outputs, code.lanes, [&](Ix column) {
      Ix at = code.add(code.mul(channel, line), column);
      Values totals =
          code.loop(0, count, 1, Values(kWinogradPlaces, code.zero()), [&](Ix part, Values carried) {
            Ix from = code.add(at, code.mul(part, matrix));
            for (int place = 0; place < kWinogradPlaces; ++place)
              carried[place] =
                  code.addf(carried[place], code.load(sums, code.add(from, place * s.channels * line)));
            return carried;
          });
      size_t inputs = group.epilogue.inputs().size();
      auto strides = [&](unsigned port) -> ArrayRef<flow::Extent> {
        return port < inputs ? group.epilogue.inputs()[port].strides
                             : group.epilogue.outputs()[port - inputs].strides;
      };
      emitWinogradSquare(
          code, 4, 3, winogradWeightGradient, [&](int y, int x) { return totals[y * 4 + x]; },
          [&](int ky, int kx, Value sum) {
            auto where = [&](unsigned port) {
              ArrayRef<flow::Extent> t = strides(port);
              Ix to = code.add(code.mul(column, code.size(t[0])), code.mul(channel, code.size(t[1])));
              return code.add(to, code.add(code.mul(code.size(t[2]), ky), code.mul(code.size(t[3]), kx)));
            };
            group.epilogue.store(code, ports, sum, {}, where,
                                 [&](unsigned port) { return code.size(strides(port)[0]); });
          });
    });
  });
  LaunchSpec launch = kernel.finish();
  launch.units = plan::constant(group.op->getContext(), s.channels);
  launch.grain = 4;
  launch.flops = toExpr(partsFloats());
  launch.bytes = toExpr((partsFloats() + s.channels * s.outputs * 9) * 4);
  launch.op = "conv_weight_grad";
  result.launches.push_back(launch);
}
} // namespace

GroupCode emitWinogradWeightGradient(const ConvGroup &group, KernelModule &module) {
  return WeightEmitter(group, module).emit();
}

} // namespace moe::cpu
