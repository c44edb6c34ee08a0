// The product of a contraction: the kernel that does its work. A unit is a block of rows by a group of
// panels, of one matrix of the batch and one part of the sum. It takes the sum in chunks; for each it packs
// what the plan says (its rows of A into strips, its panels of B) and runs the tiles: the panels outside
// where it packs them one at a time (a panel is used for all rows while it is in the first-level cache), else
// inside.
#pragma once
#include "passes/cpu/ContractFetch.h"
#include "passes/cpu/ContractResults.h"

namespace moe::cpu {

class ContractProduct : private ContractKernel {
public:
  ContractProduct(const ContractGroup &group, KernelModule &module);
  LaunchSpec emit();

private:
  /// Where a unit stands. All ranges are half-open.
  struct Unit : ContractPlace {
    Ix number, rowBlock;
    Ix rowBegin, rowEnd, panelBegin, panelEnd, sumBegin, sumEnd;
    Ix nextPanel;      ///< the first panel of the unit that follows
    Ix aBatch, bBatch; ///< offsets of the batch's matrices
    Ix packedBatch;    ///< the number of B's packed matrix, along the batch axes that B has
  };
  /// Steps [begin, begin + depth) of a unit's sum.
  struct Chunk {
    Ix begin, depth;
    mlir::Value first, last; ///< conditions; null where every unit has one chunk
    bool isOnly() const { return !first; }
  };
  /// A tile: its first row and column, and the panel that the column begins.
  struct TileAt {
    Ix row, panel, column;
  };

  Unit unitAt(Ix number);
  Chunk chunkAt(const Unit &unit, Ix begin);
  void emitChunk(const Unit &unit, const Chunk &chunk);

  /// The offset of a step of the sum in A.
  Ix stepOfA(const Unit &unit, Ix step) { return code.add(unit.aBatch, offset(form.sums, step, 0)); }
  Ix lastRow() { return code.sub(rows, 1); }
  void packStrips(const Unit &unit, const Chunk &chunk);
  void copyLastRows(const Unit &unit, const Chunk &chunk);
  /// Where a panel that the unit packs lies in its scratch.
  Ix panelPlace(const Unit &unit, const Chunk &chunk, Ix panel);
  void packPanel(const Unit &unit, const Chunk &chunk, const PackSource &columns, Ix panel);
  void packGroup(const Unit &unit, const Chunk &chunk, const PackSource &columns);

  void emitTile(const Unit &unit, const Chunk &chunk, Ix row, Ix panel);
  void readRows(MicroOperands &operands, const Unit &unit, const Chunk &chunk, Ix row);
  void readPanel(MicroOperands &operands, const Unit &unit, const Chunk &chunk, Ix panel);
  /// What section i of a tile fetches: row i of where the result goes, and its share of what comes after the
  /// tile.
  llvm::SmallVector<FetchStream> streams(const Unit &unit, const Chunk &chunk, const TileAt &tile,
                                         Ix section);

  const bool ahead, byPanel, byGroup; ///< who packs B, see ContractPlan::Packing
  const int width;                    ///< columns of a panel
  mlir::Value a, b;
  ContractResults results;
  ContractFetch fetch;
  /// Scratch: the block's strips of A where it is packed, and the unit's panels of B.
  mlir::Value strips, panelScratch;
  Ix rows, sums, panels, rowBlocks, panelGroups;
  /// The distance of A's rows where they are read as they lie, at one known distance: they need one address
  /// in the innermost loop then, not one each. The rows of a last tile that is not whole are copied to
  /// `lastRows`, so that they are at that distance too.
  std::optional<int64_t> rowStride;
  Ix wholeRows; ///< rows of the tiles that are whole
  mlir::Value lastRows;
};

} // namespace moe::cpu
