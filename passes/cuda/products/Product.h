// The kernels of contractions and convolutions on a GPU: sums of products, sum over k of a(row, k) * b(k, column), for
// each matrix of a batch. A block computes a tile of 64 x 64 sums. Its 256 threads load slices of 16 steps of A and B
// into shared memory, and each sums a square of 4 x 4 in f32 with fused multiply-adds. Then the sums take the place of the
// slices, so that neighbouring threads run the epilogue on, and store, neighbouring columns. What A, B and the results
// are is stated by the op's own class. A sum with few tiles is cut into parts, which a second kernel adds in order. All numbers
// follow from the sizes alone.
#pragma once
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/kernels/code/EpilogueCode.h"
#include "passes/kernels/loops/LoopValues.h"

namespace moe::cuda {

constexpr int64_t kTile = 64, kSlice = 16, kSquare = 4, kProductThreads = 256;
/// The blocks of tiles that a multiprocessor holds at least, which leaves 80 registers to a thread. With four blocks, and 64
/// registers, some kernels would spill.
constexpr int64_t kTileBlocks = 3;
/// The steps that are summed before the result is added to the total, which keeps the rounding error of long sums small.
constexpr int64_t kChain = 32;

struct ProductSizes {
  flow::Extent batch, rows, columns, sums;
  flow::Symbols plannedBatch;
  /// Whether neighbouring steps of A, and of B, are neighbours in memory; otherwise rows, and columns, are.
  bool alongStepsA = false, alongStepsB = false;
  /// Parts of the sum, each of `partDepth` steps.
  flow::Extent parts, partDepth;

  /// Chooses the parts.
  void cut();
  bool viaParts() const { return !parts.isConstant(1); }
};

/// One kernel of a product under construction.
class Product {
public:
  Product(KernelBuilder &kernel, const EpilogueCode &epilogue, const ProductSizes &sizes, int64_t lanes)
      : k(kernel), code(kernel, /*narrow=*/true), b(kernel.builder()), epilogue(epilogue), sizes(sizes), lanes(lanes),
        m(kernel, lanes), values(kernel, m, lanes) {}
  virtual ~Product() = default;

  /// Adds the buffers of A and B to the kernel.
  virtual void bindOperands() = 0;
  void bindEpilogue() { ports = epilogue.bind(k); }
  /// All tiles: their sums, or those of their parts, which are stored in `parts`.
  void emitTiles(mlir::Value parts);
  /// The sums of the parts.
  void emitSums(mlir::Value parts);
  /// The blocks of these kernels.
  static flow::Extent tileBlocks(const ProductSizes &sizes);
  static flow::Extent sumBlocks(const ProductSizes &sizes);

protected:
  /// f32 elements at indices that exist.
  virtual mlir::Value elementOfA(Ix batch, Ix row, Ix step) = 0;
  virtual mlir::Value elementOfB(Ix batch, Ix step, Ix column) = 0;
  /// The offset in a port's memory of an element of the result. Ports are the epilogue's inputs, then its outputs.
  virtual Ix offsetOf(unsigned port, Ix batch, Ix row, Ix column) = 0;
  /// The stride between neighbouring columns, where there are several lanes.
  virtual Ix columnStride(unsigned port) { return 1; }

  KernelBuilder &k;
  IndexCode code;
  mlir::OpBuilder &b;
  const EpilogueCode &epilogue;
  const ProductSizes &sizes;
  /// Neighbouring columns that are stored at once: 4 if the number of columns is a multiple of it, else 1.
  int64_t lanes;

private:
  void loadSlice(mlir::Value to, Ix first, Ix count, Ix step, Ix end, bool alongSteps,
                 llvm::function_ref<mlir::Value(Ix, Ix)> element);
  Values multiplySlice(const Values &sums);
  /// Calls `store` with the row, the column and the sums of each vector of the tile that exists.
  void storeTile(Ix firstRow, Ix firstColumn, const Values &sums,
                 llvm::function_ref<void(Ix, Ix, mlir::Value)> store);
  /// Runs the epilogue on the lanes of a row and stores the results.
  void storeResults(Ix batch, Ix row, Ix column, mlir::Value sums);

  IndexMath m;
  LoopValues values;
  Values ports;
  mlir::Value tileA, tileB, tileSums; ///< in shared memory; the sums take the place of the slices
};

/// The kernels and launches of a product. `make` gives the op's own class for a kernel.
GroupCode emitProduct(flow::GroupOp group, KernelModule &module, llvm::StringRef kind,
                      const ProductSizes &sizes,
                      llvm::function_ref<std::unique_ptr<Product>(KernelBuilder &)> make);

} // namespace moe::cuda
