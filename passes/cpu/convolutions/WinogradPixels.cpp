// Forward and input gradient by minimal filtering; see Winograd.h.
//   1. A launch of its own transforms the weights and packs them into panels, [sum][panel][place of the
//      sum][channel][width].
//   2. A work unit of the second launch takes a block of squares and transforms their source pixels to
//      [sum][square][place of the sum][channel].
//   3. For each panel of result channels, it computes the sums and transforms them to results at once, while
//      they are in the cache.
#include "passes/cpu/convolutions/Winograd.h"

using namespace mlir;

namespace moe::cpu {
namespace {

class PassEmitter {
public:
  PassEmitter(const ConvGroup &group, KernelModule &module)
      : group(group), s(group.shape), image(group.first), weights(group.second), module(module),
        inputGradient(isa<flow::ConvInputGradOp>(group.op)),
        algorithm(inputGradient ? WinogradAlgorithm::inputGradient(s) : WinogradAlgorithm::forward(s)),
        grid(algorithm.y.results, inputGradient ? s.height : s.outHeight,
             inputGradient ? s.width : s.outWidth) {
    const CpuTarget &target = module.target();
    channels = inputGradient ? s.outputs : s.channels;
    resultChannels = inputGradient ? s.channels : s.outputs;
    tile = chooseTile(target.lanes(), target.registers, resultChannels);
    width = tile.vectors * target.lanes();
    panels = (resultChannels + width - 1) / width;
    // A block's pixels and sums share the second-level cache with the weights, which are read once per block.
    constexpr int64_t kMaxSquares = 96, kMultiple = 24; // kMultiple: a multiple of every tile's rows
    int64_t square = (algorithm.places * channels + sums() * width) * kFloatBytes;
    block =
        std::clamp<int64_t>(target.l2Bytes * 5 / 8 / square / kMultiple * kMultiple, kMultiple, kMaxSquares);
    sumPlace = block * width + kLine;
  }

  GroupCode emit() {
    emitWeights();
    emitSquares();
    return std::move(result);
  }

private:
  // The arrays of two sums are a multiple of a page plus one cache line apart. Without the extra line, stores
  // to the same element of all sums would evict one another from the cache.
  static constexpr int64_t kLine = 16;
  int64_t sums() const { return algorithm.sums.size(); }
  /// The offsets of a sum's pixels and weights.
  int64_t pixelsAt(int64_t sum) const { return algorithm.sums[sum].before * block * channels + sum * kLine; }
  int64_t weightsAt(int64_t sum) const {
    return algorithm.sums[sum].before * panels * channels * width + sum * kLine;
  }
  int64_t pixelFloats() const { return algorithm.places * block * channels + sums() * kLine; }
  int64_t weightFloats() const { return algorithm.places * panels * channels * width + sums() * kLine; }
  flow::Extent constant(int64_t value) { return flow::Extent::constant(group.op->getContext(), value); }
  flow::Extent squares() const { return s.batch * grid.count(); }

  void emitWeights();
  void emitSquares();
  void emitPixels(MicroCode &code, Value source, Value zeros, Value pixels, Ix firstSquare, Ix count);
  void emitSums(MicroCode &code, Value pixels, Value packed, Value products, Ix panel, Ix count);
  void emitResults(MicroCode &code, ArrayRef<Value> ports, Value products, Value results, Ix panel,
                   Ix firstSquare, Ix count);

