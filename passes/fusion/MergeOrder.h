// A topological order of a dependency graph, maintained while nodes are merged in pairs (after Pearce and
// Kelly, "A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs", 2006). Fusion merges two
// clusters only if this closes no cycle: if no path from one to the other leads through a third node.
//   1. Each node has a rank, and every edge leads to a higher rank. So all nodes on a path between two nodes
//      have ranks between theirs.
//   2. `hasNodeBetween` searches forwards from the lower node and backwards from the higher one, within these
//      ranks, and stops when either search has no node left. It therefore visits a few nodes, however long
//      the model is.
//   3. `merge` permutes the ranks of the nodes that it finds in the same way.
// Sets of all predecessors would answer the question at once, but take memory and time quadratic in the
// model's length.
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <vector>

namespace moe {

class MergeOrder {
public:
  /// Adds a node that depends on the nodes `needed`, some of which may be merged already. Returns its number.
  unsigned add(llvm::ArrayRef<unsigned> needed);
  /// Whether a path between the two leads through a third node.
  bool hasNodeBetween(unsigned a, unsigned b);
  /// Merges `from` into `into`. Requires that there is no node between them.
  void merge(unsigned into, unsigned from);
  /// The node that this one has been merged into, or the node itself.
  unsigned find(unsigned node) const;
  /// The nodes that this one depends on, each once.
  llvm::SmallVector<unsigned> neededBy(unsigned node) const;
  /// The number of edges that searches have followed: a measure of the work, for tests.
  uint64_t steps() const { return stepCount; }

private:
  /// A search in one direction among the nodes whose ranks lie between those of two nodes.
  struct Search {
    const std::vector<llvm::SmallVector<unsigned, 4>> &edges;
    llvm::SmallVector<unsigned> found; // the start, then what was reached
    size_t at = 0, edge = 0;           // the next edge to look at: of found[at]
  };
  /// Follows one more edge. Returns the node that it leads to if that is new, or if it is the other end,
  /// reached from another node than the start; otherwise returns the start.
  unsigned advance(Search &search, unsigned other);
  bool isOver(Search &search) const;
  bool isMarked(unsigned node, unsigned mark) const { return marks[node] == mark; }

  std::vector<llvm::SmallVector<unsigned, 4>> needs, users; // by node; numbers may be stale, see find()
  std::vector<unsigned> rank;
  mutable std::vector<unsigned> parent; // of merged nodes
  std::vector<unsigned> marks; // 2 * search: found by the forward search; 2 * search + 1: by the backward one
  unsigned searches = 0;
  uint64_t stepCount = 0;
};

} // namespace moe
