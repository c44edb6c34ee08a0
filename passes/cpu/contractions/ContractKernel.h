// What the kernels of one contraction have in common: the group's form, plan and epilogue (ContractGroup),
// and a kernel under construction (ContractKernel) that computes the offsets of elements from row, column and
// sum indices by the form's strides.
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
  mlir::Operation *op; ///< a contraction or grouped contraction
  MicroEpilogue epilogue;
  ContractForm form;
  ContractPlan plan;
  ContractBuffer a, b;    ///< in the form's order, which may be swapped with respect to the op's
  ContractBuffer offsets; ///< of form.groups, if there are any
  ContractBuffer index;   ///< of form.loads, if there are any
  ContractBuffer live;    ///< of form.live, if there are any
  /// Temporaries between the group's launches, if the plan needs them: B's packed panels, [matrix of B][chunk
  /// of the sum][panel][step][column], and the sums of the parts, [batch index][part][row][column].
  ContractBuffer panels, parts;
};

/// The batch index that a work unit works on, the part of the sum, and the first row that it leaves out.
struct ContractPlace {
  llvm::SmallVector<Ix> batch; ///< one index per batch axis
  Ix batchNumber, part, rowEnd;
};

class ContractKernel {
public:
  ContractKernel(const ContractGroup &group, KernelModule &module, llvm::StringRef kind);

  mlir::Value buffer(plan::Access access, const ContractBuffer &bound);
  /// Binds the groups' offsets, which the next two read, and the index of rows.
  void bindOffsets();
  /// The first of the form's rows, or steps of the sum, behind all groups before this one.
  Ix beginOf(Ix group);
  std::pair<Ix, Ix> rangeOf(Ix group) { return {beginOf(group), beginOf(code.add(group, 1))}; }
  void bindEpilogue() { ports = group.epilogue.bind(kernel); }
  /// Where a row of A begins, or a step of the sum in A or B. A row that is read by an index and that the table lacks begins
  /// with the first or the last one.
  Ix rowOfA(Ix row) { return form.loadsRows() ? tableRow(row, form.rows) : offset(form.rows, row, 0); }
  Ix stepOf(Ix step, unsigned side) {
    return form.loadsSteps(side) ? tableRow(step, form.sums) : offset(form.sums, step, side);
  }
  /// Whether the table has the row that the index names.
  mlir::Value hasRow(Ix row);
  /// Binds the mask of live rows or steps, which the next one reads.
  void bindLive();
  /// Whether one of the rows, or steps, [begin, end) is live.
  mlir::Value hasLive(Ix begin, Ix end);
  /// The indices along each of `axes` from a flat index over all of them.
  llvm::SmallVector<Ix> unflatten(llvm::ArrayRef<ContractAxis> axes, Ix flat);
  /// The offset of a flat index in an operand. Operands are numbered as in ContractAxis::strides.
  Ix offset(llvm::ArrayRef<ContractAxis> axes, Ix flat, unsigned operand);
  Ix batchOffset(llvm::ArrayRef<Ix> batch, unsigned operand);
  /// The matrix of B that begins at `base`, to be packed into panels.
  PackSource columnsOfB(mlir::Value pointer, Ix base);
  /// Runs the epilogue on a vector of sums and stores all outputs. `column` is that of the first lane.
  void storeResults(llvm::ArrayRef<Ix> batch, Ix row, Ix column, mlir::Value mask, mlir::Value sums);

  const ContractGroup &group;
  const ContractForm &form;
  const ContractPlan &plan;
  KernelBuilder kernel;
  MicroCode code;
  Values ports; ///< the epilogue's inputs and outputs, after bindEpilogue

private:
  Ix indexAt(Ix row);
  Ix tableRow(Ix row, llvm::ArrayRef<ContractAxis> axes);

  mlir::Value offsets, index, live;
};

} // namespace moe::cpu
