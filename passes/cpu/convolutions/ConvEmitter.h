// The emitters of the three directions of a convolution; emitConvGroup (code/KernelBuilder.h) chooses. Physical
// layouts come from the group; tiles want channels innermost (NHWC), other orders are brought to it by the
// copy that pads.
#pragma once
#include "passes/cpu/micro/MicroEpilogue.h"
#include "passes/cpu/micro/MicroKernel.h"
#include "passes/kernels/ConvShape.h"

namespace moe::cpu {

/// An operand of the group: which, how its elements lie along its four logical axes, and how many there are.
struct ConvOperand {
  BufferRef ref;
  llvm::SmallVector<flow::Extent> strides;
  flow::Extent elements;
};

/// Floats that the parts of a weight gradient may take together.
constexpr int64_t kPartFloats = int64_t(1) << 22;

struct ConvGroup {
  mlir::Operation *op;
  MicroEpilogue epilogue;
  ConvShape shape;
  ConvOperand first, second; ///< the op's operands
};

/// Forward and input gradient: `image` is convolved by `weights` into the group's results.
GroupCode emitPixelPass(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
                        const ConvOperand &weights, KernelModule &module);
GroupCode emitWeightGradient(const ConvGroup &group, KernelModule &module);

/// An image in memory, with a channel's, row's and pixel's distance.
struct ConvImage {
  mlir::Value pointer;
  Ix origin; ///< the batch's offset included
  Ix channelStride, rowStride, pixelStride;
  int64_t channels, height, width;
};

/// Fills `rows` rows of `width` pixels by the image's channels at `target`, of which row 0 is the image's row
/// `top` (it may be negative) and pixel 0 the image's pixel -left. What lies outside is zero.
void emitPaddedCopy(MicroCode &code, const ConvImage &image, Ix top, int64_t left, Ix rows, int64_t width,
                    mlir::Value target);

/// Sets `count` elements to zero.
void emitZero(MicroCode &code, mlir::Value target, Ix offset, Ix count);

} // namespace moe::cpu
