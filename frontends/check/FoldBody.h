// Evaluates the scalar bodies of ops (ComputeInterface, ReductionInterface) on numbers, by the folders of the
// ops that they are made of. So accumulators can be held against an evaluator without compiling them.
#pragma once
#include "dialects/flow/Flow.h"
#include "mlir/IR/Block.h"
#include "mlir/IR/Builders.h"
#include <optional>

namespace moe {

class FoldBody {
public:
  using Numbers = llvm::SmallVector<double>;
  using Body = llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::OpBuilder &, mlir::Location,
                                                                 llvm::ArrayRef<mlir::Value>)>;

  explicit FoldBody(mlir::MLIRContext *context) : context(context) {}
  /// What a body gives for operands of these types and values; nothing where an op in it does not fold.
  std::optional<Numbers> run(llvm::ArrayRef<mlir::Type> types, llvm::ArrayRef<double> values, Body body);

private:
  mlir::Attribute valueOf(mlir::Value value);
  mlir::MLIRContext *context;
  llvm::DenseMap<mlir::Value, mlir::Attribute> known;
};

} // namespace moe
