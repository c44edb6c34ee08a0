// The kernels of contractions and convolutions on a GPU: sums of products, sum over k of a(row, k) * b(k, column), for
// each matrix of a batch. A block computes a tile of 64 x 64 sums. Its 256 threads load slices of 16 steps of A and B
// into shared memory, and each sums a square of 4 x 4 in f32 with fused multiply-adds. Then the sums take the place of the
// slices, so that neighbouring threads run the epilogue on, and store, neighbouring columns. What A, B and the results
// are is stated by the op's own class. A sum with few tiles is cut into parts, which a second kernel adds in order. All numbers
// follow from the sizes alone. In tf32, a block's warps multiply the same slices on tensor cores (ProductTf32.cpp).
#pragma once
#include "dialects/flow/Precision.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/kernels/code/EpilogueCode.h"
#include "passes/kernels/loops/LoopValues.h"

namespace moe::cuda {

constexpr int64_t kTile = 64, kSlice = 16, kSquare = 4, kProductThreads = 256;
/// The blocks of tiles that a multiprocessor holds at least, which leaves 80 registers to a thread; or 128 where the place of
/// an element takes more arithmetic. With fewer registers some kernels would spill.
constexpr int64_t kTileBlocks = 3, kFewerTileBlocks = 2;
/// The distance of two rows of sums in shared memory: vectors of four are aligned, and fewer accesses are to the same bank.
constexpr int64_t kSumPitch = kTile + 4;
/// The steps that are summed before the result is added to the total, which keeps the rounding error of long sums small.
constexpr int64_t kChain = 32;

struct ProductSizes {
  flow::Extent batch, rows, columns, sums;
  flow::Symbols plannedBatch;
  flow::Precision precision = flow::Precision::f32;
  int64_t blocks = kTileBlocks;
  /// Whether neighbouring steps of A, and of B, are neighbours in memory; otherwise rows, and columns, are.
  bool alongStepsA = false, alongStepsB = false;
  /// Parts of the sum, each of `partDepth` steps.
  flow::Extent parts, partDepth;
  /// Tiles in addition to those of `rows`, where rows of several kinds share no tile.
  std::optional<flow::Extent> moreRowTiles = {};

  /// Chooses the parts.
  void cut();
  bool viaParts() const { return !parts.isConstant(1); }
  flow::Extent rowTiles() const {
    return moreRowTiles ? rows.ceildiv(kTile) + *moreRowTiles : rows.ceildiv(kTile);
  }
};

/// One kernel of a product under construction.
class Product {
public:
  Product(KernelBuilder &kernel, const EpilogueCode &epilogue, const ProductSizes &sizes, int64_t lanes)
      : k(kernel), code(kernel, /*narrow=*/true), b(kernel.builder()), epilogue(epilogue), sizes(sizes),
        lanes(lanes), m(kernel, lanes), values(kernel, m, lanes) {}
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
  flow::Extent sumBlocks() const;

protected:
  /// f32 elements at indices that exist.
  virtual mlir::Value elementOfA(Ix batch, Ix row, Ix step) = 0;
  virtual mlir::Value elementOfB(Ix batch, Ix step, Ix column) = 0;
  /// The rows [first, end) of a tile, fewer than `kTile` at the end. The sums of a tile that is not `summed` are 0;
  /// null stands for true.
  struct RowTile {
    Ix first, end;
    mlir::Value summed = {};
  };
  virtual RowTile rowsOf(Ix tile) { return {code.mul(tile, kTile), code.size(sizes.rows)}; }
  /// The steps that are summed of a matrix of the batch.
  virtual std::pair<Ix, Ix> stepsOf(Ix batch) { return {0, code.size(sizes.sums)}; }
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
  /// The distance of two steps of a slice in shared memory.
  int64_t pitch() const { return isTf32() ? kTile + 8 : kTile + 4; }
  bool isTf32() const { return sizes.precision == flow::Precision::tf32; }
  /// Adds the products of the slices in shared memory to the thread's sums, four vectors of four. In f32 they are a
  /// square.
  Values multiply(Values sums);
  Values multiplyTf32(Values sums);
  /// Stores a thread's sums in shared memory.
  void shareSums(const Values &sums);
  void shareSumsTf32(const Values &sums);
  /// A number's bits, rounded.
  mlir::Value roundToTf32(mlir::Value number);
  /// Of a thread in tf32: the first row and column of its warp in the tile, and its lane's place (ProductTf32.cpp).
  struct Lane {
    Ix firstRow, firstColumn, group, member;
  };
  Lane lanePlace();
  /// Calls `store` with the row, the column and the sums of each vector of the tile that exists.
  void storeTile(const RowTile &tile, Ix firstColumn, const Values &sums,
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
