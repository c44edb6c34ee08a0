// The product of a contraction: the kernel that does its work. A unit is some rows by a group of panels, of
// one matrix of the batch and one part of the sum. Units that follow each other share what is packed, so the
// kernel takes all of its range that belong to one group together, in blocks of rows. For each it takes the
// sum in chunks, packs what the plan says (the block's rows of A into strips, the panels of B) and runs the
// tiles: the panels outside where it packs them one at a time (a panel is used for all rows while it is in
// the first-level cache), else inside.
#pragma once
#include "passes/cpu/contractions/ContractFetch.h"
#include "passes/cpu/contractions/ContractResults.h"

namespace moe::cpu {

class ContractProduct : private ContractKernel {
public:
  ContractProduct(const ContractGroup &group, KernelModule &module);
  LaunchSpec emit();

private:
  /// A block of rows, in which a run of neighbouring units of one group is taken. All ranges are half-open.
  struct Block : ContractPlace {
    Ix rowBegin, rowEnd, panelBegin, panelEnd, sumBegin, sumEnd;
    mlir::Value startsRun; ///< a condition: nothing of the group is packed yet
    Ix nextPanel;          ///< the first panel that is packed after this block
    Ix aBatch, bBatch;     ///< offsets of the batch's matrices
    Ix packedBatch;        ///< the number of B's packed matrix, along the batch axes that B has
  };
  /// Steps [begin, begin + depth) of a block's sum.
  struct Chunk {
    Ix begin, depth;
    mlir::Value first, last; ///< conditions; null where there is one chunk
    bool isOnly() const { return !first; }
  };
  /// A tile: its first row and column, and the panel that the column begins.
  struct TileAt {
    Ix row, panel, column;
  };

  /// The group of units, all rows of it, and the matrix and part that `number` counts.
  Block groupAt(Ix number);
  /// Takes the rows [begin, end) of the group.
  void emitRun(const Block &group, Ix begin, Ix end);
  Chunk chunkAt(const Block &block, Ix begin);
  void emitChunk(const Block &block, const Chunk &chunk);

  /// The offset of a step of the sum in A.
  Ix stepOfA(const Block &block, Ix step) { return code.add(block.aBatch, offset(form.sums, step, 0)); }
  Ix lastRow() { return code.sub(rows, 1); }
  void packStrips(const Block &block, const Chunk &chunk);
  void copyLastRows(const Block &block, const Chunk &chunk);
  /// Where a panel that the block packs lies in its scratch.
  Ix panelPlace(const Block &block, const Chunk &chunk, Ix panel);
  void packPanel(const Block &block, const Chunk &chunk, const PackSource &columns, Ix panel);
  void packGroup(const Block &block, const Chunk &chunk, const PackSource &columns);

  void emitTile(const Block &block, const Chunk &chunk, Ix row, Ix panel);
  void readRows(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix row);
  void readPanel(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix panel);
  /// What section i of a tile fetches: row i of where the result goes, and its share of what comes after the
  /// tile.
  llvm::SmallVector<FetchStream> streams(const Block &block, const Chunk &chunk, const TileAt &tile,
                                         Ix section);

  const bool ahead, byPanel, byGroup; ///< who packs B, see ContractPlan::Packing
  const int width;                    ///< columns of a panel
  mlir::Value a, b;
  ContractResults results;
  ContractFetch fetch;
  /// Scratch: the block's strips of A where it is packed, and the panels of B.
  mlir::Value strips, panelScratch;
  Ix rows, sums, panels, rowUnits, panelGroups;
  /// The distance of A's rows where they are read as they lie, at one known distance: they need one address
  /// in the innermost loop then, not one each. The rows of a last tile that is not whole are copied to
  /// `lastRows`, so that they are at that distance too.
  std::optional<int64_t> rowStride;
  Ix wholeRows; ///< rows of the tiles that are whole
  mlir::Value lastRows;
};

} // namespace moe::cpu
