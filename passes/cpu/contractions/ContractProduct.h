// The product of a contraction: the kernel that computes its sums. A work unit is some rows by a group of
// panels, for one batch index and one part of the sum. Consecutive units use the same packed panels, so the
// kernel processes those of its range that have a group of panels in common together:
//   1. for each block of rows, and for each chunk of the sum:
//   2. pack what the plan says: the block's rows of A into strips, and the panels of B;
//   3. run the tiles. If panels are packed one at a time, the outer loop is over panels, so that a panel is
//      used for all rows while it is in the first-level cache; otherwise the outer loop is over rows.
// Where a mask tells rows, or steps of the sum, to be left out, tiles of such rows have sums of 0, and chunks of the sum are cut.
// If rows are in groups, each with a matrix of its own, the rows of a run are processed group by group: each tile has
// rows of one group, and the tile that a group ends in is the only incomplete one. Units are the same rows whatever the
// groups are, so that all of them take as long.
#pragma once
#include "passes/cpu/contractions/ContractPrefetch.h"
#include "passes/cpu/contractions/ContractResults.h"

namespace moe::cpu {

class ContractProduct : private ContractKernel {
public:
  ContractProduct(const ContractGroup &group, KernelModule &module);
  LaunchSpec emit();

private:
  /// A block of rows of neighbouring units with one group of panels. All ranges are half-open.
  struct Block : ContractPlace {
    Ix rowBegin, panelBegin, panelEnd, sumBegin, sumEnd;
    mlir::Value startsRun; ///< a condition: no panel of the group is packed yet
    Ix nextPanel;          ///< the first panel that is packed after this block
    Ix aBatch, bBatch;     ///< offsets of this batch index's matrices
    Ix packedBatch;        ///< the number of B's packed matrix, over the batch axes that B has
  };
  /// Steps [begin, begin + depth) of a block's sum.
  struct Chunk {
    Ix begin, depth;
    mlir::Value first,
        last; ///< conditions: whether it is the first and last chunk; null if there is only one
    bool isOnly() const { return !first; }
  };
  /// A tile's first row and column, and the panel of that column.
  struct TileAt {
    Ix row, panel, column;
  };

  /// The group of units with this number, as a block of all its rows.
  Block groupAt(Ix number);
  /// Computes the rows [begin, end) of the group of units.
  void emitRun(const Block &group, Ix begin, Ix end);
  /// Computes those of them that are in each of the form's groups, with the matrix of that group, and stores zeros for
  /// those in none.
  void emitRowGroups(const Block &units, Ix begin, Ix end);
  Chunk chunkAt(const Block &block, Ix begin);
  void emitChunk(const Block &block, const Chunk &chunk);
  /// The chunk without the steps at its ends that are not live.
  Chunk liveSteps(const Chunk &chunk);
  /// Stores the results of rows [begin, end), none of which is live, in the columns of panels [panelBegin, panelEnd).
  void skipRows(const Block &block, const Chunk &chunk, Ix begin, Ix end, Ix panelBegin, Ix panelEnd);

  /// The offset of a step of the sum in A.
  Ix stepOfA(const Block &block, Ix step) { return code.add(block.aBatch, stepOf(step, 0)); }
  Ix lastRow() { return code.sub(rows, 1); }
  /// The first row of a block's last tile, and whether a tile that begins at a row is complete.
  Ix lastTile(const Block &block);
  mlir::Value isWhole(Ix row);
  void packStrips(const Block &block, const Chunk &chunk);
  /// Copies a tile's rows, which an index names, to `loaded`.
  void loadRows(const Block &block, const Chunk &chunk, Ix row);
  void copyLastRows(const Block &block, const Chunk &chunk);
  /// The offset in scratch of a panel that the block packs.
  Ix panelPlace(const Block &block, const Chunk &chunk, Ix panel);
  void packPanel(const Block &block, const Chunk &chunk, const PackSource &columns, Ix panel);
  void packGroup(const Block &block, const Chunk &chunk, const PackSource &columns);

  void emitTile(const Block &block, const Chunk &chunk, Ix row, Ix panel);
  void readRows(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix row);
  void readPanel(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix panel);
  /// What section i of a tile prefetches: the memory of row i of the result, and its share of the lines that
  /// are read after the tile.
  llvm::SmallVector<PrefetchStream> streams(const Block &block, const Chunk &chunk, const TileAt &tile,
                                            Ix section);

  const bool ahead, byPanel, byGroup; ///< when B is packed, see ContractPlan::Packing
  const int width;                    ///< columns of a panel
  const bool skipsRows, skipsSteps;   ///< what is not live is left out: tiles of rows, or ends of chunks
  mlir::Value a, b;
  ContractResults results;
  ContractPrefetch prefetch;
  /// Scratch for the block's packed strips of A and for packed panels of B.
  mlir::Value strips, panelScratch;
  Ix rows, sums, panels, rowUnits, panelGroups;
  /// The stride of A's rows, if they are read in place and the stride is a known constant. The innermost loop
  /// then needs one address for all rows of a tile instead of one for each. The rows of a last, incomplete
  /// tile are copied to `lastRows`, where they have the same stride.
  std::optional<int64_t> rowStride;
  mlir::Value lastRows;
  mlir::Value loaded; ///< scratch for the rows of a tile, if an index names them
};

} // namespace moe::cpu
