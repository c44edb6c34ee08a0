// The cheapest set of edges that separates a source from a sink, by augmenting paths (Ford and Fulkerson,
// 1956). Rematerialize asks it which values to keep. Its graphs have an edge from the source for each layer,
// and the sink is near each of them: a path is looked for from one such edge at a time, so that a search
// sees a few layers and not the whole model.
#pragma once
#include <cstdint>
#include <vector>

namespace moe {

class MinimumCut {
public:
  static constexpr int64_t unlimited = int64_t(1) << 50;

  unsigned addNode();
  void addEdge(unsigned from, unsigned to, int64_t capacity);
  /// Finds the cut nearest to the sink: for each node, whether it lies on the sink's side.
  std::vector<bool> sinkSide(unsigned source, unsigned sink);

private:
  struct Edge {
    unsigned to;
    int64_t left; // the residual capacity; the edge at index ^ 1 is its reverse
  };
  /// Pushes flow along one path that begins with this edge; false where none is left.
  bool augment(unsigned first, unsigned source, unsigned sink);

  std::vector<Edge> edges;
  std::vector<unsigned> seen, cameBy; // by node: the last search that reached it, and by which edge
  std::vector<bool> dead;             // nodes that no longer lead to the sink, nor ever will
  unsigned searches = 0;
  std::vector<std::vector<unsigned>> outgoing;
};

} // namespace moe
