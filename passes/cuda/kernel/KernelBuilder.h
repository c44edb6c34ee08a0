// The interface between planning and the emitters of GPU kernels. An emitter turns a group into kernels and
// launches: it writes each kernel as a gpu.func with a KernelBuilder, and describes its launches in plan's terms.
// Equal kernels are stored once. A kernel's parameters are one pointer to global memory per buffer, then one i64
// per launch scalar. Sizes and constants are passed by value. The numbers that differ from run to run (step, seed,
// numbers of the recipe) are read from cells in global memory, so that a captured graph of launches stays valid.
#pragma once
#include "dialects/flow/Attention.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "passes/kernels/Backend.h"
#include "passes/kernels/code/IndexCode.h"
#include "llvm/ADT/StringMap.h"

namespace moe::cuda {
using namespace moe::kernels;

class KernelModule;

/// The most elements of a tensor: a lane's index is a 32-bit integer.
constexpr int64_t kMostElements = INT32_MAX;
/// The threads of a warp.
constexpr int64_t kWarp = 32;
/// The most shared memory of a block that needs no declaration of its own when a kernel is loaded.
constexpr int64_t kSharedBytes = 48 * 1024;

/// One kernel of a GPU under construction. Its blocks have one dimension of threads.
class KernelBuilder : public KernelCode {
public:
  mlir::Value buffer(plan::Access access, plan::Element element, BufferRef bound,
                     plan::ExprAttr extent) override;
  int64_t threads() const { return blockThreads; }
  /// Bounds the registers of a thread, so that a multiprocessor can hold this many blocks.
  void requireBlocks(int64_t blocks);
  /// The thread's number in its block, and the block's number along an axis of the grid: i64.
  mlir::Value thread();
  mlir::Value block(mlir::gpu::Dimension axis = mlir::gpu::Dimension::x);
  /// Shared memory for `elements` elements of a storage type, not initialised; its offset is a multiple of 16.
  mlir::Value shared(int64_t elements, mlir::Type element);
  /// Waits for all threads of the block, and of the warp; what they have written before is then visible to all.
  void barrier();
  void warpBarrier();
  /// The value (f32 or i32) of the lane whose number differs in the bits of `offset`.
  mlir::Value exchange(mlir::Value value, int64_t offset);

  bool isConcurrent() const override { return true; }
  // A vector whose index is known to be a multiple of its length is one access; every other is an access a lane.
  mlir::Value load(mlir::Type type, mlir::Value pointer, mlir::Type element, mlir::Value index) override;
  void store(mlir::Value value, mlir::Value pointer, mlir::Type element, mlir::Value index) override;
  mlir::Value loadMasked(mlir::VectorType type, mlir::Value pointer, mlir::Value index, mlir::Value mask,
                         mlir::Value otherwise) override;
  void storeMasked(mlir::Value value, mlir::Value pointer, mlir::Value index, mlir::Value mask) override;
  mlir::Value gather(mlir::VectorType type, mlir::Value addresses, mlir::Value mask) override;
  void scatter(mlir::Value value, mlir::Value addresses, mlir::Value mask) override;

  /// The address of a number that may change from run to run.
  mlir::Value cell(plan::ArgAttr arg);

  /// Ends the function. If an equal kernel exists already, that one is used. Sets the launch's symbol, buffers,
  /// extents, scalars, and its grid and block.
  LaunchSpec finish(flow::Extent gridX, flow::Extent gridY = {}, flow::Extent gridZ = {});

private:
  friend class KernelModule;
  KernelBuilder(KernelModule &module, llvm::StringRef kind, int64_t threads, mlir::Location location);
  mlir::Value newScalar(plan::ArgAttr arg, mlir::Type type) override;
  /// A vector of `type`, each lane given by `read` where the mask holds, otherwise by `otherwise` (0 if null).
  mlir::Value lanes(mlir::VectorType type, mlir::Value mask, mlir::Value otherwise,
                    llvm::function_ref<mlir::Value(int64_t)> read);
  void eachLane(mlir::Value value, mlir::Value mask, llvm::function_ref<void(int64_t, mlir::Value)> write);

  KernelModule &module;
  mlir::gpu::GPUFuncOp function;
  int64_t blockThreads;
  mlir::Value threadNumber, blockNumber[3], sharedBase;
  int64_t sharedBytes = 0;
};

/// All kernels of a target: functions in one gpu.module, and their descriptions in the order of first use.
class KernelModule : public KernelSet {
public:
  explicit KernelModule(mlir::MLIRContext *context);
  /// A kernel whose blocks have `threads` threads.
  KernelBuilder begin(llvm::StringRef kind, int64_t threads, mlir::Location location) {
    return KernelBuilder(*this, kind, threads, location);
  }
  mlir::OwningOpRef<mlir::ModuleOp> take() override { return std::move(owned); }
  const std::vector<Kernel> &kernels() const override { return all; }
  mlir::FailureOr<GroupCode> emit(flow::GroupOp group, const GroupLayouts &layouts) override;
  mlir::FailureOr<GroupCode> emitUpdate(flow::GroupOp group, const GroupLayouts &layouts) override;
  bool holdsUpdates() const override { return true; }
  LaunchSpec emitHold(mlir::MLIRContext *context, unsigned predicates) override;

private:
  friend class KernelBuilder;
  mlir::OwningOpRef<mlir::ModuleOp> owned;
  mlir::gpu::GPUModuleOp functions;
  std::vector<Kernel> all;
  llvm::StringMap<size_t> bySymbol;
  bool updates = false; ///< the kernels that are being written do nothing while updates are held back
};

// The emitters. On failure a diagnostic names the op and what is not supported.
mlir::FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);
mlir::FailureOr<GroupCode> emitSortGroup(flow::GroupOp group, KernelModule &module);
mlir::FailureOr<GroupCode> emitAttentionGroup(flow::GroupOp group, KernelModule &module);
/// Whether the kernels of attention are written for heads of this many features.
bool fitsAttentionKernel(const flow::AttentionShape &shape);
mlir::FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                             KernelModule &module);
mlir::FailureOr<GroupCode> emitConvGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                         KernelModule &module);

} // namespace moe::cuda
