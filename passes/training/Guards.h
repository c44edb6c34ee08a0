// Where a gradient is known to be 0 because a select did not choose what it belongs to. Differentiation
// passes each gradient through here on its way from an op's result to an operand: the masks of the selects
// behind a value are carried along, through elementwise ops and through views, and are applied again where a
// rule may have made NaN of 0: where(x > 0, sqrt(x), 0) so has the gradient 0 at x <= 0, and not 0 *
// infinity.
#pragma once
#include "dialects/flow/Flow.h"
#include "llvm/ADT/DenseMap.h"
#include <map>
#include <tuple>

namespace moe {

class Guards {
public:
  /// The gradient that the op's rule gave for an operand, which is 0 wherever a mask says so; and notes the
  /// masks of what the operand was computed from.
  mlir::Value pass(mlir::OpBuilder &builder, mlir::Operation *op, unsigned operand, mlir::Value gradient);

private:
  /// The gradient is 0 where the mask is not `sense`.
  struct Guard {
    mlir::Value mask;
    bool sense;
    bool operator==(const Guard &other) const { return mask == other.mask && sense == other.sense; }
  };
  using List = llvm::SmallVector<Guard, 2>;
  List throughView(mlir::OpBuilder &builder, mlir::Operation *op, unsigned operand, const List &guards);
  mlir::Value view(mlir::OpBuilder &builder, mlir::Operation *op, unsigned operand, const Guard &guard);
  bool mayBeInfinite(mlir::Value value, unsigned depth = 0);
  bool mayMakeNan(mlir::Operation *op, unsigned operand);

  llvm::DenseMap<mlir::Value, List> of; // what all users of a value so far agree on
  // masks of operands of views, so that each is made once
  std::map<std::tuple<mlir::Operation *, unsigned, void *, bool>, mlir::Value> views;
  llvm::DenseMap<mlir::Value, bool> infinite;
};

} // namespace moe
