// What the tests of flow share: random cases of one op as modules, differentiation, evaluation, central
// differences.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "dialects/flow/RandomCase.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <string>
#include <vector>

namespace moe::test {

/// A context with every dialect; diagnostics go to stderr.
mlir::MLIRContext &context();

/// Every registered op of flow that computes, in name order.
std::vector<mlir::RegisteredOperationName> computingOps();

/// A program with one entry @main, and what it is given.
struct FlowCase {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  flow::EntryOp entry;
  flow::Bindings bindings;

  explicit FlowCase(flow::EntryKind kind = flow::EntryKind::infer);
  mlir::OpBuilder atEnd() { return mlir::OpBuilder::atBlockEnd(&entry.getBody().front()); }
  /// The operand of the output of that name.
  mlir::Value output(llvm::StringRef name);
  /// Adds an f32 input and binds it to numbers in (-1, 1).
  mlir::Value input(llvm::StringRef name, llvm::ArrayRef<flow::Extent> extents, std::mt19937_64 &random);
  void addOutput(llvm::StringRef name, mlir::Value value);
  /// Runs moe-differentiate and the verifier.
  bool differentiate();
  flow::Evaluation evaluate() const;
  std::string text() const;
};

/// One op of that name with random attributes and operands, its result named "y".
FlowCase randomCase(mlir::RegisteredOperationName name, uint64_t seed);

/// d(output) / d(input element) by central differences; the output is 0-d.
double centralDifference(const FlowCase &one, const std::string &output, const std::string &input,
                         size_t element);

} // namespace moe::test
