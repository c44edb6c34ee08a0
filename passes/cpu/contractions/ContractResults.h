// Stores the sums of a contraction's tiles. The sum is computed in chunks. After each chunk but the last, a
// tile's partial sums are stored in memory, and the next chunk adds to them: in the temporary of the part if
// the sum is cut into parts, otherwise in an output that can hold them. After the last chunk the epilogue
// runs and all outputs are stored; the sums of a part stay in the temporary, for the kernel that adds the
// parts.
#pragma once
#include "passes/cpu/contractions/ContractKernel.h"

namespace moe::cpu {

class ContractResults {
public:
  /// Binds the buffers that the results need, and scratch.
  explicit ContractResults(ContractKernel &kernel);

  /// The memory of a row's partial sums, from a column on.
  struct Row {
    mlir::Value memory;
    Ix offset, stride;
  };
  Row partialRow(const ContractPlace &place, Ix row, Ix column);

  /// Where the epilogue reads and stores the rest of a row, from a column on: inputs of the result's shape, and outputs
  /// but the one that holds partial sums.
  llvm::SmallVector<PrefetchStream> epilogueLines(const ContractPlace &place, Ix row, Ix column,
                                                  mlir::Value last);

  /// Stores the sums of the tile that begins at a row and a column; rows and columns beyond the matrix, or
  /// rows of other groups, are left out. `first` and `last` are conditions, null if there is only one chunk: that there are no partial
  /// sums in memory yet, and that the sums are complete.
  void store(const ContractPlace &place, Ix row, Ix column, Values sums, mlir::Value first, mlir::Value last);

  /// Stores sums of 0 for rows [begin, place.rowEnd) and all columns from `column` to `columnEnd`.
  void storeZeros(const ContractPlace &place, Ix begin, Ix column, Ix columnEnd);

private:
  struct TileAt {
    const ContractPlace &place;
    Ix row, column;
    mlir::Value memory; ///< of the partial sums
    Ix stride;
    llvm::SmallVector<mlir::Value> masks; ///< one per vector of a row; null: all lanes
  };
  Ix rows() { return code.size(kernel.form.rowExtent()); }
  /// The first row that a tile of this place leaves out.
  Ix rowEnd(const ContractPlace &place) { return kernel.form.groupsRows() ? place.rowEnd : rows(); }
  mlir::Value columnMask(Ix column);
  Values addPartialSums(const TileAt &at, const Values &sums);
  void storePartialSums(const TileAt &at, const Values &sums);
  void storeOutputs(const TileAt &at, const Values &sums);

  ContractKernel &kernel;
  MicroCode &code;
  const Tile tile;
  mlir::Value parts;    ///< null unless the plan has them
  mlir::Value tileSums; ///< scratch, for an epilogue that runs in a loop
};

} // namespace moe::cpu
