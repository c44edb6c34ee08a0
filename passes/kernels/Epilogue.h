// The epilogue of a group with a root: what is done with each element of the root's result before it is
// stored. It is data: a list of steps, each of which computes a scalar from the root's element, an operand's
// element, a constant, or earlier steps. Operands have the result's shape or are broadcast to it. Bias,
// activation, the derivative of an activation, residual, accumulation and scales are all epilogues. A back
// end runs the steps on scalars or vectors.
#pragma once
#include "dialects/flow/Flow.h"
#include "dialects/plan/Plan.h"
#include "passes/kernels/Layouts.h"
#include <map>
#include <optional>

namespace moe::kernels {

/// A group's operand as the epilogue reads it. Strides are along the axes of the root's result; 0 where the
/// operand is broadcast.
struct EpilogueInput {
  unsigned operand;
  plan::Element element;
  llvm::SmallVector<flow::Extent> strides;
  /// Of a table whose rows are read by an index: a bias for each group of rows. The strides are those within a row.
  struct Lookup {
    unsigned index;      ///< the input, of i32, with the table's row for each index of the result
    flow::Extent rows;   ///< of the table; a row outside is read as zeros
    flow::Extent stride; ///< of the table's rows
  };
  std::optional<Lookup> lookup = {};
  /// Of random numbers (flow.random) whose rows have an index of their own, so that rows that were moved keep their numbers.
  /// Nothing is read of the operand, which is that index; the strides are those of the row-major index behind the rows.
  struct Draw {
    unsigned index;      ///< the input, of i32, with the number of each row
    int64_t stream;      ///< of uniform numbers
    flow::Extent behind; ///< how many numbers a row has
  };
  std::optional<Draw> draw = {};
};
struct EpilogueOutput {
  unsigned result;
  plan::Element element;
  llvm::SmallVector<flow::Extent> strides;
  unsigned step; ///< whose value is stored
};

/// One value of the epilogue, for one element of the result.
struct EpilogueStep {
  enum Kind {
    root,     ///< the root's element
    input,    ///< the element of the input `index`
    constant, ///< the number that `op`, a flow::NumberInterface, states
    compute,  ///< the scalar body of `op`, applied to the values of the steps `operands`
  } kind;
  mlir::Operation *op = nullptr;
  unsigned index = 0;
  llvm::SmallVector<unsigned> operands = {};
};

class Epilogue {
public:
  /// Turns the group's ops other than `root` into steps. How the root itself is computed is not part of the
  /// epilogue. Fails with a diagnostic at an op that is no elementwise op, broadcast, transpose or constant.
  static mlir::FailureOr<Epilogue> of(flow::GroupOp group, mlir::Operation *root,
                                      const GroupLayouts &layouts);

  llvm::ArrayRef<EpilogueInput> inputs() const { return allInputs; }
  llvm::ArrayRef<EpilogueOutput> outputs() const { return allOutputs; }
  /// Each step follows the steps that it reads.
  llvm::ArrayRef<EpilogueStep> steps() const { return allSteps; }
  /// Whether the group's only result is the root's result.
  bool isIdentity() const { return identity; }
  /// Whether the ops are so few and cheap that they are better unrolled over a tile than run in a loop.
  bool isShort() const;
  /// The number of an f32 output whose memory can hold partial sums; -1 if there is none.
  int accumulator() const;
  /// A port's strides along the axes of the root's result. Ports are the inputs, then the outputs.
  llvm::ArrayRef<flow::Extent> strides(unsigned port) const {
    return port < allInputs.size() ? allInputs[port].strides : allOutputs[port - allInputs.size()].strides;
  }
  /// The type of a port's whole tensor.
  mlir::Type typeOf(unsigned port) const;

private:
  /// For each axis of a value, the axis of the root's result with the same index, or -1.
  using AxisMap = llvm::SmallVector<int64_t, 4>;
  /// A value, and how its axes map to the result's.
  using Place = std::pair<void *, std::vector<int64_t>>;
  mlir::FailureOr<unsigned> stepOf(mlir::Value value, const AxisMap &map, std::map<Place, unsigned> &known);
  unsigned inputIndex(mlir::BlockArgument argument, const AxisMap &map,
                      std::optional<EpilogueInput::Lookup> lookup = {});
  mlir::FailureOr<unsigned> drawIndex(flow::RandomOp random, const AxisMap &map);
  mlir::FailureOr<unsigned> lookupIndex(flow::GatherOp gather, const AxisMap &map);

  flow::GroupOp group;
  mlir::Operation *root = nullptr;
  GroupLayouts layouts;
  bool identity = false;
  llvm::SmallVector<EpilogueInput> allInputs;
  llvm::SmallVector<EpilogueOutput> allOutputs;
  llvm::SmallVector<EpilogueStep> allSteps;
};

} // namespace moe::kernels
