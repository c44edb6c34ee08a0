// What decides the kernels of a set of ops, as a key: sets with equal keys are analysed and emitted once. A model's
// blocks are alike, so that most of its groups are.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"

namespace moe::kernels {

class StructuralKey {
public:
  /// Of ops in program order: their kinds, attributes and types, which op's result or which value from outside each
  /// operand is, and how outputs and values from outside lie in memory. Names, locations and discardable attributes
  /// are no part of it.
  /// `inputs` come first among those from outside, in their order.
  StructuralKey(llvm::ArrayRef<mlir::Operation *> ops, llvm::ArrayRef<mlir::Value> outputs,
                llvm::function_ref<Layout(mlir::Value)> layout, mlir::ValueRange inputs = {});
  /// Of a group's body. What its root may know of the operands (ContractForm::fixedB), and the batch that the entry is
  /// planned for, are part of it.
  StructuralKey(flow::GroupOp group, const GroupLayouts &layouts);

  void add(uintptr_t word) { words.push_back(word); }
  bool operator==(const StructuralKey &other) const { return words == other.words; }
  struct Hash {
    size_t operator()(const StructuralKey &key) const {
      return llvm::hash_combine_range(key.words.begin(), key.words.end());
    }
  };

private:
  llvm::SmallVector<uintptr_t> words;
};

} // namespace moe::kernels
