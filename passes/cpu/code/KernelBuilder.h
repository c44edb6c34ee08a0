// The interface between planning and the emitters of CPU kernels. A group of a flow entry becomes launches of
// kernels (docs/architecture.md, "Kernel ABI on the CPU"): an emitter writes the functions with a
// KernelBuilder and says, in plan's terms, how they are launched. Kernels are kept once: two that come out as
// the same code are one, so that whatever differs only by numbers (rates, streams, eps) belongs into launch
// scalars.
#pragma once
#include "dialects/plan/Expr.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "passes/cpu/CpuTarget.h"
#include "passes/kernels/Backend.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include <string>

namespace flow {
class GroupOp;
} // namespace flow

namespace moe::cpu {
using namespace moe::kernels;

// Bytes of what contractions and convolutions compute with, and keep in memory of their own.
constexpr int64_t kFloatBytes = sizeof(float);

class KernelModule;

// One kernel under construction. Values that belong to the launch are loaded once, in the function's entry
// block.
class KernelBuilder {
public:
  mlir::OpBuilder &builder() { return body; }
  mlir::Location loc() { return location; }
  const CpuTarget &target() const;

  // Adds a parameter and gives its pointer (!llvm.ptr).
  mlir::Value buffer(plan::Access access, plan::Element element, BufferRef bound, plan::ExprAttr extent);
  // The same for f32.
  mlir::Value floats(plan::Access access, BufferRef bound, const flow::Extent &elements);
  // Launch scalars, equal ones once. An extent that is constant becomes an immediate.
  mlir::Value integer(plan::ArgAttr arg); // i64: constant_i64, extent, step_i64, seed_i64
  mlir::Value number(plan::ArgAttr arg);  // f32: constant_f32, scalar_f32
  mlir::Value extent(plan::ExprAttr extent);
  mlir::Value numberConstant(float value);  // a launch scalar, so that kernels differing by it are one
  mlir::Value begin() { return unitBegin; } // i64
  mlir::Value end() { return unitEnd; }
  // A piece of the thread's scratch for so many elements of a type of memory, 64-byte aligned, not zeroed.
  mlir::Value scratch(int64_t elements, mlir::Type element);
  mlir::Value floatScratch(int64_t elements);

  // Memory through !llvm.ptr: index in elements, i64.
  mlir::Value at(mlir::Value pointer, mlir::Type element, mlir::Value index);
  mlir::Value load(mlir::Type type, mlir::Value pointer, mlir::Type element,
                   mlir::Value index); // scalar or vector
  void store(mlir::Value value, mlir::Value pointer, mlir::Type element, mlir::Value index);
  mlir::Value loadMasked(mlir::VectorType type, mlir::Value pointer, mlir::Value index, mlir::Value mask,
                         mlir::Value otherwise);
  void storeMasked(mlir::Value value, mlir::Value pointer, mlir::Value index, mlir::Value mask);
  mlir::Value i64(int64_t value);

  // Ends the function and keeps it, or finds its twin. Fills symbol, buffers, extents and scalars of the
  // launch.
  LaunchSpec finish();
  // The same, and says what `units` units of `op` do together.
  LaunchSpec finish(llvm::StringRef op, const flow::Extent &units, const flow::Extent &flops,
                    const flow::Extent &bytes, uint32_t grain = 1);

private:
  friend class KernelModule;
  KernelBuilder(KernelModule &module, llvm::StringRef kind, mlir::Location location);
  mlir::Value scalar(plan::ArgAttr arg, mlir::Type type);

  KernelModule &module;
  Kernel kernel;
  LaunchSpec launch;
  mlir::Operation *function;
  mlir::Location location;
  mlir::OpBuilder entry, body; // entry: before `body`'s block content, for loads of pointers and scalars
  mlir::Value buffersPointer, scalarsPointer, unitBegin, unitEnd, scratchPointer;
  llvm::MapVector<plan::ArgAttr, mlir::Value> scalarValues;
  llvm::DenseMap<int64_t, mlir::Value> constants;
};

// All kernels of a target: functions in one MLIR module and their descriptions, in order of first use.
class KernelModule : public KernelSet {
public:
  KernelModule(mlir::MLIRContext *context, const CpuTarget &target);
  KernelBuilder begin(llvm::StringRef kind, mlir::Location location) {
    return KernelBuilder(*this, kind, location);
  }
  mlir::ModuleOp module() { return *owned; }
  mlir::OwningOpRef<mlir::ModuleOp> take() override { return std::move(owned); }
  const CpuTarget &target() const { return cpuTarget; }
  const std::vector<Kernel> &kernels() const override { return all; }
  mlir::FailureOr<GroupCode> emit(flow::GroupOp group, const GroupLayouts &layouts) override;

private:
  friend class KernelBuilder;
  CpuTarget cpuTarget;
  mlir::OwningOpRef<mlir::ModuleOp> owned;
  std::vector<Kernel> all;
  llvm::StringMap<size_t> bySymbol;
};

// The emitters. On failure a diagnostic names the op and what is not supported.
mlir::FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);
mlir::FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                             KernelModule &module);
mlir::FailureOr<GroupCode> emitConvGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);
mlir::FailureOr<GroupCode> emitSortGroup(flow::GroupOp group, KernelModule &module);

} // namespace moe::cpu
