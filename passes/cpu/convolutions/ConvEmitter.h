// The emitters of the three directions of a convolution (forward, input gradient, weight gradient).
// ConvEmitter.cpp chooses between them. The group gives the operands' layouts. Tiles read pixels with
// channels innermost (NHWC); for other layouts, the copy that adds padding also reorders the axes.
#pragma once
#include "passes/cpu/micro/MicroEpilogue.h"
#include "passes/cpu/micro/MicroKernel.h"
#include "passes/kernels/ConvShape.h"

namespace moe::cpu {

/// An operand of the group: its buffer, its strides along the four logical axes, and its number of elements.
struct ConvOperand {
  BufferRef ref;
  llvm::SmallVector<flow::Extent> strides;
  flow::Extent elements;
};

/// The most memory of all parts of a weight gradient, in floats.
constexpr int64_t kPartFloats = int64_t(1) << 22;

struct ConvGroup {
  mlir::Operation *op;
  MicroEpilogue epilogue;
  ConvShape shape;
  ConvOperand first, second; ///< the op's operands
};

/// Forward and input gradient: computes the group's results from `image` and `weights`.
GroupCode emitPixelPass(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
                        const ConvOperand &weights, KernelModule &module);
GroupCode emitWeightGradient(const ConvGroup &group, KernelModule &module);

/// An image in memory, with its strides along channels, rows and pixels.
struct ConvImage {
  mlir::Value pointer;
  Ix origin; ///< the batch's offset included
  Ix channelStride, rowStride, pixelStride;
  int64_t channels, height, width;
};

/// Copies `rows` rows of `width` pixels, with the image's channels innermost, to `target`. Its row 0 is the
/// image's row `top`, which may be negative, and its pixel 0 the image's pixel -left. Pixels outside the
/// image are zero.
void emitPaddedCopy(MicroCode &code, const ConvImage &image, Ix top, int64_t left, Ix rows, int64_t width,
                    mlir::Value target);

/// Sets `count` elements to zero.
void emitZero(MicroCode &code, mlir::Value target, Ix offset, Ix count);

} // namespace moe::cpu
