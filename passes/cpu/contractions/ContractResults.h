// Where the sums of a contraction's tiles go. The sum is taken in chunks, and between visits a tile's sums
// wait in memory: that of its part where there are parts, else an output that can hold them. The last visit
// runs the epilogue and stores every output; sums of a part stay as they are for the kernel that adds the
// parts.
#pragma once
#include "passes/cpu/contractions/ContractKernel.h"

namespace moe::cpu {

class ContractResults {
public:
  /// Binds the buffers that the results need, and scratch.
  explicit ContractResults(ContractKernel &kernel);

  /// Where the sums of a row wait, from a column on.
  struct Row {
    mlir::Value memory;
    Ix offset, stride;
  };
  Row waitingRow(const ContractPlace &place, Ix row, Ix column);

  /// Stores the sums of the tile that begins at a row and a column; its last ones may lie beyond the matrix.
  /// `first` and `last` are conditions: that nothing waits yet, and that the sums are complete; null where
  /// one visit is all.
  void store(const ContractPlace &place, Ix row, Ix column, Values sums, mlir::Value first, mlir::Value last);

private:
  struct TileAt {
    const ContractPlace &place;
    Ix row, column;
    mlir::Value memory; ///< of the waiting sums
    Ix stride;
    llvm::SmallVector<mlir::Value> masks; ///< one a vector of a row; null: all lanes
  };
  Ix rows() { return code.size(kernel.form.rowExtent()); }
  mlir::Value columnMask(Ix column);
  Values addWaiting(const TileAt &at, const Values &sums);
  void storeWaiting(const TileAt &at, const Values &sums);
  void storeOutputs(const TileAt &at, const Values &sums);

  ContractKernel &kernel;
  MicroCode &code;
  const Tile tile;
  mlir::Value parts;    ///< null unless the plan has them
  mlir::Value tileSums; ///< scratch, for an epilogue that runs in a loop
};

} // namespace moe::cpu
