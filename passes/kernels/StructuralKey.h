// A key of everything that a set of ops' kernels depend on. Sets with equal keys are analysed and emitted
// once; since a model repeats its blocks, most of its groups are equal to another one.
#pragma once
#include "dialects/flow/Flow.h"
#include "passes/kernels/Layouts.h"

namespace moe::kernels {

class StructuralKey {
public:
  /// The key of ops in program order: their kinds, attributes and types, which op's result or which outside
  /// value each operand is, and the layouts of outputs and outside values. Names, locations and discardable
  /// attributes are not part of it. Outside values are numbered in the order of `inputs`, then by first use.
  StructuralKey(llvm::ArrayRef<mlir::Operation *> ops, llvm::ArrayRef<mlir::Value> outputs,
                llvm::function_ref<Layout(mlir::Value)> layout, mlir::ValueRange inputs = {});
  /// The key of a group's body, with ContractForm::fixedB and the entry's planned batch.
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
