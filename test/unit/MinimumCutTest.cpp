// MinimumCut against all cuts of small random graphs: the least capacity, and of the cuts that have it the
// one nearest to the sink.
#include "passes/training/MinimumCut.h"
#include <gtest/gtest.h>
#include <random>

TEST(MinimumCut, IsTheLeastAndTheLatestOfAllCuts) {
  constexpr unsigned nodes = 8, source = 0, sink = 1;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    struct Edge {
      unsigned from, to;
      int64_t capacity;
    };
    std::vector<Edge> edges;
    moe::MinimumCut cut;
    for (unsigned i = 0; i < nodes; ++i)
      cut.addNode();
    for (unsigned i = 0; i < 18; ++i) {
      Edge edge{unsigned(random() % nodes), unsigned(random() % nodes), int64_t(random() % 6)};
      // As in Rematerialize: nothing leads into the source or out of the sink, and no way is unlimited
      // throughout.
      if (edge.from == edge.to || edge.to == source || edge.from == sink)
        continue;
      if (edge.from == source && edge.to != sink && random() % 2)
        edge.capacity = moe::MinimumCut::unlimited;
      edges.push_back(edge);
      cut.addEdge(edge.from, edge.to, edge.capacity);
    }
    auto capacityOf = [&](unsigned late) { // a bit a node: on the sink's side
      int64_t sum = 0;
      for (const Edge &edge : edges)
        if (!(late >> edge.from & 1) && (late >> edge.to & 1))
          sum += edge.capacity;
      return sum;
    };
    int64_t least = INT64_MAX;
    unsigned latest = ~0u; // the sink's sides of least cuts are closed under intersection
    for (unsigned late = 0; late < 1u << nodes; ++late) {
      if ((late >> source & 1) || !(late >> sink & 1))
        continue;
      int64_t capacity = capacityOf(late);
      if (capacity < least)
        least = capacity, latest = late;
      else if (capacity == least)
        latest &= late;
    }
    unsigned found = 0;
    std::vector<bool> side = cut.sinkSide(source, sink);
    for (unsigned i = 0; i < nodes; ++i)
      found |= unsigned(side[i]) << i;
    ASSERT_EQ(found, latest) << "seed " << seed;
  }
}
