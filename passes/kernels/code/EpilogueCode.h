// The epilogue of a group (kernels/Epilogue.h) as code, for any target. A step is computed by the scalar body of
// its op (ComputeInterface), which also works on vectors.
#pragma once
#include "passes/kernels/Epilogue.h"
#include "passes/kernels/code/IndexCode.h"

namespace moe::kernels {

class EpilogueCode : public Epilogue {
public:
  EpilogueCode(Epilogue epilogue) : Epilogue(std::move(epilogue)) {}

  /// Computes one vector per output from a vector of the root's result. `read` gives the elements of an input
  /// for these lanes.
  Values emit(IndexCode &code, mlir::Value root, llvm::function_ref<mlir::Value(unsigned)> read) const;

  /// Adds the buffers of the inputs, then of the outputs, to the kernel under construction; returns these
  /// ports.
  Values bind(KernelCode &kernel) const;
};

} // namespace moe::kernels
