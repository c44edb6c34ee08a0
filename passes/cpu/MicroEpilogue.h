// What happens to a contraction's or a convolution's accumulators before they are stored: the elementwise ops
// that its group holds after it. Bias, activation, its derivative, residual, accumulate and scales are all
// this one mechanism: any chain of elementwise ops over values of the result's shape and over operands
// broadcast to it.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/cpu/KernelEmitter.h"
#include "passes/cpu/MicroCode.h"
#include <map>
#include <set>

namespace moe::cpu {

/// The distance between neighbours along each axis of a tensor in memory, in elements.
llvm::SmallVector<flow::Extent> physicalStrides(mlir::Type type, const Layout &layout);

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
};

class Epilogue {
public:
  /// Takes the group's ops apart around `root`, whose operands are the emitter's own business. Fails with a
  /// diagnostic at an op that is no elementwise op, broadcast or constant.
  static mlir::FailureOr<Epilogue> of(flow::GroupOp group, mlir::Operation *root,
                                      const GroupLayouts &layouts);

  llvm::ArrayRef<EpilogueInput> inputs() const { return allInputs; }
  llvm::ArrayRef<EpilogueOutput> outputs() const { return allOutputs; }
  /// Whether the group's one result is the root's own.
  bool isIdentity() const { return identity; }
  /// So few and cheap ops that they are better unrolled over a tile than run in a loop.
  bool isShort() const;
  /// An f32 output, where partial sums may wait; -1 if there is none.
  int accumulator() const;

  /// One vector an output from the root's. `read` gives an input's elements at the place of the accumulators.
  Values emit(MicroCode &code, mlir::Value root, llvm::function_ref<mlir::Value(unsigned)> read) const;

  /// Buffers of the inputs, then of the outputs, in the kernel being built.
  Values bind(KernelBuilder &kernel) const;
  /// Runs the chain on one vector and stores every output. A port is a number of `bind`'s; `where` gives the
  /// offset of the vector's first lane in it and `stride` the distance of its lanes.
  void store(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
             llvm::function_ref<Ix(unsigned)> where, llvm::function_ref<Ix(unsigned)> stride) const;

  /// The same for a root of any rank, at a place of its result: `at` is the first lane's, and lanes follow
  /// each other along `laneAxis`.
  void storeAt(MicroCode &code, llvm::ArrayRef<mlir::Value> ports, mlir::Value sums, mlir::Value mask,
               llvm::ArrayRef<Ix> at, unsigned laneAxis) const;
  /// How far apart a port's elements lie along the axes of the root's result.
  llvm::ArrayRef<flow::Extent> strides(unsigned port) const {
    return port < allInputs.size() ? allInputs[port].strides : allOutputs[port - allInputs.size()].strides;
  }

private:
  /// For each axis of a value, the axis of the root's result that it follows, or -1.
  using AxisMap = llvm::SmallVector<int64_t, 4>;
  /// Values with their maps, as keys.
  using Place = std::pair<void *, std::vector<int64_t>>;
  mlir::LogicalResult collect(mlir::Value value, const AxisMap &map, std::set<Place> &seen);
  mlir::Value build(MicroCode &code, mlir::Value value, const AxisMap &map, mlir::Value root,
                    llvm::function_ref<mlir::Value(unsigned)> read,
                    std::map<Place, mlir::Value> &known) const;
  unsigned inputIndex(mlir::BlockArgument argument, const AxisMap &map) const;
  EpilogueInput inputOf(mlir::BlockArgument argument, const AxisMap &map) const;
  static AxisMap through(mlir::Operation *op, const AxisMap &map);

  flow::GroupOp group;
  mlir::Operation *root = nullptr;
  GroupLayouts layouts;
  bool identity = false;
  llvm::SmallVector<EpilogueInput> allInputs;
  llvm::SmallVector<EpilogueOutput> allOutputs;
};

} // namespace moe::cpu
