// Runs a group's epilogue (kernels/code/EpilogueCode.h) on vectors of accumulators and stores its outputs.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include "passes/kernels/code/EpilogueCode.h"

namespace moe::cpu {

class MicroEpilogue : public EpilogueCode {
public:
  MicroEpilogue(Epilogue epilogue) : EpilogueCode(std::move(epilogue)) {}

  /// Runs the steps on one vector and stores every output. For each port, numbered as by `bind`, `where`
  /// gives the offset of the vector's first lane and `stride` the stride of its lanes.
  void store(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
             llvm::function_ref<Ix(unsigned)> where, llvm::function_ref<Ix(unsigned)> stride) const;

  /// The same, with the offsets computed from an index of the root's result: `at` is the first lane's index,
  /// and the lanes lie along `laneAxis`.
  void storeAt(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
               llvm::ArrayRef<Ix> at, unsigned laneAxis) const;

private:
  /// A vector of a row's random numbers, from the one at `first` of the row on.
  static mlir::Value drawRow(MicroCode &code, llvm::ArrayRef<mlir::Value> ports,
                             const EpilogueInput::Draw &draw, Ix first, Ix index, Ix stride, bool beginsRun);
  /// A vector of a table's row, whose number is an element of another input. All lanes have the same row.
  static mlir::Value loadRow(MicroCode &code, llvm::ArrayRef<mlir::Value> ports,
                             const EpilogueInput::Lookup &lookup, unsigned table,
                             llvm::function_ref<Ix(unsigned)> where, Ix stride, mlir::Value mask);
};

} // namespace moe::cpu
