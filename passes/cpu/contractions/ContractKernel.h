// What the kernels of one contraction have in common: the group taken apart, and a kernel under construction
// that knows where elements lie along the axes of the contraction's form. Indices count rows, columns and
// steps of the sum; the form says how far apart they lie in each operand.
#pragma once
#include "passes/cpu/contractions/ContractPlan.h"
#include "passes/cpu/contractions/PackPanels.h"
#include "passes/cpu/micro/MicroEpilogue.h"

namespace moe::cpu {

struct ContractBuffer {
  BufferRef ref;
  flow::Extent elements;
};

struct ContractGroup {
  flow::ContractOp op;
  MicroEpilogue epilogue;
  ContractForm form;
  ContractPlan plan;
  ContractBuffer a, b; ///< as the form has them, which may be the other way round than the op
  /// Memory between the group's launches, where the plan has it: B's panels packed ahead, [matrix of B][chunk
  /// of the sum][panel][step][column], and the parts' sums, [matrix of the batch][part][row][column].
  ContractBuffer panels, parts;
};

/// Which matrix of the batch a unit works on, and which part of its sum.
struct ContractPlace {
  llvm::SmallVector<Ix> batch; ///< one index a batch axis
  Ix batchNumber, part;
};

class ContractKernel {
public:
  ContractKernel(const ContractGroup &group, KernelModule &module, llvm::StringRef kind);

  mlir::Value buffer(plan::Access access, const ContractBuffer &bound);
  void bindEpilogue() { ports = group.epilogue.bind(kernel); }
  /// The indices along each of `axes` that a flat index over all of them stands for.
  llvm::SmallVector<Ix> unflatten(llvm::ArrayRef<ContractAxis> axes, Ix flat);
  /// Where that is in an operand, a number of ContractAxis::strides.
  Ix offset(llvm::ArrayRef<ContractAxis> axes, Ix flat, unsigned operand);
  Ix batchOffset(llvm::ArrayRef<Ix> batch, unsigned operand);
  /// The matrix of B that begins at `base`, to be packed into panels.
  PackSource columnsOfB(mlir::Value pointer, Ix base);
  /// Runs the epilogue on the sums of one vector and stores every output. `column` is the first lane's.
  void storeResults(llvm::ArrayRef<Ix> batch, Ix row, Ix column, mlir::Value mask, mlir::Value sums);

  const ContractGroup &group;
  const ContractForm &form;
  const ContractPlan &plan;
  KernelBuilder kernel;
  MicroCode code;
  Values ports; ///< the epilogue's, once it is bound
};

} // namespace moe::cpu
