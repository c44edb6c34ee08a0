// How a contraction runs: block sizes, what is packed where, and how its work is cut into units. All of it
// follows from the shape and the target, never from the number of threads, so that sums are formed in one
// order everywhere.
#pragma once
#include "passes/cpu/micro/MicroKernel.h"
#include "passes/kernels/ContractForm.h"

namespace moe::cpu {

struct ContractPlan {
  Tile tile;
  /// Rows of a unit, and the most that are taken together where a thread has neighbours of one group: both
  /// multiples of the tile's.
  int64_t unitRows = 0, rowBlock = 0;
  /// Units that a thread claims at once where there are enough for all.
  int64_t grain = 1;
  /// Panels of columns of a unit, a group; 0: all.
  int64_t panelGroup = 0;
  /// Steps of the sum between visits to the accumulators' memory.
  int64_t depth = 0;
  /// Who packs B's panels: a launch of their own, ahead; the product, a group of them for a chunk of the sum
  /// and a block of rows; or the product, the one panel that it is about to use.
  enum class Packing { ahead, group, panel } packing = Packing::ahead;
  /// A's rows are read as they lie; otherwise a block is packed into strips of a tile's rows.
  bool directRows = true;
  /// So little work that compact code counts for more than speed.
  bool small = false;
  /// More than 1: the sum is cut into up to so many parts, each with a result of its own, which are then
  /// added in order. `partDepth` is the sum's length in one part, `parts` their number.
  int64_t mostParts = 1;
  /// Sums go to memory of their own first: there are parts, or no output can hold what is not complete yet.
  bool viaParts = false;
  flow::Extent partDepth, parts;

  flow::Extent rowUnits, panels, panelGroups, units;
  int64_t width(int lanes) const { return int64_t(tile.vectors) * lanes; }

  static ContractPlan of(const ContractForm &form, const Epilogue &epilogue, const CpuTarget &target);
};

} // namespace moe::cpu
