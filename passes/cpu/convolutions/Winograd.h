// 3x3 convolutions by Winograd's minimal filtering algorithms (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016), which need fewer products than the direct sum. This header has the
// algorithms, the decision where they are used, and what both emitters (WinogradPixels.cpp,
// WinogradWeights.cpp) share.
//   - A square is what the paper calls a tile: a few neighbouring result pixels, 2 x 2 or 4 x 4, and the
//     source pixels that they depend on. ("Tile" is the register tile here.) The squares of all images are
//     numbered consecutively.
//   - A place is a position in the transformed square. At each place, the transformed pixels and weights are
//     matrices over squares and channels, and the algorithm multiplies them.
// Forward, for a block of squares:
//   1. Transform the source pixels of each square. The weights were transformed by a launch before.
//   2. At each place, multiply the matrices of pixels and weights by the micro-kernel, and add up the
//      products of places that belong to one sum.
//   3. Transform the sums to result pixels.
// The input gradient is a convolution of the same form; the weight gradient is the transposed algorithm.
// Stride 1 is F(2x2, 3x3): 16 products in the place of 36. For stride 2, each axis is split into two filters:
// one of two taps on every second pixel, by F(2, 2) with 3 products in the place of 4, and one of a single
// tap on the pixels between. In two dimensions this takes 25 products in the place of 36.
#pragma once
#include "passes/cpu/convolutions/ConvEmitter.h"

namespace moe::cpu {

/// The length of a chain (kMicroChain) of a sum over channels. In the transform of sums to results, terms
/// cancel, which multiplies the rounding error by sqrt(25/9); chains are shorter than elsewhere to make up
/// for it.
constexpr int64_t kWinogradChain = 16;

/// A one-dimensional algorithm, for one axis of the image.
struct WinogradAxis {
  using Transform = Values (*)(MicroCode &, llvm::ArrayRef<mlir::Value>);
  int results; ///< result pixels of a square
  int pixels;  ///< source pixels of a square
  int step;    ///< source pixels from the beginning of a square to that of the next
  int first;   ///< the source pixel where the first square begins; may be negative
  /// The places that are added up to each sum, one or two.
  llvm::SmallVector<llvm::SmallVector<int, 2>> sums;
  Transform fromPixels;   ///< from source pixels to places
  Transform fromWeights;  ///< from 3 taps to places; null for a weight gradient
  Transform fromGradient; ///< from 2 pixels of the result's gradient to places; for a weight gradient
  Transform toResults;    ///< from sums to result pixels, or to the gradients of the 3 taps
};

/// A sum of the two-dimensional algorithm. In the order of all places by their sums, the sum's own `places`
/// come after `before` places of other sums.
struct WinogradSum {
  int64_t before, places;
};

struct WinogradAlgorithm {
  WinogradAxis y, x;
  llvm::SmallVector<WinogradSum> sums; ///< y.sums.size() rows of x.sums.size() sums
  int64_t places = 0;
  bool single = true; ///< every sum has one place
  WinogradAlgorithm(WinogradAxis y, WinogradAxis x);

  /// The sum that a place belongs to, and its number in it.
  std::pair<int64_t, int64_t> whereIs(int placeY, int placeX) const;
  /// value(sum), for a sum whose number is only known when the kernel runs.
  Ix ofSum(MicroCode &code, Ix sum, llvm::function_ref<int64_t(int64_t)> value) const;

  static WinogradAlgorithm forward(const ConvShape &shape);
  static WinogradAlgorithm inputGradient(const ConvShape &shape);
  static WinogradAlgorithm weightGradient(const ConvShape &shape);
};

/// Transforms a square of vectors, first along its columns, then along its rows.
void emitWinogradSquare(MicroCode &code, int size, WinogradAxis::Transform columns,
                        WinogradAxis::Transform rows,
                        llvm::function_ref<mlir::Value(int row, int column)> load,
                        llvm::function_ref<void(int row, int column, mlir::Value)> store);

/// The squares, of `results` x `results` pixels, that cover a map of height x width; the last ones may reach
/// beyond it.
struct WinogradGrid {
  int64_t results, height, width, rows, columns;
  WinogradGrid(int64_t results, int64_t height, int64_t width)
      : results(results), height(height), width(width), rows((height + results - 1) / results),
        columns((width + results - 1) / results) {}
  int64_t count() const { return rows * columns; }
  int64_t covered() const { return count() * results * results; }
  struct Place {
    Ix image, row, column; ///< row and column of the square
  };
  Place at(MicroCode &code, Ix square) const;
};

/// The source pixels of a square, `size` x `size` from (top, left) on. Pixels outside the image are zero;
/// `zeros` points to as many zeros as there are channels.
struct WinogradSource {
  ConvImage image;
  Ix top, left;
  int size;
  bool inside; ///< all squares are known to lie inside the image
  mlir::Value zeros;
};
/// Transforms a square's source pixels, one vector of channels at a time.
void emitWinogradSource(MicroCode &code, const WinogradSource &source, WinogradAxis::Transform columns,
                        WinogradAxis::Transform rows,
                        llvm::function_ref<void(int placeY, int placeX, Ix channel, mlir::Value)> store);

/// Whether minimal filtering is faster for the group's convolution: it is 3x3 of stride 1 or 2, its channels
/// are innermost and full vectors, and it has enough channels and pixels that the transforms cost less than
/// the products saved.
bool prefersWinograd(const ConvGroup &group, const CpuTarget &target);

/// The counterparts of emitPixelPass and emitWeightGradient.
GroupCode emitWinogradPass(const ConvGroup &group, KernelModule &module);
GroupCode emitWinogradWeightGradient(const ConvGroup &group, KernelModule &module);

} // namespace moe::cpu
