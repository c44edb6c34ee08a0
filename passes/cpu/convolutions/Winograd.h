// Convolutions 3x3 by minimal filtering (Winograd; Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2016): a square of results is made of fewer products of a channel than its sum has terms. Stride
// 1 is F(2x2, 3x3), 16 products for 36 terms. Stride 2 falls into a filter of the odd pixels, of two taps,
// which F(2, 2) makes of 3 products for 4, and one of the even ones, of one tap: 25 products for 36 terms.
// Squares of all images stand in one row; a unit takes some of them, transforms the pixels under each to the
// algorithm's places, multiplies the places' matrices by those of the weights on the register tile, adds up
// places that belong to one sum, and transforms the sums back. The weight gradient is the transposed
// algorithm. Here are the algorithms, the choice, and what both emitters share.
#pragma once
#include "passes/cpu/convolutions/ConvEmitter.h"

namespace moe::cpu {

/// Steps of a sum over channels before it is added to the total. Transforming back takes sums that cancel,
/// which makes the sums' rounding error sqrt(25/9) as large: shorter chains than elsewhere make up for it.
constexpr int64_t kWinogradChain = 16;

/// One axis of an algorithm; both axes are alike.
struct WinogradAxis {
  using Transform = Values (*)(MicroCode &, llvm::ArrayRef<mlir::Value>);
  int results; ///< pixels of the result in a square
  int pixels;  ///< pixels of the source under it
  int step;    ///< pixels of the source from a square to the next
  int first;   ///< pixel of the source under the first square's beginning; may be negative
  /// The places that each sum adds up, one or two.
  llvm::SmallVector<llvm::SmallVector<int, 2>> sums;
  Transform fromPixels;   ///< pixels to places
  Transform fromWeights;  ///< 3 taps to places; null for a weight gradient
  Transform fromGradient; ///< 2 pixels of the result's gradient to places; for a weight gradient
  Transform toResults;    ///< sums to pixels of the result, or to the 3 taps' gradients
};

/// A sum of the two-dimensional algorithm, and where its places stand among all: `before` places of other
/// sums, then `places` of its own.
struct WinogradSum {
  int64_t before, places;
};

struct WinogradAlgorithm {
  WinogradAxis y, x;
  llvm::SmallVector<WinogradSum> sums; ///< by y.sums.size() rows of x.sums.size()
  int64_t places = 0;
  bool single = true; ///< every sum is of one place
  WinogradAlgorithm(WinogradAxis y, WinogradAxis x);

  /// The sum that a place belongs to, and its number in it.
  std::pair<int64_t, int64_t> whereIs(int placeY, int placeX) const;
  /// A number by sum, for a sum that is only known when the kernel runs.
  Ix ofSum(MicroCode &code, Ix sum, llvm::function_ref<int64_t(int64_t)> value) const;

  static WinogradAlgorithm forward(const ConvShape &shape);
  static WinogradAlgorithm inputGradient(const ConvShape &shape);
  static WinogradAlgorithm weightGradient(const ConvShape &shape);
};

/// A square of vectors through a transform, first along the columns, then along the rows.
void emitWinogradSquare(MicroCode &code, int size, WinogradAxis::Transform columns,
                        WinogradAxis::Transform rows,
                        llvm::function_ref<mlir::Value(int row, int column)> load,
                        llvm::function_ref<void(int row, int column, mlir::Value)> store);

/// Squares of `results` pixels a side that cover a map of height x width; those that stick out included.
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

/// The `size` x `size` pixels from (top, left) of an image, transformed vector by vector of their channels.
/// Pixels outside are zero; `zeros` is a run of as many zeros as there are channels.
struct WinogradSource {
  ConvImage image;
  Ix top, left;
  int size;
  bool inside; ///< squares are known to lie inside
  mlir::Value zeros;
};
void emitWinogradSource(MicroCode &code, const WinogradSource &source, WinogradAxis::Transform columns,
                        WinogradAxis::Transform rows,
                        llvm::function_ref<void(int placeY, int placeX, Ix channel, mlir::Value)> store);

/// Whether the group's convolution pays this way: it is 3x3 of stride 1 or 2, of whole vectors of channels
/// that lie innermost, and neither so thin nor so small that transforming costs what it saves.
bool prefersWinograd(const ConvGroup &group, const CpuTarget &target);

/// As emitPixelPass and emitWeightGradient.
GroupCode emitWinogradPass(const ConvGroup &group, KernelModule &module);
GroupCode emitWinogradWeightGradient(const ConvGroup &group, KernelModule &module);

} // namespace moe::cpu
