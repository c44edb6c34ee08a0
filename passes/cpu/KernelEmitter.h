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
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include <string>

namespace flow {
class Extent;
class GroupOp;
} // namespace flow

namespace moe::cpu {

// The physical order of a tensor's axes, outermost first; empty means row-major. NHWC of [B, C, H, W] is {0,
// 2, 3, 1}.
using Layout = llvm::SmallVector<int64_t, 4>;
struct GroupLayouts {
  llvm::SmallVector<Layout> operands, results; // one each; missing ones are row-major
  Layout operand(size_t i) const { return i < operands.size() ? operands[i] : Layout(); }
  Layout result(size_t i) const { return i < results.size() ? results[i] : Layout(); }
};

// Bytes of what contractions and convolutions compute with, and keep in memory of their own.
constexpr int64_t kFloatBytes = sizeof(float);

// What an emitter hands to planning of one kernel.
struct Kernel {
  std::string symbol, kind; // kind: what KernelModule::begin was given
  llvm::SmallVector<std::pair<plan::Access, plan::Element>> params;
  unsigned scalars = 0;
  uint64_t scratch = 0; // bytes a thread, a multiple of 64
};

// What a launch binds to a kernel's buffer: the group's operand or result, or a temporary of its own.
struct BufferRef {
  enum Kind { operand, result, temporary } kind;
  unsigned index;
};
struct Temporary {
  plan::Element element;
  plan::ExprAttr extent; // elements
  std::string name;      // for people: "packed weight"
};
struct LaunchSpec {
  std::string symbol;
  llvm::SmallVector<BufferRef> buffers;      // one a parameter of the kernel
  llvm::SmallVector<plan::ExprAttr> extents; // elements that the kernel may touch, one a buffer
  llvm::SmallVector<plan::ArgAttr> scalars;
  plan::ExprAttr units;
  uint32_t grain = 1; ///< units that one claim takes at most
  plan::ExprAttr flops, bytes;
  std::string op; // what it came from, for profiles: "conv", "pack", "reduce"
};
// Launches run in order; a later one may read what an earlier one wrote. Those whose inputs are parameters
// alone (a packed weight) planning may move into `prepare`.
struct GroupCode {
  // Adds a temporary, of f32 unless another element is given.
  BufferRef addTemporary(const flow::Extent &elements, llvm::StringRef name,
                         plan::Element element = plan::Element::f32);

  std::vector<Temporary> temporaries;
  std::vector<LaunchSpec> launches;
  // Result `first` may live in the buffer of operand `second`: every element is read, by the same work unit,
  // before it is written.
  llvm::SmallVector<std::pair<unsigned, unsigned>> inPlace;
};

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
class KernelModule {
public:
  KernelModule(mlir::MLIRContext *context, const CpuTarget &target);
  KernelBuilder begin(llvm::StringRef kind, mlir::Location location) {
    return KernelBuilder(*this, kind, location);
  }
  mlir::ModuleOp module() { return *owned; }
  mlir::OwningOpRef<mlir::ModuleOp> take() { return std::move(owned); } // ends the collection
  const CpuTarget &target() const { return cpuTarget; }
  const std::vector<Kernel> &kernels() const { return all; }

private:
  friend class KernelBuilder;
  CpuTarget cpuTarget;
  mlir::OwningOpRef<mlir::ModuleOp> owned;
  std::vector<Kernel> all;
  llvm::StringMap<size_t> bySymbol;
};

// Emits a group of any kind. On failure a diagnostic names the op and what is not supported.
mlir::FailureOr<GroupCode> emitGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module);

mlir::FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);
mlir::FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                             KernelModule &module);
mlir::FailureOr<GroupCode> emitConvGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);
mlir::FailureOr<GroupCode> emitSortGroup(flow::GroupOp group, KernelModule &module);

} // namespace moe::cpu
