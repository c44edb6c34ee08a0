// Software prefetching of a contraction: while a tile runs, it prefetches memory that will be read soon
// afterwards, for the next tile, panel or chunk of the sum. A tile runs in as many sections as it has rows,
// and the cache lines to prefetch are distributed over these sections, as streams (PrefetchStream in
// MicroKernel.h). Prefetching affects speed only, so an address may lie beyond a matrix.
#pragma once
#include "passes/cpu/contractions/ContractPlan.h"

namespace moe::cpu {

/// The position of a section of a tile in the loops of a block.
struct PrefetchPlace {
  Ix turn;                 ///< rows of the block before this section
  Ix rowBegin, rows;       ///< the block's first row and their number
  Ix panel;                ///< the panel in use
  Ix panelBegin, panelEnd; ///< the work unit's panels
  Ix nextBegin;            ///< the first panel that is packed after this block
  Ix sumAt;                ///< the first step of the chunk in use
  Ix aBatch, bBatch;       ///< offsets of this batch index's matrices
};

class ContractPrefetch {
public:
  ContractPrefetch(MicroCode &code, const ContractForm &form, const ContractPlan &plan, mlir::Value a,
                   mlir::Value b);

  /// The next tile's rows of A, when A is not packed. `row` is the offset of the first element of the row
  /// that this section prefetches.
  PrefetchStream nextRows(Ix row, const PrefetchPlace &place) const;
  /// The memory that a row of the tile's results is stored to: `width` elements from `offset` on.
  PrefetchStream results(mlir::Value target, Ix offset) const;
  /// The part of B that the unit packs next into its group of panels: for the next chunk of the sum, or for
  /// the next unit, which begins with the first chunk again.
  std::optional<PrefetchStream> nextChunk(const PrefetchPlace &place) const;
  /// The part of B that the next panel is packed from, when a unit packs one panel at a time.
  std::optional<PrefetchStream> nextPanel(const PrefetchPlace &place) const;
  /// The part of A that the next chunk's strips are packed from.
  std::optional<PrefetchStream> nextStrips(const PrefetchPlace &place) const;

private:
  MicroCode &code;
  const ContractForm &form;
  const ContractPlan &plan;
  mlir::Value a, b;
  int64_t width; ///< columns of a panel
};

} // namespace moe::cpu
