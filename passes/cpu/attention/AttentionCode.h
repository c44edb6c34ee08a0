// What the kernels of attention and of its gradient are made of: operands of one head, copied to the thread's
// scratch; products of blocks by the micro-kernel; and sums over the elements of a row.
//
// There are two kinds of blocks in scratch. A *row block* has the features of some tokens, a token a row. A row is
// as long as a whole number of panels, filled up with zeros, so it is an operand A and an operand B of
// products. A *key panel block* is the transpose of a row block of keys: for scores, whose columns are keys, it is
// the operand B, in panels of the micro-kernel's width. So no product has a masked load, and only copies from
// and to memory know of heads whose size is no multiple of a vector.
#pragma once
#include "passes/cpu/micro/MicroKernel.h"
#include "passes/kernels/AttentionGroup.h"

namespace moe::cpu {

/// The sizes of blocks, which follow from the shape alone.
struct AttentionPlan {
  int64_t rows, keys;          ///< the most rows and keys of a block
  int64_t width, valueWidth;   ///< of row blocks: of q and k, and of v
  int64_t scoreStride;         ///< of a row of scores
  Tile scoreTile;              ///< of a full panel of keys
  Tile featureTile, valueTile; ///< of products whose columns are features
  /// The heads that a thread claims at once. Where one takes a few microseconds, all of a problem, for what they read and write are
  /// the same cache lines; and several problems, which lie one behind the other. While one of these heads is computed, the operands
  /// of the next one are fetched.
  int64_t heads;
  bool fetchesNext() const { return heads > 1; }
  int lanes;

  AttentionPlan(const flow::AttentionShape &shape, const CpuTarget &target);
  /// A size that every tile's rows divide.
  static constexpr int64_t kRowMultiple = 24;
  static int64_t padded(int64_t count) { return (count + kRowMultiple - 1) / kRowMultiple * kRowMultiple; }
};

/// Whether kernels are written for heads of this many features: larger ones would need too much scratch.
bool fitsAttentionKernel(const flow::AttentionShape &shape);

/// The features of one head in memory: those of token t begin at offset + t * stride.
struct AttentionHead {
  mlir::Value pointer;
  Ix offset;
  int64_t stride, size;
};

/// Tokens that are fetched while rows are computed, a token for a row: all at once, they would occupy all the cache misses that a core
/// can have in flight. No head: none.
struct FetchedTokens {
  const AttentionHead *head = nullptr;
  Ix first = 0;
};

class AttentionCode : public MicroCode {
public:
  using Head = AttentionHead;
  AttentionCode(KernelBuilder &kernel, const AttentionPlan &plan)
      : MicroCode(kernel), plan(plan), registers(kernel.target().registers) {}

  /// Row block = `count` tokens, times `scale` unless null.
  void packRows(const Head &head, Ix count, mlir::Value to, int64_t width, mlir::Value scale = {});
  /// Key panel block = the transpose of `count` tokens; keys up to the block's last vector are zeros.
  void packKeys(const Head &head, Ix count, mlir::Value to);
  /// Memory (or memory +, unless `first` holds; null stands for true) = `count` tokens of a row block, times
  /// `scale` unless null.
  void unpackRows(mlir::Value from, int64_t width, Ix count, const Head &head, mlir::Value scale = {},
                  mlir::Value first = {});

  /// Element (i, k) of A is at i * row + k * step.
  struct Left {
    mlir::Value pointer;
    int64_t row, step;
  };
  /// scores [rows, keys] = A [rows, size] times a key panel block.
  void scoreProduct(const Left &a, Ix rows, mlir::Value keyPanels, int64_t size, Ix keys, mlir::Value scores,
                    const FetchedTokens &fetched = {});
  /// Row block C [rows, width] = A [rows, depth] times the row block B, or C + that.
  void featureProduct(const Left &a, Ix rows, Ix depth, mlir::Value b, int64_t width, Tile tile,
                      mlir::Value c, bool add, const FetchedTokens &fetched = {});

  /// The tokens from `first` on of the head that follows; none where it is not fetched.
  FetchedTokens ofNext(const Head &next, Ix first) const {
    return plan.fetchesNext() ? FetchedTokens{&next, first} : FetchedTokens();
  }
  /// Fetches the tokens of `count` rows, from `row` on.
  void fetch(const FetchedTokens &tokens, Ix row, int64_t count);

  /// For each vector of `count` elements of a row from `offset` on: `body` gets the vector's offset and its mask
  /// (null where all lanes hold), and the values that are carried along.
  Values forVectors(Ix offset, Ix count, Values carried,
                    llvm::function_ref<Values(Ix, mlir::Value, Values)> body);
  /// One number from a vector's lanes, in a fixed order.
  mlir::Value across(mlir::Value vector, llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  mlir::Value sumLanes(mlir::Value vector);
  mlir::Value largestLane(mlir::Value vector);
  mlir::Value larger(mlir::Value x, mlir::Value y);
  mlir::Value exp(mlir::Value x); ///< of what is not above 0, as MathFunctions.h says
  void fill(mlir::Value pointer, Ix count, float value);
  mlir::Value numberOf(Ix count); ///< as f32
  /// Whether a problem is live by a mask of bytes, of which each element stands for `run` problems.
  mlir::Value isLive(mlir::Value mask, Ix problem, flow::Extent run);

  /// Ranges of at most `block` of `total`: where each begins, and its length.
  void forBlocks(Ix total, int64_t block, llvm::function_ref<void(Ix, Ix)> body);

  const AttentionPlan &plan;

private:
  /// Fetches the features of the token kTokensAhead behind the one that begins at the offset `token`.
  void fetchToken(const Head &head, Ix token, bool write);
  void product(const Left &a, Ix rows, Ix depth, mlir::Value b, Ix panels, Ix panelStride, int64_t bStep,
               Tile tile, mlir::Value c, int64_t cRow, bool add, const FetchedTokens &fetched);
  int64_t registers;
};

// The kernels; the launch is of the group.
LaunchSpec emitAttention(const AttentionGroup &group, KernelModule &module);
LaunchSpec emitAttentionGrad(const AttentionGroup &group, KernelModule &module);

} // namespace moe::cpu
