// Forward and input gradient by F(2x2, 3x3); see Winograd.h. The weights are transformed ahead, by a launch
// of their own, into panels [place][panel][channel][width]. A unit then takes a block of squares: it
// transforms their pixels to [place][square][channel]; and for each panel of result channels, multiplies the
// places' matrices and transforms the products back at once, so that they never leave the cache.
#include "passes/cpu/Winograd.h"

using namespace mlir;

namespace moe::cpu {
namespace {

class PassEmitter {
public:
  PassEmitter(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
              const ConvOperand &weights, KernelModule &module)
      : group(group), pass(pass), image(image), weights(weights), module(module),
        grid(pass.resultHeight, pass.resultWidth) {
    const CpuTarget &target = module.target();
    tile = chooseTile(target.lanes(), target.registers, pass.resultChannels);
    width = tile.vectors * target.lanes();
    panels = (pass.resultChannels + width - 1) / width;
    channels = pass.sourceChannels;
    // A block's pixels and products share the second-level cache with the weights that pass through it.
    constexpr int64_t kMostSquares = 96, kMultiple = 24; // of every tile's rows
    int64_t fit = target.l2Bytes * 5 / 8 / (kWinogradPlaces * (channels + width) * 4);
    block = std::clamp<int64_t>(fit / kMultiple * kMultiple, kMultiple, kMostSquares);
    // Places lie one line more than a multiple of a page apart: 16 stores at one distance stay in the cache.
    pixelPlace = block * channels + kLine;
    productPlace = block * width + kLine;
    weightPlace = panels * channels * width + kLine;
  }

  GroupCode emit() {
    emitWeights();
    emitSquares();
    return std::move(result);
  }

private:
  static constexpr int64_t kLine = 16;
  plan::ExprAttr number(int64_t value) { return plan::constant(group.op->getContext(), value); }
  flow::Extent squares() const { return group.shape.batch * grid.count(); }

  void emitWeights();
  void emitSquares();
  void emitProducts(MicroCode &code, Value pixels, Value packed, Value products, Ix panel, Ix count);
  void emitResults(MicroCode &code, ArrayRef<Value> ports, Value products, Value results, Ix panel,
                   Ix firstSquare, Ix count);

  const ConvGroup &group;
  const PixelPass &pass;
  const ConvOperand &image, &weights;
  KernelModule &module;
  WinogradGrid grid;
  Tile tile;
  int64_t width, panels, channels, block, pixelPlace, productPlace, weightPlace;
  BufferRef packedRef{BufferRef::temporary, 0};
  GroupCode result;
};

void PassEmitter::emitWeights() {
  KernelBuilder kernel = module.begin("pack", group.op->getLoc());
  MicroCode code(kernel);
  plan::ExprAttr size = number(kWinogradPlaces * weightPlace);
  result.temporaries.push_back({plan::Element::f32, size, "transformed weights"});
  Value source = kernel.buffer(plan::Access::read, plan::Element::f32, weights.ref, toExpr(weights.elements));
  Value target = kernel.buffer(plan::Access::write, plan::Element::f32, packedRef, size);
  const ConvPhase &phase = pass.phases.front();
  // A unit is a channel of the source.
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix channel) {
    code.loop(0, panels, 1, [&](Ix panel) {
      code.loop(0, width, code.lanes, [&](Ix lane) {
        Ix column = code.add(code.mul(panel, width), lane);
        Value mask = pass.resultChannels % width == 0
                         ? Value()
                         : code.firstLanes(code.sub(pass.resultChannels, column));
        Ix from = code.add(code.mul(column, pass.weightOutput), code.mul(channel, pass.weightSource));
        Ix to = code.add(code.mul(code.add(code.mul(panel, channels), channel), width), lane);
        emitWinogradSquare(
            code, 3, 4, winogradWeights,
            [&](int y, int x) {
              int64_t tap = (phase.firstTapY + y * pass.tapStepY) * 3 + phase.firstTapX + x * pass.tapStepX;
              return code.loadStrided(source, code.add(from, tap), pass.weightOutput, mask);
            },
            [&](int y, int x, Value value) {
              code.store(value, target, code.add(to, (y * 4 + x) * weightPlace));
            });
      });
    });
    // What lies between the places is written too: a program leaves nothing undefined in its buffers.
    code.when(code.equal(channel, 0), [&] {
      code.loop(0, kWinogradPlaces, 1, [&](Ix place) {
        emitZero(code, target, code.sub(code.mul(code.add(place, 1), weightPlace), kLine), kLine);
      });
    });
  });
  LaunchSpec launch = kernel.finish();
  launch.units = number(channels);
  launch.grain = 8;
  launch.flops = number(0);
  launch.bytes = number(4 * (kWinogradPlaces * weightPlace + pass.resultChannels * channels * 9));
  launch.op = "pack";
  result.launches.push_back(launch);
}

void PassEmitter::emitProducts(MicroCode &code, Value pixels, Value packed, Value products, Ix panel,
                               Ix count) {
  code.loop(0, kWinogradPlaces, 1, [&](Ix place) {
    Ix from = code.mul(place, pixelPlace), to = code.mul(place, productPlace);
    Ix panelAt = code.add(code.mul(place, weightPlace), code.mul(panel, channels * width));
    // Rows of the last tile may lie behind the last square, within the block.
    code.loop(0, count, tile.rows, [&](Ix first) {
      MicroOperands operands{pixels, {}, packed, panelAt};
      for (int i = 0; i < tile.rows; ++i)
        operands.rows.push_back(code.add(from, code.mul(code.add(first, i), channels)));
      Reduction nest[] = {{channels, 1, width, channels}};
      Values sums = emitMicroKernel(code, tile, operands, nest, {}, kMicroUnroll, kWinogradChain);
      for (auto [i, sum] : llvm::enumerate(sums))
        code.store(sum, products, code.add(code.add(to, code.mul(first, width)), int64_t(i) * code.lanes));
    });
  });
}

