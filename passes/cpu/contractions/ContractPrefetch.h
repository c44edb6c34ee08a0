// What a contraction's tile fetches into the caches while it runs: what the next tile, panel or chunk of the
// sum will read from far away. A tile runs in as many sections as it has rows, and each fetches a share, in
// streams (FetchStream in MicroKernel.h). Only speed depends on it: an
// address may lie beyond a matrix.
#pragma once
#include "passes/cpu/contractions/ContractPlan.h"

namespace moe::cpu {

/// Where a section of a tile stands, in the loops of a block.
struct FetchPlace {
  Ix turn;                 ///< rows of the block before this section
  Ix rowBegin, rows;       ///< the block's first row and their number
  Ix panel;                ///< the panel in use
  Ix panelBegin, panelEnd; ///< those of the unit
  Ix nextBegin;            ///< the first one to be packed after the block's
  Ix sumAt;                ///< the first step of the chunk in use
  Ix aBatch, bBatch;       ///< offsets of the batch's matrices
};

class ContractFetch {
public:
  ContractFetch(MicroCode &code, const ContractForm &form, const ContractPlan &plan, mlir::Value a,
                mlir::Value b);

  /// The next tile's rows of A, which are read as they lie; `row` is the offset of the first element of the
  /// one that this section fetches.
  FetchStream nextRows(Ix row, const FetchPlace &place) const;
  /// A row of a tile's results, width elements from `offset` on.
  FetchStream results(mlir::Value target, Ix offset) const;
  /// What a unit packs its whole group of panels from for the next chunk of the sum, or for the next unit,
  /// which begins with the first chunk again.
  std::optional<FetchStream> nextChunk(const FetchPlace &place) const;
  /// What the next panel is packed from, where a unit packs one at a time.
  std::optional<FetchStream> nextPanel(const FetchPlace &place) const;
  /// What the next chunk's strips of A are packed from.
  std::optional<FetchStream> nextStrips(const FetchPlace &place) const;

private:
  MicroCode &code;
  const ContractForm &form;
  const ContractPlan &plan;
  mlir::Value a, b;
  int64_t width; ///< columns of a panel
};

} // namespace moe::cpu
