// Plans one entry for one target: decides which buffer holds each value, and which launches run in what
// order. EntryPlanner.cpp has the rules; LowerToPlan.cpp calls it for each entry of a program.
#pragma once
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "passes/kernels/Backend.h"
#include "passes/kernels/StructuralKey.h"
#include "llvm/ADT/MapVector.h"
#include <map>
#include <unordered_map>
#include <vector>

namespace moe {

/// Pairs of kernel parameters whose arguments may be the same buffer (plan's `over`): from the kernel and the
/// parameter that it writes, to the parameter that it reads.
using Sharing = std::map<std::pair<std::string, unsigned>, unsigned>;

/// The code of each group that was emitted so far, so that equal groups are emitted once.
/// The code of groups that were emitted: of those that write states, if their kernels can hold that back, and of all
/// others.
struct KnownGroups {
  using Map = std::unordered_map<kernels::StructuralKey, kernels::GroupCode, kernels::StructuralKey::Hash>;
  Map updates, others;
};

class EntryPlanner {
public:
  /// Changes `entry`: adds a group for each result that needs a copy. `known` and `sharing` are common to all
  /// entries of the target.
  EntryPlanner(flow::EntryOp entry, kernels::KernelSet &code, KnownGroups &known, Sharing &sharing)
      : entry(entry), code(code), known(known), sharing(sharing) {}

  /// Emits kernels and decides buffers and launches.
  llvm::LogicalResult plan();
  /// Writes the decisions as a plan.plan at the builder's insertion point.
  void build(mlir::OpBuilder &builder);

private:
  struct Buffer {
    plan::BufferKind kind;
    std::string target, name;
    plan::Element element;
    plan::ExprAttr extent;
    bool prepared = false;         // a temporary that `prepare` writes
    mlir::Value occupant = {};     // the value that it holds at this point of planning
    int64_t first = -1, last = -1; // the first and last launch that touch it; -1: none
  };
  struct Launch {
    kernels::LaunchSpec spec;
    llvm::SmallVector<unsigned> buffers;
    bool prepare = false;
    plan::Origin origin;
    std::optional<plan::Part> part;
  };

  llvm::LogicalResult collect();
  void assignDestinations();
  llvm::LogicalResult planGroup(flow::GroupOp group);
  std::optional<kernels::GroupCode> transferOf(flow::GroupOp group,
                                               const kernels::GroupLayouts &layouts) const;
  unsigned placeResult(flow::GroupOp group, unsigned result, const kernels::GroupCode &code,
                       const kernels::GroupLayouts &layouts);
  bool tryShare(const kernels::GroupCode &code, unsigned result, unsigned operand);
  bool mayOverwriteState(flow::GroupOp group, unsigned result, unsigned state,
                         const kernels::GroupCode &code);
  bool mayReuse(flow::GroupOp group, unsigned result, unsigned operand,
                const kernels::GroupLayouts &layouts) const;
  /// The part of the step that a group belongs to, where differentiation has marked the entry's results.
  std::optional<plan::Part> partOf(flow::GroupOp group) const;
  void holdUpdates();
  void order();

  /// The value that a value shares its memory with: the operand behind reshapes and identities.
  mlir::Value baseOf(mlir::Value value) const;
  /// Adds a group that copies a value, before `before` or at the entry's end; returns its result.
  mlir::Value copy(mlir::Value value, mlir::Operation *before);
  unsigned boundaryBuffer(mlir::Value value);
  unsigned newBuffer(plan::BufferKind kind, mlir::StringRef target, mlir::Type type, mlir::StringRef name);
  int64_t position(mlir::Operation *op) const { return positions.lookup(op); }

  flow::EntryOp entry;
  kernels::KernelSet &code; ///< the target's kernels, of all entries
  KnownGroups &known;
  Sharing &sharing;
  std::vector<Buffer> buffers;
  std::vector<Launch> launches;
  llvm::MapVector<mlir::Value, unsigned> bufferOf; // the buffer of each base value
  llvm::DenseMap<mlir::Value, mlir::Operation *>
      destination; // the output or assign whose buffer a base value is in
  llvm::DenseMap<mlir::Operation *, int64_t> positions; // of groups, in the order in which they run
  llvm::DenseMap<mlir::Value, int64_t> lastUse; // the position of the last group that reads a base value
  llvm::StringMap<unsigned> states;             // the buffer of each path
  bool hasParts = false;
  llvm::DenseSet<mlir::Operation *> forward, updates; // groups, if the entry has parts
  std::vector<flow::GroupOp> groups;                  // the groups that are run, in order
  std::vector<flow::GroupOp> finalCopies;             // copies to states, which run after all groups
};

} // namespace moe
