// The register tile that every contraction and convolution is made of: rows x (vectors * lanes) accumulators,
// summed over a nest of loops in which a row's element of A is broadcast and multiplied with consecutive
// vectors of a panel of B. Rows of A are arbitrary offsets, so a row may be a matrix row, a column of a
// packed strip, or a pixel's window in a padded image. The tile's shape follows from loads per FMA: 6 x 64
// with AVX-512 (10 loads for 24 FMAs), 6 x 16 with AVX2, whose 16 registers allow no more.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include <functional>

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

/// Lines to fetch while a section of the sum runs, `distance` elements apart. They go to the first-level
/// cache: fetching into the second was slower by a tenth where it was tried, even for what is used much
/// later.
struct FetchStream {
  mlir::Value pointer;
  Ix offset;
  int64_t lines, distance = 16;
  bool write = false;
};

/// Fewer lines than this are fetched at the head of their section; others one by one with the turns of the
/// loop: together they would take all the misses that a core can wait for, which the panel needs too. Three
/// such streams leave enough registers for the rows' addresses. As addresses advance evenly, their lines lie
/// side by side or are as many as a section has turns.
constexpr int64_t kFetchBurst = 4;

struct MicroOperands {
  mlir::Value a;
  llvm::SmallVector<Ix> rows; ///< offset in `a` of each row's first element
  mlir::Value b;
  Ix panel; ///< offset in `b` of the panel's first element
  /// How many steps ahead the innermost loop fetches the panel into the first-level cache, beyond its end
  /// too, where the next one is expected to lie; 0: not at all. The distance between steps must be known.
  int64_t fetchAhead = 0;
  /// What a section fetches meanwhile, for a nest of one loop; may be null.
  std::function<llvm::SmallVector<FetchStream>(Ix section)> streams = {};
  int64_t usualCount = 0; ///< the nest's steps as a rule, by which streams are dealt out
};

/// Sums over the nest, outermost first, in that order, and returns the accumulators, row by row. The
/// innermost loop is unrolled. A nest of one loop whose operands have streams runs in as many sections as the
/// tile has rows. `ahead(i)`, where given, is the place to fetch what comes next: it is emitted at the head
/// of each turn of the outermost loop, or of each section. `unroll` is the number of steps of a turn, `chain`
/// about how many are summed before they are added to the total.
Values emitMicroKernel(MicroCode &code, Tile tile, const MicroOperands &operands,
                       llvm::ArrayRef<Reduction> nest, llvm::function_ref<void(Ix)> ahead = {},
                       int64_t unroll = kMicroUnroll, int64_t chain = kMicroChain);

/// The tile's sums with those added that wait in memory since an earlier visit, unless `first` holds: then
/// there are none. `waiting` loads those of one vector.
Values addWaiting(MicroCode &code, Tile tile, const Values &sums, mlir::Value first,
                  llvm::function_ref<mlir::Value(int row, int vector)> waiting);

} // namespace moe::cpu
