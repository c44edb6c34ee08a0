// The interface between planning and the emitters of CPU kernels. An emitter turns a group into kernels and
// launches: it writes each kernel as a function with a KernelBuilder (docs/architecture.md, "Kernel ABI on
// the CPU") and describes its launches in plan's terms. Equal kernels are stored once.
#pragma once
#include "dialects/plan/Expr.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "passes/host/CpuTarget.h"
#include "passes/kernels/Backend.h"
#include "passes/kernels/code/KernelCode.h"
#include "llvm/ADT/StringMap.h"
#include <string>

namespace flow {
class GroupOp;
} // namespace flow

namespace moe::cpu {
using namespace moe::kernels;
using host::CpuTarget;

// The size of an element of contractions' and convolutions' sums and packed operands.
constexpr int64_t kFloatBytes = sizeof(float);
// The most elements of a tensor: a lane's index is a 32-bit integer.
constexpr int64_t kMostElements = INT32_MAX;

class KernelModule;

// One kernel of the CPU under construction. Pointers and launch scalars are loaded once, at the beginning of the
// function.
class KernelBuilder : public KernelCode {
public:
  const CpuTarget &target() const;

  mlir::Value buffer(plan::Access access, plan::Element element, BufferRef bound,
                     plan::ExprAttr extent) override;
  mlir::Value begin() { return unitBegin; } // i64
  mlir::Value end() { return unitEnd; }
  // Memory in the thread's scratch for `elements` elements of a storage type, 64-byte aligned, not
  // initialised.
  mlir::Value scratch(int64_t elements, mlir::Type element);
  mlir::Value floatScratch(int64_t elements);

  // Ends the function. If an equal kernel exists already, that one is used. Sets the launch's symbol,
  // buffers, extents and scalars.
  LaunchSpec finish();
  // The same, and sets the launch's op, units, FLOPs and bytes.
  LaunchSpec finish(llvm::StringRef op, const flow::Extent &units, const flow::Extent &flops,
                    const flow::Extent &bytes, uint32_t grain = 1);

private:
  friend class KernelModule;
  KernelBuilder(KernelModule &module, llvm::StringRef kind, mlir::Location location);
  mlir::Value newScalar(plan::ArgAttr arg, mlir::Type type) override;

  KernelModule &module;
  mlir::Operation *function;
  mlir::Value buffersPointer, scalarsPointer, unitBegin, unitEnd, scratchPointer;
};

// All kernels of a target: functions in one MLIR module, and their descriptions in the order of first use.
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
mlir::FailureOr<GroupCode> emitAttentionGroup(flow::GroupOp group, KernelModule &module);

} // namespace moe::cpu
