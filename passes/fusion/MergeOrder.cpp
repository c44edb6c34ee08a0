// The searches of MergeOrder.h. Edges keep the numbers that nodes had when they were added; find() maps a
// number to the node that it has been merged into, by union-find.
#include "passes/fusion/MergeOrder.h"
#include "llvm/ADT/STLExtras.h"
#include <cassert>

namespace moe {

unsigned MergeOrder::find(unsigned node) const {
  while (parent[node] != node)
    node = parent[node] = parent[parent[node]];
  return node;
}

unsigned MergeOrder::add(llvm::ArrayRef<unsigned> needed) {
  const unsigned node = rank.size();
  rank.push_back(node);
  parent.push_back(node);
  marks.push_back(~0u);
  users.emplace_back();
  needs.emplace_back();
  for (unsigned other : needed) {
    other = find(other);
    needs[node].push_back(other);
    users[other].push_back(node);
  }
  return node;
}

llvm::SmallVector<unsigned> MergeOrder::neededBy(unsigned node) const {
  llvm::SmallVector<unsigned> found;
  for (unsigned other : needs[node])
    if (unsigned now = find(other); now != node)
      found.push_back(now);
  llvm::sort(found);
  found.erase(llvm::unique(found), found.end());
  return found;
}

bool MergeOrder::isOver(Search &search) const {
  while (search.at < search.found.size() && search.edge == search.edges[search.found[search.at]].size()) {
    ++search.at;
    search.edge = 0;
  }
  return search.at == search.found.size();
}

unsigned MergeOrder::advance(Search &search, unsigned other) {
  const unsigned start = search.found.front();
  const unsigned next = find(search.edges[search.found[search.at]][search.edge++]);
  ++stepCount;
  const bool inside = rank[start] < rank[other] ? rank[next] > rank[start] && rank[next] < rank[other]
                                                : rank[next] < rank[start] && rank[next] > rank[other];
  const unsigned mark = 2 * searches + (rank[start] < rank[other] ? 0 : 1);
  // A direct edge from one end to the other leads through no third node and does not count.
  if (next == other && search.found[search.at] != start)
    return other;
  if (!inside || isMarked(next, mark))
    return start;
  search.found.push_back(next);
  return next;
}

bool MergeOrder::hasNodeBetween(unsigned a, unsigned b) {
  if (rank[a] > rank[b])
    std::swap(a, b);
  ++searches;
  Search down{users, {a}}, up{needs, {b}};
  // There is a node between the two if both searches reach the same node, or if one of them reaches the other
  // end. If either search has no edge left, there is none.
  while (!isOver(down) && !isOver(up)) {
    if (unsigned next = advance(down, b); next != a) {
      if (next == b || isMarked(next, 2 * searches + 1))
        return true;
      marks[next] = 2 * searches;
    }
    if (unsigned next = advance(up, a); next != b) {
      if (next == a || isMarked(next, 2 * searches))
        return true;
      marks[next] = 2 * searches + 1;
    }
  }
  return false;
}

void MergeOrder::merge(unsigned into, unsigned from) {
  unsigned a = into, b = from;
  if (rank[a] > rank[b])
    std::swap(a, b);
  // Nodes that b depends on must come before the merged node, and nodes that depend on a behind it. Both sets
  // and the pair share out the ranks that they have now; all other nodes keep theirs.
  ++searches;
  Search down{users, {a}}, up{needs, {b}};
  while (!isOver(down))
    if (unsigned next = advance(down, b); next != a)
      marks[next] = 2 * searches;
  while (!isOver(up))
    if (unsigned next = advance(up, a); next != b) {
      assert(!isMarked(next, 2 * searches) && "expected nothing between nodes that are merged");
      marks[next] = 2 * searches + 1;
    }
  auto byRank = [&](unsigned x, unsigned y) { return rank[x] < rank[y]; };
  llvm::sort(llvm::drop_begin(down.found), byRank);
  llvm::sort(up.found, byRank); // b is last
  llvm::SmallVector<unsigned> order(up.found);
  order.append(down.found);
  llvm::SmallVector<unsigned> ranks;
  for (unsigned node : order)
    ranks.push_back(rank[node]);
  llvm::sort(ranks);
  for (auto [node, place] : llvm::zip_equal(order, ranks))
    rank[node] = place;

  parent[from] = into;
  needs[into].append(needs[from]);
  users[into].append(users[from]);
  needs[from].clear();
  users[from].clear();
}

} // namespace moe
