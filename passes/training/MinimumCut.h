// A minimum cut between a source and a sink, by augmenting paths (Ford and Fulkerson, 1956). Rematerialize
// uses it to choose the values to keep. Its graphs have an edge from the source to each layer, and each layer
// is close to the sink. Augmenting paths are therefore searched from one of these edges at a time, so that a
// search visits a few layers and not the whole model.
#pragma once
#include <cstdint>
#include <vector>

namespace moe {

class MinimumCut {
public:
  static constexpr int64_t unlimited = int64_t(1) << 50;

  unsigned addNode();
  void addEdge(unsigned from, unsigned to, int64_t capacity);
  /// Finds the minimum cut that is nearest to the sink. Returns for each node whether it is on the sink's
  /// side.
  std::vector<bool> sinkSide(unsigned source, unsigned sink);

private:
  struct Edge {
    unsigned to;
    int64_t left; // the residual capacity; the edge at index ^ 1 is its reverse
  };
  /// Pushes flow along one path that begins with this edge; false where none is left.
  bool augment(unsigned first, unsigned source, unsigned sink);

  std::vector<Edge> edges;
  std::vector<unsigned> seen,
      cameBy;             // by node: the last search that reached it, and the edge that it came by
  std::vector<bool> dead; // nodes from which no augmenting path to the sink is left
  unsigned searches = 0;
  std::vector<std::vector<unsigned>> outgoing;
};

} // namespace moe
