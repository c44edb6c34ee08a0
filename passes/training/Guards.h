// Where a gradient is known to be 0 because a select did not choose what it belongs to. Differentiation
// passes each gradient through here on its way from an op's result to an operand: what the selects behind a
// value leave of its gradient is carried along, through all ops whose accesses or rules tell where it arrives,
// and is applied again where a rule may have made NaN of 0: where(x > 0, sqrt(x), 0) so has the gradient 0 at
// x <= 0, and not 0 * infinity. Which rules may do so is the ops' own fact, their slope; no op is known by name
// here but the select, from which masks come.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include <deque>
#include <map>
#include <tuple>

namespace moe {

class Guards {
public:
  /// For the gradients of what stands before `end` in its block.
  explicit Guards(mlir::Operation *end);

  /// What an op's rule was given and gave: the gradient of each result (null where none flows), that of the
  /// operand, and the first op that the rule has made, null if it made none.
  struct Step {
    llvm::ArrayRef<mlir::Value> upstream;
    mlir::Value gradient;
    mlir::Operation *first;
  };
  /// The gradient that the op's rule gave for an operand, which is 0 wherever it is known to be; and notes
  /// what is known of the gradient of the operand.
  mlir::Value pass(mlir::OpBuilder &builder, flow::GradientInterface op, unsigned operand, const Step &step);

private:
  /// A mask with its sense: the gradient is 0 where the mask is not `sense`.
  struct Mask {
    mlir::Value value;
    bool sense = true;
  };
  /// What is known of a gradient: it is 0 where `own` says so, and wherever the parent does. A guard without
  /// `own` belongs to a sum: that is 0 where both of `either` say so. Guards are immutable and share their
  /// parents, so that a select behind many others adds one guard. A null pointer means that nothing is known.
  struct Guard {
    size_t number; // in order of creation, so that parents come first
    const Guard *parent = nullptr;
    unsigned depth = 0; // number of parents
    Mask own;
    const Guard *either[2] = {};
    mutable Mask whole = {}; // all of it as one mask, once it is needed
  };

  const Guard *both(const Guard *parent, Mask mask);
  const Guard *either(const Guard *a, const Guard *b);
  static llvm::SmallVector<const Guard *> parts(const Guard *guard, bool missing);
  static mlir::Value positive(mlir::OpBuilder &builder, mlir::Location loc, Mask &mask);
  Mask wholeMask(mlir::OpBuilder &builder, mlir::Location loc, const Guard *guard);
  const Guard *throughCopies(mlir::Operation *view, const Guard *guard);
  const Guard *throughRule(mlir::OpBuilder &builder, mlir::Operation *op, const Guard *guard,
                           const Step &step);
  const Guard *throughAccess(mlir::OpBuilder &builder, mlir::Operation *op, unsigned operand,
                             const Guard *guard);
  const Guard *through(mlir::OpBuilder &builder, mlir::Operation *op, unsigned operand, const Guard *guard,
                       const Step &step);
  const Guard *ofResults(mlir::Operation *op, llvm::ArrayRef<mlir::Value> upstream);
  bool mayMakeNan(flow::GradientInterface op, unsigned operand) const;
  bool mayBeInfinite(mlir::Value value) const { return infinite.contains(value); }

  std::deque<Guard> guards;
  std::map<std::tuple<const Guard *, void *, bool>, const Guard *> known; // by parent, mask and sense
  llvm::DenseMap<mlir::Value, const Guard *> of; // what all users of a value so far leave of its gradient
  llvm::DenseSet<mlir::Value> infinite;          // values that may be infinite or NaN
};

} // namespace moe
