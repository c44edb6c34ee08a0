// Maximal flow by breadth-first augmentation; the cut is read off the residual graph from the sink backwards.
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

bool MinimumCut::augment(unsigned source, unsigned sink) {
  constexpr unsigned none = ~0u;
  std::vector<unsigned> cameBy(outgoing.size(), none);
  std::vector<bool> seen(outgoing.size());
  std::deque<unsigned> queue = {source};
  seen[source] = true;
  while (!queue.empty() && !seen[sink]) {
    unsigned node = queue.front();
    queue.pop_front();
    for (unsigned edge : outgoing[node])
      if (edges[edge].left > 0 && !seen[edges[edge].to]) {
        seen[edges[edge].to] = true;
        cameBy[edges[edge].to] = edge;
        queue.push_back(edges[edge].to);
      }
  }
  if (!seen[sink])
    return false;
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
  while (augment(source, sink)) {
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
