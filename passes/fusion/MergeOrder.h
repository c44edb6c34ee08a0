// An order of things that need one another, kept while they are merged in pairs. Fusion asks before each
// merge whether a third one would have to stand between the two. Sets of all predecessors answer that at
// once, but take memory and time with the square of a model's length. Here every node has a rank, and ranks
// grow along every edge, so only nodes whose ranks lie between those of the two can stand between them: a
// search of both sides, which ends with the shorter one, looks at a few neighbours however long the model
// is. A merge gives the searched nodes new ranks out of their own (after Pearce and Kelly, "A Dynamic
// Topological Sort Algorithm for Directed Acyclic Graphs", 2006).
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <vector>

namespace moe {

class MergeOrder {
public:
  /// Adds a node behind all others; the nodes that it needs may have been merged since. Returns its number.
  unsigned add(llvm::ArrayRef<unsigned> needed);
  /// Whether some third node needs one of the two and is needed by the other.
  bool standsBetween(unsigned a, unsigned b);
  /// Makes `from` part of `into`, which afterwards stands for both. Nothing may stand between them.
  void merge(unsigned into, unsigned from);
  /// The node that stands for this one now.
  unsigned find(unsigned node) const;
  /// The nodes that this one needs, each once.
  llvm::SmallVector<unsigned> neededBy(unsigned node) const;
  /// Edges that searches have looked at: the work done so far, for tests.
  uint64_t steps() const { return stepCount; }

private:
  /// A search in one direction among the nodes whose ranks lie between two.
  struct Search {
    const std::vector<llvm::SmallVector<unsigned, 4>> &edges;
    llvm::SmallVector<unsigned> found; // the start, then what was reached
    size_t at = 0, edge = 0;           // the next edge to look at: of found[at]
  };
  /// Looks at one more edge. Returns the node that it leads to where that is new or is the other end, which
  /// something but the start leads to; else the start.
  unsigned advance(Search &search, unsigned other);
  bool isOver(Search &search) const;
  bool isMarked(unsigned node, unsigned mark) const { return marks[node] == mark; }

  std::vector<llvm::SmallVector<unsigned, 4>> needs, users; // by node; numbers may be stale, see find()
  std::vector<unsigned> rank;
  mutable std::vector<unsigned> parent; // of merged nodes
  std::vector<unsigned> marks;          // 2 * search: found forwards; 2 * search + 1: backwards
  unsigned searches = 0;
  uint64_t stepCount = 0;
};

} // namespace moe
