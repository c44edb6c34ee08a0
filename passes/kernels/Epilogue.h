// What a group does with its root's result before it is stored, as data: steps over the root's elements, over operands
// that have the result's shape or are broadcast to it, and over constants. Bias, activation, its derivative, residual,
// accumulation and scales are all this one thing. A back end runs the steps on whatever it holds of the result.
#pragma once
#include "dialects/flow/Flow.h"
#include "dialects/plan/Plan.h"
#include "passes/kernels/Layouts.h"
#include <map>

namespace moe::kernels {

/// A group's operand as the epilogue reads it. Strides are along the axes of the root's result; 0 where the
/// operand is broadcast.
struct EpilogueInput {
  unsigned operand;
  plan::Element element;
  llvm::SmallVector<flow::Extent> strides;
};
struct EpilogueOutput {
  unsigned result;
  plan::Element element;
  llvm::SmallVector<flow::Extent> strides;
  unsigned step; ///< whose value is stored
};

/// One value of the epilogue at a place of the result.
struct EpilogueStep {
  enum Kind {
    root,     ///< the root's element
    input,    ///< an element of the input `index`
    constant, ///< the constant that `op`, a flow::NumberInterface, is
    compute,  ///< the scalar body of `op`, on the steps `operands`
  } kind;
  mlir::Operation *op = nullptr;
  unsigned index = 0;
  llvm::SmallVector<unsigned> operands = {};
};

class Epilogue {
public:
  /// Takes the group's ops apart around `root`, whose operands are the emitter's own business. Fails with a
  /// diagnostic at an op that is no elementwise op, broadcast or constant.
  static mlir::FailureOr<Epilogue> of(flow::GroupOp group, mlir::Operation *root,
                                      const GroupLayouts &layouts);

  llvm::ArrayRef<EpilogueInput> inputs() const { return allInputs; }
  llvm::ArrayRef<EpilogueOutput> outputs() const { return allOutputs; }
  /// In an order in which each follows its operands.
  llvm::ArrayRef<EpilogueStep> steps() const { return allSteps; }
  /// Whether the group's one result is the root's own.
  bool isIdentity() const { return identity; }
  /// So few and cheap ops that they are better unrolled over a tile than run in a loop.
  bool isShort() const;
  /// An f32 output, where partial sums may wait; -1 if there is none.
  int accumulator() const;
  /// How far apart the elements of an input, or of an output behind the inputs, lie along the axes of the root's
  /// result.
  llvm::ArrayRef<flow::Extent> strides(unsigned port) const {
    return port < allInputs.size() ? allInputs[port].strides : allOutputs[port - allInputs.size()].strides;
  }
  /// The type of a port's whole tensor.
  mlir::Type typeOf(unsigned port) const;

private:
  /// For each axis of a value, the axis of the root's result that it follows, or -1.
  using AxisMap = llvm::SmallVector<int64_t, 4>;
  /// A value with its map.
  using Place = std::pair<void *, std::vector<int64_t>>;
  mlir::FailureOr<unsigned> stepOf(mlir::Value value, const AxisMap &map, std::map<Place, unsigned> &known);
  unsigned inputIndex(mlir::BlockArgument argument, const AxisMap &map);

  flow::GroupOp group;
  mlir::Operation *root = nullptr;
  GroupLayouts layouts;
  bool identity = false;
  llvm::SmallVector<EpilogueInput> allInputs;
  llvm::SmallVector<EpilogueOutput> allOutputs;
  llvm::SmallVector<EpilogueStep> allSteps;
};

} // namespace moe::kernels
