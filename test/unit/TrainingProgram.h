// Small training programs for tests of the passes in passes/training: built by the same builders as real
// ones, evaluated in f64 before and after passes.
#pragma once
#include "dialects/flow/Build.h"
#include "dialects/flow/Evaluator.h"
#include "frontends/driver/Context.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "passes/training/Training.h"
#include <functional>

/// One entry under construction, then under test.
struct TrainingProgram {
  std::unique_ptr<mlir::MLIRContext> context = moe::makeContext();
  mlir::Location location = mlir::UnknownLoc::get(context.get());
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(location);
  mlir::OpBuilder builder{context.get()};
  flow::EntryOp entry;
  flow::Bindings bindings;

  TrainingProgram();

  flow::Extent B() { return flow::Extent::batch(context.get()); }
  flow::Extent size(int64_t n) { return flow::Extent::constant(context.get(), n); }
  mlir::Value input(llvm::StringRef name, llvm::ArrayRef<flow::Extent> extents);
  mlir::Value labels(llvm::StringRef name, llvm::ArrayRef<flow::Extent> extents);
  mlir::Value parameter(llvm::StringRef path, llvm::ArrayRef<int64_t> shape);
  void output(llvm::StringRef name, mlir::Value value);
  /// The outputs "grad.<path>" of a loss in every parameter.
  void outputGradients(mlir::Value loss);
  std::vector<flow::ParameterOp> parameters();
  std::vector<mlir::Value> gradients(mlir::Value loss);

  /// Random values for what is not bound yet.
  void bind(uint64_t seed, int64_t classes);
  void run(std::vector<std::unique_ptr<mlir::Pass>> passes);
  flow::Evaluation evaluate();
  int64_t count(llvm::StringRef op);
};

/// Largest difference of two arrays over 1 + |expected|; infinity where shapes differ.
double difference(const flow::Array &expected, const flow::Array &found);

/// Expects all outputs and assigned values to agree.
void expectSame(const flow::Evaluation &expected, const flow::Evaluation &found, double tolerance);
