// Convolutions 3x3 of stride 1 by minimal filtering, F(2x2, 3x3) (Winograd; Lavin and Gray, "Fast Algorithms
// for Convolutional Neural Networks", 2016, section 4.1): a 2x2 square of results is made of 16 products of a
// channel where the sum has 36. Squares of all images stand in one row; a unit takes some of them, transforms
// the 4x4 pixels under each, multiplies the 16 transformed matrices by the 16 of the weights on the register
// tile, and transforms back. The weight gradient is the transposed algorithm. All three need channels
// innermost and whole vectors of them. Here are the choice and what both emitters share.
#pragma once
#include "passes/cpu/ConvEmitter.h"

namespace moe::cpu {

/// Places of a transformed square.
constexpr int kWinogradPlaces = 16;

/// Steps of a sum over channels before it is added to the total. Transforming back takes sums that cancel,
/// which makes the sums' rounding error sqrt(25/9) as large: shorter chains than elsewhere make up for it.
constexpr int64_t kWinogradChain = 16;

/// A row of four vectors.
using WinogradRow = std::array<mlir::Value, 4>;

/// The one-dimensional transforms: of 4 pixels (B^T d), of 2 pixels of the result's gradient (A dy, in
/// the first two; the transpose of what transforms back), of 3 weights (G g, in the first three), from 4
/// places to 2 results (A^T m), and to 3 weights' gradients (G^T m).
WinogradRow winogradPixels(MicroCode &code, const WinogradRow &d);
WinogradRow winogradGradient(MicroCode &code, const WinogradRow &dy);
WinogradRow winogradWeights(MicroCode &code, const WinogradRow &g);
WinogradRow winogradResults(MicroCode &code, const WinogradRow &m);
WinogradRow winogradWeightGradient(MicroCode &code, const WinogradRow &m);

/// A square of `from` x `from` vectors through a transform to `to`, first along the columns, then along the
/// rows. `store(place, value)` takes the results, row by row.
void emitWinogradSquare(MicroCode &code, int from, int to,
                        llvm::function_ref<WinogradRow(MicroCode &, const WinogradRow &)> transform,
                        llvm::function_ref<mlir::Value(int row, int column)> load,
                        llvm::function_ref<void(int row, int column, mlir::Value)> store);

/// Squares of a map of height x width pixels, those that stick out included.
struct WinogradGrid {
  int64_t rows, columns;
  WinogradGrid(int64_t height, int64_t width) : rows((height + 1) / 2), columns((width + 1) / 2) {}
  int64_t count() const { return rows * columns; }
  struct Place {
    Ix image, row, column; ///< row and column of the square; pixel 2 * row, 2 * column
  };
  Place at(MicroCode &code, Ix square) const;
};

/// Transforms the `size` x `size` pixels from (top, left) of an image into the 16 places of a square:
/// place p's `channels` vectors at target + offset + p * placeStride. Pixels outside are zero; `zeros` is a
/// run of as many zeros as there are channels.
struct WinogradSource {
  ConvImage image;
  Ix top, left;
  int size;
  bool inside; ///< squares are known to lie inside
  mlir::Value zeros;
};
void emitWinogradSource(MicroCode &code, const WinogradSource &source,
                        llvm::function_ref<WinogradRow(MicroCode &, const WinogradRow &)> transform,
                        mlir::Value target, Ix offset, int64_t placeStride);

/// Whether the group's convolution pays this way: it is 3x3 of stride 1, of whole vectors of channels that lie
/// innermost, and neither so thin nor so small that transforming costs what it saves.
bool prefersWinograd(const ConvGroup &group, const CpuTarget &target);

/// As emitPixelPass and emitWeightGradient.
GroupCode emitWinogradPass(const ConvGroup &group, const PixelPass &pass, const ConvOperand &image,
                           const ConvOperand &weights, KernelModule &module);
GroupCode emitWinogradWeightGradient(const ConvGroup &group, KernelModule &module);

} // namespace moe::cpu
