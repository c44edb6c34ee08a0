// The common form of all contractions of two tensors, a batched matrix product: batch axes, rows (M), columns
// (N) and summed axes (K), each with its stride in every operand. Neighbouring axes that are contiguous in
// all operands are merged first, so a linear layer over any number of leading axes is one matrix product. A grouped
// contraction is one whose rows, or whose steps of the sum, belong to groups, each of which has a matrix of its own.
#pragma once
#include "dialects/flow/BatchHint.h"
#include "passes/kernels/Epilogue.h"
#include <map>
#include <optional>

namespace moe::kernels {

struct ContractAxis {
  flow::Extent extent;
  /// One per operand: a, b, then the epilogue's inputs, then its outputs. 0 if the operand lacks the axis.
  llvm::SmallVector<flow::Extent> strides;
};

/// The groups of a grouped contraction. A group's rows are consecutive, from its own offset to the next one. Either the
/// rows of A are multiplied with the matrix of B of their group; or the sum is over the rows of a group, and each group
/// has a matrix of the result.
struct RowGroups {
  bool
      ofSums; ///< the second case: the groups are the first batch axis. Otherwise only B has the groups' axis
  ContractAxis axis; ///< along the groups
  unsigned offsets;  ///< the operand of flow::GroupOp with the groups' offsets
  flow::Extent rows; ///< of all groups together: what offsets are clamped to
  /// The form's rows (or steps of the sum) that an offset counts as one: other axes may lie within the groups' rows.
  flow::Extent rowSize;
};

/// Rows of an operand that are read by an index. They are those that belong to groups: the form's only axis of rows, or of
/// the sum. A row that the table lacks is read as zeros.
struct RowLoads {
  unsigned side;  ///< 0: rows of A are read, 1: rows of B. B's are always steps of the sum
  unsigned index; ///< the operand of flow::GroupOp, of i32, with the table's row for each row
  flow::Extent tableRows;
};

/// Rows, or steps of the sum, that a mask tells to be left out: A's are taken for 0 where it does not hold.
struct LiveRows {
  unsigned operand;  ///< the operand of flow::GroupOp with the mask
  bool ofSums;       ///< steps of the sum; otherwise rows
  flow::Extent run;  ///< how many neighbouring rows have one element of the mask: row i has element i / run
  flow::Extent runs; ///< the mask's elements
};

struct ContractForm {
  llvm::SmallVector<ContractAxis> batch, rows, sums; ///< outermost first; each may be empty
  ContractAxis columns;
  /// Of the epilogue's inputs that are not contiguous where the product's rows are (a factor of each image, for rows
  /// that are an image's tokens): the row axes of that operand alone. Otherwise such an input would split the rows for
  /// the whole product.
  std::map<unsigned, llvm::SmallVector<ContractAxis>> rowsApart;
  unsigned a = 0, b = 1; ///< operands of the group; they may be swapped with respect to the op's
  /// b is computed from parameters alone, so its packed copy can be kept until the parameters change.
  bool fixedB = false;
  std::optional<RowGroups> groups;
  std::optional<RowLoads> loads;
  /// What flow.skippable says, where it says it of outermost rows or steps. Kernels may take no notice of it.
  std::optional<LiveRows> live;
  flow::Symbols plannedBatch;
  unsigned firstInput = 2, firstOutput = 2;

  /// Fails with a diagnostic if the root, a contraction or grouped contraction, reads a value that is not an operand of the group.
  static mlir::FailureOr<ContractForm> of(flow::GroupOp group, const GroupLayouts &layouts,
                                          const Epilogue &epilogue);

  /// The row axes by which an operand is addressed.
  llvm::ArrayRef<ContractAxis> rowsOf(unsigned operand) const {
    auto apart = rowsApart.find(operand);
    return apart == rowsApart.end() ? rows : apart->second;
  }
  flow::Extent batchExtent() const { return product(batch); }
  flow::Extent rowExtent() const { return product(rows); }
  flow::Extent sumExtent() const { return product(sums); }
  /// How many products are added in all. Each row is in one group.
  flow::Extent products() const;
  bool groupsRows() const { return groups && !groups->ofSums; }
  bool groupsSums() const { return groups && groups->ofSums; }
  /// Whether the operand's steps of the sum are read by an index.
  bool loadsSteps(unsigned side) const { return loads && loads->side == side && groupsSums(); }
  bool loadsRows() const { return loads && groupsRows(); }
  /// How many elements there are along all of `axes`.
  flow::Extent product(llvm::ArrayRef<ContractAxis> axes) const;
  mlir::MLIRContext *context() const { return columns.extent.getContext(); }
};

/// Whether a value outside of groups is computed from parameters alone in an inference entry, so that its
/// packed copy can be kept until the parameters change. A group may still use a random number or a step's
/// scalar for it; planning then runs the packing with every step.
bool followsFromParameters(mlir::Value value);

} // namespace moe::kernels
