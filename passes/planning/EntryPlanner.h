// Plans one entry for one target: which buffer holds each value, and which launches run in what order. See
// EntryPlanner.cpp for the rules; LowerToPlan.cpp runs it over a program.
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

/// Which parameters of a target's kernels launches let share a buffer: (kernel, written) -> read.
using Sharing = std::map<std::pair<std::string, unsigned>, unsigned>;

/// The code of groups by what decides it, so that equal groups are emitted once.
using KnownGroups =
    std::unordered_map<kernels::StructuralKey, kernels::GroupCode, kernels::StructuralKey::Hash>;

class EntryPlanner {
public:
  /// `entry` is changed: results that need a copy get a group that makes one. `known` is the code of groups so far,
  /// of all entries of the target.
  EntryPlanner(flow::EntryOp entry, kernels::KernelSet &code, KnownGroups &known, Sharing &sharing)
      : entry(entry), code(code), known(known), sharing(sharing) {}

  /// Emits kernels and decides buffers and launches.
  llvm::LogicalResult plan();
  /// Writes the decisions as a plan.plan at the builder's place.
  void build(mlir::OpBuilder &builder);

private:
  struct Buffer {
    plan::BufferKind kind;
    std::string target, name;
    plan::Element element;
    plan::ExprAttr extent;
    bool prepared = false;         // a temporary that prepare writes
    mlir::Value occupant = {};     // the value that it holds now, as far as reuse is concerned
    int64_t first = -1, last = -1; // launches that touch it
  };
  struct Launch {
    kernels::LaunchSpec spec;
    llvm::SmallVector<unsigned> buffers;
    bool prepare = false;
    plan::Origin origin;
  };

  llvm::LogicalResult collect();
  void settleResults();
  llvm::LogicalResult planGroup(flow::GroupOp group);
  unsigned placeResult(flow::GroupOp group, unsigned result, const kernels::GroupCode &code,
                       const kernels::GroupLayouts &layouts);
  bool share(const kernels::GroupCode &code, unsigned result, unsigned operand);
  bool mayOverwriteState(flow::GroupOp group, unsigned result, unsigned state,
                         const kernels::GroupCode &code);
  bool mayReuse(flow::GroupOp group, unsigned result, unsigned operand,
                const kernels::GroupLayouts &layouts) const;
  void order();

  /// The value whose memory a value is: through reshapes and identities.
  mlir::Value root(mlir::Value value) const;
  /// A group before `before` (or at the entry's end) that copies a value; its result.
  mlir::Value copy(mlir::Value value, mlir::Operation *before);
  unsigned boundaryBuffer(mlir::Value value);
  unsigned newBuffer(plan::BufferKind kind, mlir::StringRef target, mlir::Type type, mlir::StringRef name);
  int64_t position(mlir::Operation *op) const { return positions.lookup(op); }

  flow::EntryOp entry;
  kernels::KernelSet &code; ///< of the target, all entries together
  KnownGroups &known;
  Sharing &sharing;
  std::vector<Buffer> buffers;
  std::vector<Launch> launches;
  llvm::MapVector<mlir::Value, unsigned> held;                // root -> buffer
  llvm::DenseMap<mlir::Value, mlir::Operation *> destination; // root -> the output or assign that it goes to
  llvm::DenseMap<mlir::Operation *, int64_t> positions;       // of groups
  llvm::DenseMap<mlir::Value, int64_t> lastUse;               // root -> the last group that reads it
  llvm::StringMap<unsigned> states;                           // path -> buffer
  std::vector<flow::GroupOp> groups;                          // those that are run, in order
  std::vector<flow::GroupOp> finalCopies;
};

} // namespace moe
