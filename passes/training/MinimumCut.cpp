// Maximal flow by breadth-first augmentation from one of the source's edges after the other; the cut is read
// off the residual graph from the sink backwards, and so is the same whatever the order of the paths.
#include "passes/training/MinimumCut.h"
#include <algorithm>
#include <deque>

namespace moe {

unsigned MinimumCut::addNode() {
  outgoing.emplace_back();
  return unsigned(outgoing.size() - 1);
}

void MinimumCut::addEdge(unsigned from, unsigned to, int64_t capacity) {
  outgoing[from].push_back(unsigned(edges.size()));
  edges.push_back({to, capacity});
  outgoing[to].push_back(unsigned(edges.size()));
  edges.push_back({from, 0});
}

bool MinimumCut::augment(unsigned first, unsigned source, unsigned sink) {
  if (edges[first].left <= 0 || dead[edges[first].to])
    return false;
  ++searches;
  std::vector<unsigned> reached = {edges[first].to};
  seen[source] = seen[edges[first].to] = searches;
  cameBy[edges[first].to] = first;
  for (size_t i = 0; i < reached.size() && seen[sink] != searches; ++i)
    for (unsigned edge : outgoing[reached[i]]) {
      const unsigned to = edges[edge].to;
      if (edges[edge].left <= 0 || seen[to] == searches || dead[to])
        continue;
      seen[to] = searches;
      cameBy[to] = edge;
      reached.push_back(to);
    }
  if (seen[sink] != searches) {
    // No edge with anything left leaves these nodes but to the source, so no later path comes through them.
    for (unsigned node : reached)
      dead[node] = true;
    return false;
  }
  int64_t flow = unlimited;
  for (unsigned node = sink; node != source; node = edges[cameBy[node] ^ 1].to)
    flow = std::min(flow, edges[cameBy[node]].left);
  for (unsigned node = sink; node != source; node = edges[cameBy[node] ^ 1].to) {
    edges[cameBy[node]].left -= flow;
    edges[cameBy[node] ^ 1].left += flow;
  }
  return true;
}

std::vector<bool> MinimumCut::sinkSide(unsigned source, unsigned sink) {
  seen.assign(outgoing.size(), 0);
  cameBy.assign(outgoing.size(), 0);
  dead.assign(outgoing.size(), false);
  for (unsigned first : outgoing[source])
    while (augment(first, source, sink)) {
    }
  std::vector<bool> reaches(outgoing.size());
  std::deque<unsigned> queue = {sink};
  reaches[sink] = true;
  while (!queue.empty()) {
    unsigned node = queue.front();
    queue.pop_front();
    for (unsigned edge : outgoing[node])
      if (unsigned from = edges[edge].to; edges[edge ^ 1].left > 0 && !reaches[from]) {
        reaches[from] = true;
        queue.push_back(from);
      }
  }
  return reaches;
}

} // namespace moe
