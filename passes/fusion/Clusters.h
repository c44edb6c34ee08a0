// How an entry's ops become groups (FormGroups.cpp has the steps): the clusters of ops that are merged until they are the groups, and
// what the steps know of the entry. FormGroups.cpp prepares the entry and merges clusters, Epilogues.cpp says what the group of a
// contraction or convolution can take beside its root, and WriteGroups.cpp writes the clusters as groups.
#pragma once
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Flow.h"
#include "passes/fusion/Fusion.h"
#include "passes/fusion/MergeOrder.h"
#include "passes/kernels/Backend.h"
#include "passes/kernels/StructuralKey.h"
#include "llvm/ADT/SetVector.h"
#include <unordered_map>

namespace moe {

inline bool isRoot(mlir::Operation *op) { return flow::isEmitter(op); }
/// Whether the op makes a value a result of the entry.
inline bool isResult(mlir::Operation *op) {
  return llvm::isa<flow::OutputOp, flow::AssignOp, flow::ExposeOp>(op);
}
inline bool isBoundary(mlir::Operation *op) {
  return llvm::isa<flow::InputOp, flow::ParameterOp, flow::StateOp>(op) || isResult(op);
}
/// Whether the op costs nothing inside a loop: scalars, constants, and views that only rename indices. Windows and their products, if
/// nothing but sums reads them, count as such: they are many more than the pixels and are never stored.
bool isFreeKind(mlir::Operation *op);

/// The op that computes a value, through reshapes, barriers and marks of what can be skipped.
mlir::Operation *behindReshapes(mlir::Value value);

struct Cluster {
  llvm::SmallVector<mlir::Operation *> ops; // in program order, without free ops
  mlir::Operation *root = nullptr;         // the contraction, convolution or sort; null in a cluster of loops
  std::optional<unsigned> segment;         // of a root, and of a loop over a large tensor
  unsigned place = 0;                      // in program order
  std::optional<double> parallelism, work; // of a loop kernel of these ops; set by measure()
  bool alive = false;                      // not merged into another cluster
  // When two clusters are merged, the result takes the place of the one with the greater weight.
  int weight() const { return root ? 2 : segment ? 1 : 0; }
};

// The outcome of trying to merge two clusters. `incompatible` is found by a few comparisons; `refused` needed
// a search or an analysis.
enum class Merge { done, incompatible, refused };

// What a cluster's ops are for. Clusters of different purposes are not merged.
enum class Purpose { forward, backward, update, scalarUpdate, report };

// The target's analyses of sets of ops so far.
using KnownLoops = std::unordered_map<kernels::StructuralKey, std::optional<kernels::LoopFacts>,
                                      kernels::StructuralKey::Hash>;

class Fusion {
public:
  Fusion(flow::EntryOp entry, const kernels::Target &target, KnownLoops &known)
      : entry(entry), target(target), known(known), costs(target.fusionCosts()),
        batch(flow::plannedBatch(entry)) {}
  mlir::LogicalResult run();
  FusionWork work() const { return done; }

private:
  void normalise();
  void number();
  /// Marks what the target's products and attentions need not read (SkipRows.cpp).
  void markSkippable();
  void keepInMemory();
  void findRowLookups();
  void copyRowLoads();
  void findRowLoads();
  mlir::Value ownView(mlir::Value value, llvm::DenseMap<mlir::Value, mlir::Value> &copies);
  void makeClusters();
  void joinProducers(unsigned cluster);
  void joinSiblings();
  void joinReaders(mlir::Value value, llvm::ArrayRef<unsigned> loops);
  void joinRecomputed();
  /// `shared`: the value that the two have in common. Large loops of different segments are merged only if
  /// `acrossSegments` holds.
  Merge tryMerge(unsigned a, unsigned b, mlir::Value shared, bool acrossSegments = false);
  Purpose purposeOf(const Cluster &cluster) const;
  llvm::DenseSet<std::pair<unsigned, unsigned>> refused; // pairs of joinReaders that were refused
  /// Whether the op draws random numbers of which each row has an index, which the epilogue of a grouped contraction can do.
  bool isRowDraw(mlir::Operation *op) const;
  bool fitsEpilogue(const Cluster &root, const Cluster &loop) const;
  /// Whether the root's epilogue with the loop would read tensors of its result's size that it does not read by itself.
  bool readsMore(const Cluster &root, const Cluster &loop) const;
  bool fitsLoop(Cluster &a, Cluster &b, double shared);
  void measure(Cluster &loop);
  std::optional<kernels::LoopFacts> analyse(llvm::ArrayRef<mlir::Operation *> ops);
  mlir::LogicalResult rebuild();
  void splitLoops();
  llvm::SetVector<unsigned> neededBy(unsigned cluster) const;
  llvm::SmallVector<unsigned> orderOfGroups();
  llvm::SmallVector<mlir::Operation *> opsOf(const Cluster &cluster) const;
  void writeGroup(mlir::OpBuilder &builder, const Cluster &cluster,
                  llvm::function_ref<mlir::Value(mlir::Value)> memory,
                  llvm::DenseMap<mlir::Value, mlir::Value> &outside);