void PassEmitter::emitResults(MicroCode &code, ArrayRef<Value> ports, Value products, Value results, Ix panel,
                              Ix firstSquare, Ix count) {
  const size_t inputs = group.epilogue.inputs().size();
  auto strides = [&](unsigned port) -> ArrayRef<flow::Extent> {
    return port < inputs ? group.epilogue.inputs()[port].strides
                         : group.epilogue.outputs()[port - inputs].strides;
  };
  Ix firstColumn = code.mul(panel, width);
  Ix columns = code.min(width, code.sub(pass.resultChannels, firstColumn));
  code.loop(0, count, 1, [&](Ix square) {
    WinogradGrid::Place place = grid.at(code, code.add(firstSquare, square));
    auto finish = [&](Ix row, Ix column, Ix channel, Value sum) {
      Ix y = code.add(code.mul(place.row, 2), row), x = code.add(code.mul(place.column, 2), column);
      auto where = [&](unsigned port) {
        ArrayRef<flow::Extent> s = strides(port);
        Ix at = code.add(code.mul(place.image, code.size(s[0])), code.mul(channel, code.size(s[1])));
        return code.add(at, code.add(code.mul(y, code.size(s[2])), code.mul(x, code.size(s[3]))));
      };
      auto store = [&] {
        group.epilogue.store(code, ports, sum, {}, where,
                             [&](unsigned port) { return code.size(strides(port)[1]); });
      };
      // Squares stick out by a row or a column where the map's size is odd.
      Value below = pass.resultHeight % 2 ? code.less(y, pass.resultHeight) : Value();
      Value right = pass.resultWidth % 2 ? code.less(x, pass.resultWidth) : Value();
      if (Value there = below || right ? code.both(below, right) : Value())
        code.when(there, store);
      else
        store();
    };
    code.loop(0, columns, code.lanes, [&](Ix lane) {
      Ix from = code.add(code.mul(square, width), lane), channel = code.add(firstColumn, lane);
      auto load = [&](int y, int x) {
        return code.load(products, code.add(from, (y * 4 + x) * productPlace));
      };
      if (group.epilogue.isShort()) {
        emitWinogradSquare(code, 4, 2, winogradResults, load,
                           [&](int y, int x, Value sum) { finish(y, x, channel, sum); });
        return;
      }
      // A long epilogue stands in the code once.
      emitWinogradSquare(code, 4, 2, winogradResults, load, [&](int y, int x, Value sum) {
        code.store(sum, results, (y * 2 + x) * code.lanes);
      });
      code.loop(0, 4, 1, [&](Ix i) {
        finish(code.div(i, 2), code.rem(i, 2), channel, code.load(results, code.mul(i, code.lanes)));
      });
    });
  });
}

void PassEmitter::emitSquares() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  Value source = kernel.buffer(plan::Access::read, plan::Element::f32, image.ref, toExpr(image.elements));
  Value packed =
      kernel.buffer(plan::Access::read, plan::Element::f32, packedRef, result.temporaries[0].extent);
  Values ports = group.epilogue.bind(kernel);
  Value pixels = kernel.scratch(kWinogradPlaces * pixelPlace * 4);
  Value products = kernel.scratch(kWinogradPlaces * productPlace * 4);
  Value zeros = kernel.scratch(channels * 4);
  Value results = group.epilogue.isShort() ? Value() : kernel.scratch(4 * code.lanes * 4);
  const bool inside = pass.lowY == 0 && pass.lowX == 0 && grid.rows * 2 + 2 <= pass.sourceHeight &&
                      grid.columns * 2 + 2 <= pass.sourceWidth;
  emitZero(code, zeros, 0, channels);
  Ix total = code.size(squares());
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix unit) {
    Ix first = code.mul(unit, block), count = code.min(block, code.sub(total, first));
    code.loop(0, count, 1, [&](Ix square) {
      WinogradGrid::Place place = grid.at(code, code.add(first, square));
      ConvImage from{source,
                     code.mul(place.image, code.size(image.strides[0])),
                     1,
                     code.size(image.strides[2]),
                     code.size(image.strides[3]),
                     channels,
                     pass.sourceHeight,
                     pass.sourceWidth};
      WinogradSource square4{
          from, code.sub(code.mul(place.row, 2), pass.lowY), code.sub(code.mul(place.column, 2), pass.lowX),
          4,    inside,                                      zeros};
      emitWinogradSource(code, square4, winogradPixels, pixels, code.mul(square, channels), pixelPlace);
    });
    code.loop(0, panels, 1, [&](Ix panel) {
      emitProducts(code, pixels, packed, products, panel, count);
      emitResults(code, ports, products, results, panel, first, count);
    });
  });
  LaunchSpec launch = kernel.finish();
  const ConvShape &s = group.shape;
  launch.units = toExpr(squares().ceildiv(block));
  launch.flops = toExpr(s.batch * (2 * s.outHeight * s.outWidth * s.outputs * s.channels * s.taps()));
  launch.bytes =
      toExpr((image.elements + weights.elements + flow::elementsOf(group.op->getResult(0).getType())) * 4);
  launch.op = group.op->getName().stripDialect().str();
  result.launches.push_back(launch);
}
} // namespace

GroupCode emitWinogradPass(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
                           const ConvOperand &weights, KernelModule &module) {
  return PassEmitter(group, pass, image, weights, module).emit();
}

} // namespace moe::cpu
