// The register tile that every contraction and convolution is made of: rows x (vectors * lanes) accumulators,
// summed over a nest of loops in which a row's element of A is broadcast and multiplied with consecutive
// vectors of a panel of B. Rows of A are arbitrary offsets, so a row may be a matrix row, a column of a
// packed strip, or a pixel's window in a padded image. The tile's shape follows from loads per FMA: 6 x 64
// with AVX-512 (10 loads for 24 FMAs), 6 x 16 with AVX2, whose 16 registers allow no more.
#pragma once
#include "passes/cpu/MicroCode.h"

namespace moe::cpu {

/// Steps of the innermost loop that one turn takes: enough to hide the loop's own instructions.
constexpr int64_t kMicroUnroll = 4;

/// About how many steps are summed one after another before they are added to the total: that costs as much
/// as about three steps.
constexpr int64_t kMicroChain = 192;

struct Tile {
  int rows;
  int vectors;
};

/// The tile for `width` columns (0: unknown or large): as few panels as possible, all of one width, and the
/// more rows the fewer vectors a row has.
Tile chooseTile(int lanes, int registers, int64_t width);

struct Reduction {
  Ix count;
  Ix aStep;             ///< offset of A from one step to the next
  Ix bStep;             ///< the same of B
  int64_t multiple = 1; ///< what the count is known to be a multiple of
};

struct MicroOperands {
  mlir::Value a;
  llvm::SmallVector<Ix> rows; ///< offset in `a` of each row's first element
  mlir::Value b;
  Ix panel; ///< offset in `b` of the panel's first element
};

/// Sums over the nest, outermost first, in that order, and returns the accumulators, row by row. The
/// innermost loop is unrolled. `ahead(i)`, where given, is the place to fetch what comes next: it is emitted
/// at the head of each turn of the outermost loop; a nest of one loop runs in as many sections as the tile
/// has rows, and i is the section. `unroll` is the number of steps of a turn, `chain` about how many are
/// summed before they are added to the total.
Values emitMicroKernel(MicroCode &code, Tile tile, const MicroOperands &operands,
                       llvm::ArrayRef<Reduction> nest, llvm::function_ref<void(Ix)> ahead = {},
                       int64_t unroll = kMicroUnroll, int64_t chain = kMicroChain);

} // namespace moe::cpu
