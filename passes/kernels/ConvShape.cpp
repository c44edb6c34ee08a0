// Computes a convolution's sizes and phases; see ConvShape.h.
#include "passes/kernels/ConvShape.h"

using namespace mlir;

namespace moe::kernels {

FailureOr<ConvShape> ConvShape::of(Operation *op, Value x, Value w, Value y) {
  ConvShape shape;
  bool known = true;
  auto read = [&](Value value, unsigned axis, int64_t &into) {
    into = cast<RankedTensorType>(value.getType()).getDimSize(axis);
    known &= !ShapedType::isDynamic(into);
  };
  shape.batch = flow::Extent::of(x, 0);
  read(x, 1, shape.channels);
  read(x, 2, shape.height);
  read(x, 3, shape.width);
  read(y, 1, shape.outputs);
  read(y, 2, shape.outHeight);
  read(y, 3, shape.outWidth);
  read(w, 2, shape.kernelHeight);
  read(w, 3, shape.kernelWidth);
  if (!known)
    return op->emitError("expected channels, height and width that are known while compiling, found ")
           << x.getType() << "; only the batch may vary";
  auto strides = op->getAttrOfType<DenseI64ArrayAttr>("strides").asArrayRef();
  auto pads = op->getAttrOfType<DenseI64ArrayAttr>("pads").asArrayRef();
  for (int64_t pad : pads)
    if (pad < 0)
      return op->emitError("expected pads that are not negative, found ") << pad;
  shape.strideY = strides[0];
  shape.strideX = strides[1];
  shape.padTop = pads[0];
  shape.padLeft = pads[1];
  return shape;
}

int64_t PixelPass::phaseRows() const {
  int64_t most = 0;
  for (const ConvPhase &phase : phases)
    most = std::max(most, phase.rows);
  return most;
}

int64_t PixelPass::paddedWidth() const {
  int64_t most = 0;
  for (const ConvPhase &phase : phases)
    most = std::max(most, phase.columns);
  return (most - 1) * sourceStepX + spanX;
}

bool PixelPass::unpadded() const {
  return lowY == 0 && lowX == 0 && paddedRows(phaseRows()) <= sourceHeight && paddedWidth() <= sourceWidth;
}

PixelPass PixelPass::forward(const ConvShape &s) {
  PixelPass pass;
  pass.phases.push_back({s.outHeight, s.outWidth, 0, 0, s.kernelHeight, s.kernelWidth, 0, 0, 0, 0});
  pass.sourceChannels = s.channels;
  pass.sourceHeight = s.height;
  pass.sourceWidth = s.width;
  pass.resultChannels = s.outputs;
  pass.resultHeight = s.outHeight;
  pass.resultWidth = s.outWidth;
  pass.lowY = s.padTop;
  pass.lowX = s.padLeft;
  pass.sourceStepY = s.strideY;
  pass.sourceStepX = s.strideX;
  pass.resultStepY = pass.resultStepX = 1;
  pass.tapStepY = pass.tapStepX = 1;
  pass.weightOutput = s.channels * s.taps();
  pass.weightSource = s.taps();
  pass.spanY = s.kernelHeight;
  pass.spanX = s.kernelWidth;
  return pass;
}

namespace {
/// One axis of a phase of the input gradient: the x index s * q + residue gets a contribution from the y
/// index q + base - t through the tap first + s * t.
struct PhaseAxis {
  int64_t count, first, taps, base;
  PhaseAxis(int64_t residue, int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
    count = residue < size ? (size - residue + stride - 1) / stride : 0;
    first = (residue + pad) % stride;
    taps = first < kernel ? (kernel - first + stride - 1) / stride : 0;
    base = (residue + pad - first) / stride;
  }
};
} // namespace

PixelPass PixelPass::inputGradient(const ConvShape &s) {
  PixelPass pass;
  pass.sourceChannels = s.outputs;
  pass.sourceHeight = s.outHeight;
  pass.sourceWidth = s.outWidth;
  pass.resultChannels = s.channels;
  pass.resultHeight = s.height;
  pass.resultWidth = s.width;
  pass.sourceStepY = pass.sourceStepX = 1;
  pass.resultStepY = s.strideY;
  pass.resultStepX = s.strideX;
  pass.tapStepY = -s.strideY;
  pass.tapStepX = -s.strideX;
  pass.weightOutput = s.taps();
  pass.weightSource = s.channels * s.taps();
  SmallVector<PhaseAxis> ys, xs;
  for (int64_t residue = 0; residue < s.strideY; ++residue)
    ys.emplace_back(residue, s.height, s.kernelHeight, s.strideY, s.padTop);
  for (int64_t residue = 0; residue < s.strideX; ++residue)
    xs.emplace_back(residue, s.width, s.kernelWidth, s.strideX, s.padLeft);
  // The padding before the source is the most that any phase needs. Taps in ascending order in the source are
  // in descending order in the kernel.
  auto low = [](ArrayRef<PhaseAxis> axes) {
    int64_t most = 0;
    for (const PhaseAxis &axis : axes)
      if (axis.taps)
        most = std::max(most, axis.taps - 1 - axis.base);
    return most;
  };
  pass.lowY = low(ys);
  pass.lowX = low(xs);
  pass.spanY = pass.spanX = 1;
  for (auto [py, y] : llvm::enumerate(ys))
    for (auto [px, x] : llvm::enumerate(xs)) {
      ConvPhase phase;
      phase.rows = y.count;
      phase.columns = x.count;
      phase.resultY = py;
      phase.resultX = px;
      // A phase that no tap reaches has a result of zero.
      phase.tapsY = x.taps ? y.taps : 0;
      phase.tapsX = y.taps ? x.taps : 0;
      phase.sourceY = phase.tapsY ? y.base - (y.taps - 1) + pass.lowY : 0;
      phase.sourceX = phase.tapsX ? x.base - (x.taps - 1) + pass.lowX : 0;
      phase.firstTapY = y.first + s.strideY * (y.taps - 1);
      phase.firstTapX = x.first + s.strideX * (x.taps - 1);
      if (!phase.rows || !phase.columns)
        continue;
      pass.spanY = std::max(pass.spanY, phase.sourceY + phase.tapsY);
      pass.spanX = std::max(pass.spanX, phase.sourceX + phase.tapsX);
      pass.phases.push_back(phase);
    }
  return pass;
}

} // namespace moe::kernels