  const ConvGroup &group;
  const ConvShape &s;
  const ConvOperand &image, &weights;
  KernelModule &module;
  bool inputGradient;
  WinogradAlgorithm algorithm;
  WinogradGrid grid;
  Tile tile;
  int64_t width, panels, channels, resultChannels, block, sumPlace;
  BufferRef packedRef{};
  GroupCode result;
};

void PassEmitter::emitWeights() {
  KernelBuilder kernel = module.begin("pack", group.op->getLoc());
  MicroCode code(kernel);
  packedRef = result.addTemporary(constant(weightFloats()), "transformed weights");
  Value source = kernel.floats(plan::Access::read, weights.ref, weights.elements);
  Value target = kernel.floats(plan::Access::write, packedRef, constant(weightFloats()));
  // Filters are row-major: [output][channel][tap].
  const int64_t perOutput = s.channels * s.taps(), perChannel = s.taps();
  const int64_t perLane = inputGradient ? perChannel : perOutput,
                perStep = inputGradient ? perOutput : perChannel;
  // A work unit is a channel of the source.
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix channel) {
    code.loop(0, panels, 1, [&](Ix panel) {
      code.loop(0, width, code.lanes, [&](Ix lane) {
        Ix column = code.add(code.mul(panel, width), lane);
        Value mask =
            resultChannels % width == 0 ? Value() : code.firstLanes(code.sub(resultChannels, column));
        Ix from = code.add(code.mul(column, perLane), code.mul(channel, perStep));
        emitWinogradSquare(
            code, 3, algorithm.y.fromWeights, algorithm.x.fromWeights,
            [&](int y, int x) { return code.loadStrided(source, code.add(from, y * 3 + x), perLane, mask); },
            [&](int y, int x, Value value) {
              auto [sum, placeOfSum] = algorithm.whereIs(y, x);
              int64_t places = algorithm.sums[sum].places;
              Ix row = code.add(code.mul(panel, places * channels), placeOfSum * channels);
              Ix to = code.add(code.mul(code.add(row, channel), width), lane);
              code.store(value, target, code.add(to, weightsAt(sum)));
            });
      });
    });
    // The memory between the sums is zeroed, so that nothing in a program's buffers is undefined.
    code.when(code.equal(channel, 0), [&] {
      for (int64_t sum = 0; sum < sums(); ++sum)
        emitZero(code, target, sum + 1 < sums() ? weightsAt(sum + 1) - kLine : weightFloats() - kLine, kLine);
    });
  });
  int64_t moved = weightFloats() + resultChannels * channels * s.taps();
  result.launches.push_back(
      kernel.finish("pack", constant(channels), constant(0), constant(kFloatBytes * moved), /*grain=*/8));
}

void PassEmitter::emitPixels(MicroCode &code, Value source, Value zeros, Value pixels, Ix firstSquare,
                             Ix count) {
  const WinogradAxis &y = algorithm.y, &x = algorithm.x;
  const int64_t height = inputGradient ? s.outHeight : s.height, width = inputGradient ? s.outWidth : s.width;
  auto inside = [](const WinogradAxis &axis, int64_t squares, int64_t size) {
    return axis.first >= 0 && axis.first + (squares - 1) * axis.step + axis.pixels <= size;
  };
  const bool all = inside(y, grid.rows, height) && inside(x, grid.columns, width);
  code.loop(0, count, 1, [&](Ix square) {
    WinogradGrid::Place place = grid.at(code, code.add(firstSquare, square));
    ConvImage from{source,
                   code.mul(place.image, code.size(image.strides[0])),
                   1,
                   code.size(image.strides[2]),
                   code.size(image.strides[3]),
                   channels,
                   height,
                   width};
    WinogradSource under{from,
                         code.add(code.mul(place.row, y.step), y.first),
                         code.add(code.mul(place.column, x.step), x.first),
                         y.pixels,
                         all,
                         zeros};
    emitWinogradSource(
        code, under, y.fromPixels, x.fromPixels, [&](int placeY, int placeX, Ix channel, Value value) {
          auto [sum, placeOfSum] = algorithm.whereIs(placeY, placeX);
          Ix to = code.add(code.mul(square, algorithm.sums[sum].places * channels), placeOfSum * channels);
          code.store(value, pixels, code.add(code.add(to, pixelsAt(sum)), channel));
        });
  });
}

void PassEmitter::emitSums(MicroCode &code, Value pixels, Value packed, Value products, Ix panel, Ix count) {
  code.loop(0, sums(), 1, [&](Ix sum) {
    Ix places = algorithm.ofSum(code, sum, [&](int64_t i) { return algorithm.sums[i].places; });
    Ix from = algorithm.ofSum(code, sum, [&](int64_t i) { return pixelsAt(i); });
    Ix panelAt = code.add(algorithm.ofSum(code, sum, [&](int64_t i) { return weightsAt(i); }),
                          code.mul(code.mul(panel, places), channels * width));
    Ix to = code.mul(sum, sumPlace), perSquare = code.mul(places, channels);
    // The last tile may have rows beyond the last square; they are still within the block's memory.
    code.loop(0, count, tile.rows, [&](Ix first) {
      MicroOperands operands{pixels, {}, packed, panelAt};
      for (int i = 0; i < tile.rows; ++i)
        operands.rows.push_back(code.add(from, code.mul(code.add(first, i), perSquare)));
      Reduction nest[] = {{places, channels, channels * width}, {channels, 1, width, channels}};
      Values totals = emitMicroKernel(code, tile, operands, ArrayRef(nest).drop_front(algorithm.single), {},
                                      kMicroUnroll, kWinogradChain);
      for (auto [i, total] : llvm::enumerate(totals))
        code.store(total, products, code.add(code.add(to, code.mul(first, width)), int64_t(i) * code.lanes));
    });
  });
}

