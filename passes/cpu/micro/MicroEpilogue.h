// A group's epilogue (kernels/Epilogue.h) run on vectors of accumulators, and the stores behind it.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include "passes/kernels/Epilogue.h"

namespace moe::cpu {

class MicroEpilogue : public Epilogue {
public:
  MicroEpilogue(Epilogue epilogue) : Epilogue(std::move(epilogue)) {}

  /// One vector an output from the root's. `read` gives an input's elements at the place of the accumulators.
  Values emit(MicroCode &code, mlir::Value root, llvm::function_ref<mlir::Value(unsigned)> read) const;

  /// Buffers of the inputs, then of the outputs, in the kernel being built.
  Values bind(KernelBuilder &kernel) const;
  /// Runs the steps on one vector and stores every output. A port is a number of `bind`'s; `where` gives the
  /// offset of the vector's first lane in it and `stride` the distance of its lanes.
  void store(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
             llvm::function_ref<Ix(unsigned)> where, llvm::function_ref<Ix(unsigned)> stride) const;

  /// The same for a root of any rank, at a place of its result: `at` is the first lane's, and lanes follow
  /// each other along `laneAxis`.
  void storeAt(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
               llvm::ArrayRef<Ix> at, unsigned laneAxis) const;
};

} // namespace moe::cpu
