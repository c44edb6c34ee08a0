// The sizes of a convolution, and a common description of its forward direction and its input gradient
// (PixelPass): an image is copied with its padding, and each result pixel is a sum over a rectangle of taps
// and a contiguous run of channels. The input gradient of a convolution of stride s consists of s * s phases:
// one for each pair of residues of the result pixel's coordinates modulo s, with the taps that reach such
// pixels. The forward direction has one phase.
#pragma once
#include "dialects/flow/Flow.h"

namespace moe::kernels {

struct ConvShape {
  flow::Extent batch;
  int64_t channels, height, width;      ///< of x
  int64_t outputs, outHeight, outWidth; ///< of y
  int64_t kernelHeight, kernelWidth;
  int64_t strideY, strideX, padTop, padLeft;
  int64_t taps() const { return kernelHeight * kernelWidth; }
  /// The operations of each of the three directions (forward and both gradients): one product and one
  /// addition per term.
  flow::Extent flops() const { return batch * (2 * outHeight * outWidth * outputs * channels * taps()); }

  /// From the types of x, w and y. Fails with a diagnostic if a size other than the batch is not constant.
  static mlir::FailureOr<ConvShape> of(mlir::Operation *op, mlir::Value x, mlir::Value w, mlir::Value y);
};

struct ConvPhase {
  int64_t rows, columns;    ///< pixels of the result in this phase
  int64_t resultY, resultX; ///< the first pixel; the distance to the next is PixelPass::resultStepY and X
  int64_t tapsY, tapsX;
  int64_t sourceY, sourceX;     ///< in the padded source: the first tap of the first pixel
  int64_t firstTapY, firstTapX; ///< the first tap's position in the kernel
};

struct PixelPass {
  llvm::SmallVector<ConvPhase> phases;
  int64_t sourceChannels, sourceHeight, sourceWidth;
  int64_t resultChannels, resultHeight, resultWidth;
  int64_t lowY, lowX;                 ///< padding before the source's first row and column
  int64_t sourceStepY, sourceStepX;   ///< step in the source between neighbouring result pixels of a phase
  int64_t resultStepY, resultStepX;   ///< step in the result between neighbouring result pixels of a phase
  int64_t tapStepY, tapStepX;         ///< step in the kernel between neighbouring taps (negative: flipped)
  int64_t weightOutput, weightSource; ///< strides of the weights along the result's and the source's channels
  int64_t spanY, spanX;               ///< size of the padded source region that one result pixel reads

  int64_t phaseRows() const; ///< the most rows of a phase
  int64_t paddedRows(int64_t rows) const { return (rows - 1) * sourceStepY + spanY; }
  int64_t paddedWidth() const;
  /// Whether no padding is needed, so that pixels can be read from the image without a copy.
  bool unpadded() const;

  static PixelPass forward(const ConvShape &shape);
  static PixelPass inputGradient(const ConvShape &shape);
};

} // namespace moe::kernels