void PassEmitter::emitResults(MicroCode &code, ArrayRef<Value> ports, Value products, Value results, Ix panel,
                              Ix firstSquare, Ix count) {
  const int64_t side = grid.results;
  Ix firstColumn = code.mul(panel, width);
  Ix columns = code.min(width, code.sub(resultChannels, firstColumn));
  code.loop(0, count, 1, [&](Ix square) {
    WinogradGrid::Place place = grid.at(code, code.add(firstSquare, square));
    auto finish = [&](Ix row, Ix column, Ix channel, Value sum) {
      Ix y = code.add(code.mul(place.row, side), row), x = code.add(code.mul(place.column, side), column);
      auto store = [&] { group.epilogue.storeAt(code, ports, sum, {}, {place.image, channel, y, x}, 1); };
      // If the map's size is not a multiple of a square's, the last squares reach beyond the map.
      Value below = grid.height % side ? code.less(y, grid.height) : Value();
      Value right = grid.width % side ? code.less(x, grid.width) : Value();
      code.when(code.both(below, right), store);
    };
    code.loop(0, columns, code.lanes, [&](Ix lane) {
      Ix from = code.add(code.mul(square, width), lane), channel = code.add(firstColumn, lane);
      auto load = [&](int y, int x) {
        int64_t sum = y * int64_t(algorithm.x.sums.size()) + x;
        return code.load(products, code.add(from, sum * sumPlace));
      };
      auto transform = [&](llvm::function_ref<void(int, int, Value)> store) {
        emitWinogradSquare(code, algorithm.y.sums.size(), algorithm.y.toResults, algorithm.x.toResults, load,
                           store);
      };
      if (group.epilogue.isShort()) {
        transform([&](int y, int x, Value sum) { finish(y, x, channel, sum); });
        return;
      }
      // A long epilogue runs in a loop, so that its code is there only once.
      transform(
          [&](int y, int x, Value sum) { code.store(sum, results, (y * side + x) * int64_t(code.lanes)); });
      code.loop(0, side * side, 1, [&](Ix i) {
        finish(code.div(i, side), code.rem(i, side), channel, code.load(results, code.mul(i, code.lanes)));
      });
    });
  });
}

void PassEmitter::emitSquares() {
  KernelBuilder kernel = module.begin("conv", group.op->getLoc());
  MicroCode code(kernel);
  Value source = kernel.floats(plan::Access::read, image.ref, image.elements);
  Value packed = kernel.floats(plan::Access::read, packedRef, constant(weightFloats()));
  Values ports = group.epilogue.bind(kernel);
  Value pixels = kernel.floatScratch(pixelFloats());
  Value products = kernel.floatScratch(sums() * sumPlace);
  Value zeros = kernel.floatScratch(channels);
  Value results =
      group.epilogue.isShort() ? Value() : kernel.floatScratch(grid.results * grid.results * code.lanes);
  emitZero(code, zeros, 0, channels);
  Ix total = code.size(squares());
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix unit) {
    Ix first = code.mul(unit, block), count = code.min(block, code.sub(total, first));
    emitPixels(code, source, zeros, pixels, first, count);
    code.loop(0, panels, 1, [&](Ix panel) {
      emitSums(code, pixels, packed, products, panel, count);
      emitResults(code, ports, products, results, panel, first, count);
    });
  });
  flow::Extent moved = image.elements + weights.elements + flow::elementsOf(group.op->getResult(0).getType());
  result.launches.push_back(kernel.finish(group.op->getName().stripDialect(), squares().ceildiv(block),
                                          s.flops(), moved * kFloatBytes));
}
} // namespace

GroupCode emitWinogradPass(const ConvGroup &group, KernelModule &module) {
  return PassEmitter(group, module).emit();
}

} // namespace moe::cpu