  /// Whether the op says how a root loads an operand, and is part of its group: rows by an index, or what can be skipped.
  bool isRootLoad(mlir::Operation *op) const {
    return rowLoads.contains(op) || llvm::isa_and_nonnull<flow::SkippableOp>(op);
  }
  double elementsOf(mlir::Value value) const { return flow::estimateElements(value.getType(), batch); }
  bool isLarge(mlir::Operation *op) const;
  bool isFree(mlir::Operation *op) const {
    return (isFreeKind(op) && !kept.contains(op)) || rowLookups.contains(op) || rowLoads.contains(op);
  }
  /// The values that `op` reads, directly or through free ops: results of other ops, and boundary values.
  void sources(mlir::Operation *op, llvm::SetVector<mlir::Value> &found) const;
  /// The ops that read a value, directly or through free ops.
  void readers(mlir::Value value, llvm::SetVector<mlir::Operation *> &found,
               bool throughBarriers = true) const;
  /// Whether an op outside `members` reads the value, directly or through free ops.
  bool leaves(mlir::Value value, const llvm::SmallDenseSet<mlir::Operation *> &members) const;
  llvm::SetVector<mlir::Value> outputsOf(llvm::ArrayRef<mlir::Operation *> ops) const;
  /// The ops with the free ops that they read, in program order.
  llvm::SmallVector<mlir::Operation *> withFree(llvm::ArrayRef<mlir::Operation *> ops) const;
  int clusterOf(mlir::Value value) const {
    mlir::Operation *op = value.getDefiningOp();
    auto found = op ? home.find(op) : home.end();
    return found == home.end() ? -1 : int(found->second);
  }

  flow::EntryOp entry;
  const kernels::Target &target;
  KnownLoops &known;
  const kernels::FusionCosts costs;
  const flow::Symbols batch;                            // the planned batch, at which sizes are estimated
  llvm::DenseMap<mlir::Value, kernels::Layout> layouts; // of values that are not row-major
  llvm::DenseMap<mlir::Operation *, unsigned> index;    // program order
  llvm::DenseMap<mlir::Operation *, unsigned> segments; // of each op: roots up to and including it
  llvm::DenseSet<mlir::Operation *> kept;               // ops of a free kind that are stored to memory
  llvm::DenseSet<mlir::Operation *> rowLookups;         // gathers that epilogues make where they read them
  llvm::DenseSet<mlir::Operation *> rowLoads;           // gathers of rows that roots make as they load them
  llvm::DenseSet<mlir::Operation *> updates;            // ops whose values only assignments need
  llvm::DenseSet<mlir::Operation *> reports;            // ops whose values only exposed values need
  llvm::DenseSet<mlir::Operation *> forward;            // ops that forward results need
  llvm::DenseMap<mlir::Operation *, unsigned> home;     // the number of each op's cluster
  std::vector<Cluster> clusters;
  MergeOrder needs; // the dependencies between clusters
  FusionWork done;
};

} // namespace moe
