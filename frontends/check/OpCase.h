// A program of one entry that random cases of ops are checked in: what it is given, its outputs by name, its
// differentiation and evaluation, and central differences of it.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "dialects/flow/RandomCase.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include <string>
#include <vector>

namespace moe {

/// Every registered op of these dialects that computes, in name order.
std::vector<mlir::RegisteredOperationName> computingOps(mlir::MLIRContext &context,
                                                        llvm::ArrayRef<std::string> dialects);

/// A program with one entry @main, and what it is given.
struct OpCase {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  flow::EntryOp entry;
  flow::Bindings bindings;

  explicit OpCase(mlir::MLIRContext &context, flow::EntryKind kind = flow::EntryKind::infer);
  mlir::OpBuilder atEnd() { return mlir::OpBuilder::atBlockEnd(&entry.getBody().front()); }
  /// The operand of the output of that name; null where there is none.
  mlir::Value output(llvm::StringRef name);
  /// Adds an f32 input and binds it to numbers in (-1, 1).
  mlir::Value input(llvm::StringRef name, llvm::ArrayRef<flow::Extent> extents, std::mt19937_64 &random);
  void addOutput(llvm::StringRef name, mlir::Value value);
  /// Runs moe-differentiate and the verifier.
  bool differentiate();
  mlir::FailureOr<flow::Evaluation> evaluate() const { return flow::evaluate(entry, bindings); }
  std::string text() const;
};

/// One op of that name with random attributes and operands, its result named "y", those behind it "y1" and so
/// on. The op has a TruthInterface.
OpCase randomCase(mlir::RegisteredOperationName name, uint64_t seed);

/// d(output) / d(input element) by central differences; the output is 0-d. NaN where the entry cannot be
/// evaluated.
double centralDifference(const OpCase &one, const std::string &output, const std::string &input,
                         size_t element);

} // namespace moe
