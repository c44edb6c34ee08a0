// A convolution's numbers, and its forward direction and input gradient as one thing: an image of pixels with
// channels is copied with its padding, and every output pixel sums a rectangle of taps by a contiguous run of
// channels. The input gradient of stride s is s * s such passes (phases), each over the output pixels of one
// residue, with the taps that meet it; forward is one phase.
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
  /// Operations of any of the three directions, as the sums are written: a product and an addition a term.
  flow::Extent flops() const { return batch * (2 * outHeight * outWidth * outputs * channels * taps()); }

  /// From the types of x, w and y, whichever are operands. Fails with a diagnostic where more than the batch
  /// is unknown.
  static mlir::FailureOr<ConvShape> of(mlir::Operation *op, mlir::Value x, mlir::Value w, mlir::Value y);
};

struct ConvPhase {
  int64_t rows, columns;    ///< pixels of the result in this phase
  int64_t resultY, resultX; ///< the first one; neighbours lie a PixelPass::resultStep apart
  int64_t tapsY, tapsX;
  int64_t sourceY, sourceX;     ///< in the padded source: the first tap of the first pixel
  int64_t firstTapY, firstTapX; ///< the kernel's tap that the first one is
};

struct PixelPass {
  llvm::SmallVector<ConvPhase> phases;
  int64_t sourceChannels, sourceHeight, sourceWidth;
  int64_t resultChannels, resultHeight, resultWidth;
  int64_t lowY, lowX;                 ///< padding before the source's first row and column
  int64_t sourceStepY, sourceStepX;   ///< in the source, from a pixel of the result to the next of its phase
  int64_t resultStepY, resultStepX;   ///< the same in the result
  int64_t tapStepY, tapStepX;         ///< from a tap to the next in the kernel (negative: flipped)
  int64_t weightOutput, weightSource; ///< in the weights, from a result's channel to the next, and a source's
  int64_t spanY, spanX;               ///< padded rows and columns that one pixel can reach, from its own

  int64_t phaseRows() const; ///< the most rows of a phase
  int64_t paddedRows(int64_t rows) const { return (rows - 1) * sourceStepY + spanY; }
  int64_t paddedWidth() const;
  /// No padding is needed: pixels can be read where they are.
  bool unpadded() const;

  static PixelPass forward(const ConvShape &shape);
  static PixelPass inputGradient(const ConvShape &shape);
};

} // namespace moe::kernels
