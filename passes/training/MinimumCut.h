// The cheapest set of edges that separates a source from a sink, by augmenting shortest paths (Edmonds and
// Karp, 1972). Rematerialize asks it which values to keep; its graphs have some thousand edges.
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
  bool augment(unsigned source, unsigned sink);

  std::vector<Edge> edges;
  std::vector<std::vector<unsigned>> outgoing;
};

} // namespace moe
