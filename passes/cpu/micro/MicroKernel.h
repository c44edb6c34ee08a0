// The micro-kernel of all contractions and convolutions: a register tile of rows x (vectors * lanes)
// accumulators. In each step of the sum, an element of A from each row is broadcast and multiplied by
// consecutive vectors of a panel of B. Each row of A has an offset of its own, so a row may be a matrix row,
// a column of a packed strip, or a pixel's window in a padded image. The tile's shape is chosen for few loads
// per FMA: 6 x 64 with AVX-512 (10 loads for 24 FMAs), and 6 x 16 with AVX2, whose 16 registers allow no
// more.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include <functional>

namespace moe::cpu {

/// How often the innermost loop is unrolled, to hide the loop's own instructions.
constexpr int64_t kMicroUnroll = 4;

/// The approximate length of a chain: the steps that are summed before the result is added to the total,
/// which costs about as much as three steps. Shorter chains have less rounding error.
constexpr int64_t kMicroChain = 192;

struct Tile {
  int rows;
  int vectors;
};

/// The tile for `width` columns (0: unknown or large). It gives the fewest panels of equal width; the fewer
/// vectors a row has, the more rows the tile has.
Tile chooseTile(int lanes, int registers, int64_t width);

struct Reduction {
  Ix count;
  Ix aStep;             ///< stride of A between steps
  Ix bStep;             ///< stride of B between steps
  int64_t multiple = 1; ///< a known divisor of the count
};

/// Cache lines to prefetch while a section of the sum runs, `distance` elements apart. They go to the
/// first-level cache: prefetching into the second-level cache was measured to be a tenth slower, even for
/// lines that are used much later.
struct PrefetchStream {
  mlir::Value pointer;
  Ix offset;
  int64_t lines, distance = 16;
  bool write = false;
};

/// A stream of fewer lines than this is prefetched at the beginning of its section. A longer stream is spread
/// over the iterations of the section's loop: at once, its lines would occupy all the cache misses that a
/// core can have in flight, which the panel needs too. Three such streams leave enough registers for the
/// rows' addresses. Since the address advances evenly, the lines of such a stream are adjacent, or as many as
/// the section has iterations.
constexpr int64_t kPrefetchBurst = 4;

struct MicroOperands {
  mlir::Value a;
  llvm::SmallVector<Ix> rows; ///< offset in `a` of each row's first element
  mlir::Value b;
  Ix panel; ///< offset in `b` of the panel's first element
  /// How many steps ahead the innermost loop prefetches the panel into the first-level cache; 0: not at all.
  /// It also prefetches beyond the panel's end, where the next panel is expected. The stride between steps
  /// must be known.
  int64_t prefetchAhead = 0;
  /// What a section prefetches, for a nest of one loop; may be null.
  std::function<llvm::SmallVector<PrefetchStream>(Ix section)> streams = {};
  int64_t expectedCount = 0; ///< the usual number of the nest's steps, over which streams are distributed
};

/// Emits the sum over the nest's loops, outermost first, and returns the accumulators, row by row. The
/// innermost loop is unrolled. A nest of one loop whose operands have streams runs in as many sections as the
/// tile has rows. `ahead(i)`, if given, emits prefetches: it is called at the beginning of each iteration of
/// the outermost loop, or of each section. `unroll` and `chain` replace kMicroUnroll and kMicroChain.
Values emitMicroKernel(MicroCode &code, Tile tile, const MicroOperands &operands,
                       llvm::ArrayRef<Reduction> nest, llvm::function_ref<void(Ix)> ahead = {},
                       int64_t unroll = kMicroUnroll, int64_t chain = kMicroChain);

/// Adds the partial sums of earlier chunks to the tile's sums, unless `first` holds: then there are none yet.
/// `load` loads one vector of them.
Values addPartialSums(MicroCode &code, Tile tile, const Values &sums, mlir::Value first,
                      llvm::function_ref<mlir::Value(int row, int vector)> load);

} // namespace moe::cpu
