// How a contraction is computed: the sizes of blocks, which operands are packed and when, and how the work is
// cut into units. The blocking is that of Goto and van de Geijn ("Anatomy of High-Performance Matrix
// Multiplication", 2008): panels of B and strips of A are packed so that they stay in the caches while a
// register tile passes over them. The plan follows from the shape and the target, never from the number of
// threads, so sums are always formed in the same order.
#pragma once
#include "passes/cpu/micro/MicroKernel.h"
#include "passes/kernels/ContractForm.h"

namespace moe::cpu {

struct ContractPlan {
  Tile tile;
  /// The rows of a work unit, and the most rows of neighbouring units that a thread processes together as one
  /// block. Both are multiples of the tile's rows.
  int64_t unitRows = 0, rowBlock = 0;
  /// The most units that a thread claims at once.
  int64_t grain = 1;
  /// The number of panels of a unit, its group of panels; 0: all.
  int64_t panelGroup = 0;
  /// The steps of the sum in a chunk. Between chunks, the partial sums are in memory.
  int64_t depth = 0;
  /// When B's panels are packed: ahead, by a launch of their own; group, by the product, a whole group of
  /// panels for a chunk of the sum and a block of rows; or panel, by the product, each panel just before it
  /// is used.
  enum class Packing { ahead, group, panel } packing = Packing::ahead;
  /// A's rows are read in place; otherwise a block of A is packed into strips of a tile's rows.
  bool directRows = true;
  /// Where no rows are packed though the steps of the sum are not adjacent: the distance of two steps. A strip would serve one tile.
  std::optional<int64_t> stepStride;
  bool packsStrips() const { return !directRows && !stepStride; }
  /// The contraction is so small that compact code matters more than speed.
  bool small = false;
  /// If more than 1, the sum is cut into at most this many parts, which different units compute; a second
  /// kernel adds their results in order. `partDepth` is the number of steps of a part, `parts` the number of
  /// parts.
  int64_t maxParts = 1;
  /// The product writes its sums to a temporary, because there are parts, or because no output can hold
  /// partial sums.
  bool viaParts = false;
  flow::Extent partDepth, parts;

  flow::Extent rowUnits, panels, panelGroups, units;
  int64_t width(int lanes) const { return int64_t(tile.vectors) * lanes; }

  static ContractPlan of(const ContractForm &form, const Epilogue &epilogue, const CpuTarget &target);
};

} // namespace moe::cpu
