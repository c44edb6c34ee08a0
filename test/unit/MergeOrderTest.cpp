// MergeOrder against sets of all predecessors, on random graphs whose nodes are merged at random: whether a
// third node stands between two is all that fusion asks, and a wrong answer is either a missed merge or a
// cycle.
#include "passes/fusion/MergeOrder.h"
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace {

// What needs what, with nodes merged by renaming.
struct Plain {
  std::map<unsigned, std::set<unsigned>> needs;

  bool leads(unsigned from, unsigned to) const { // from needs to, perhaps through others
    std::vector<unsigned> open(needs.at(from).begin(), needs.at(from).end());
    std::set<unsigned> seen;
    while (!open.empty()) {
      unsigned node = open.back();
      open.pop_back();
      if (node == to)
        return true;
      if (seen.insert(node).second)
        open.insert(open.end(), needs.at(node).begin(), needs.at(node).end());
    }
    return false;
  }
  bool hasNodeBetween(unsigned a, unsigned b) const {
    for (auto &[node, unused] : needs)
      if (node != a && node != b &&
          ((leads(a, node) && leads(node, b)) || (leads(b, node) && leads(node, a))))
        return true;
    return false;
  }
  void merge(unsigned into, unsigned from) {
    needs[into].insert(needs[from].begin(), needs[from].end());
    needs.erase(from);
    for (auto &[node, others] : needs)
      if (others.erase(from))
        others.insert(into);
    needs[into].erase(into);
  }
};

} // namespace

TEST(MergeOrder, AgreesWithSetsOfAllPredecessors) {
  unsigned merges = 0, refusals = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    moe::MergeOrder order;
    Plain plain;
    auto alive = [&] {
      auto place = plain.needs.begin();
      std::advance(place, random() % plain.needs.size());
      return place->first;
    };
    for (unsigned step = 0; step < 60; ++step) {
      if (plain.needs.size() < 3 || random() % 2) {
        std::vector<unsigned> needed;
        for (unsigned i = 0; !plain.needs.empty() && i < random() % 4; ++i)
          needed.push_back(alive());
        unsigned node = order.add(needed);
        plain.needs[node] = {needed.begin(), needed.end()};
        continue;
      }
      unsigned a = alive(), b = alive();
      if (a == b)
        continue;
      bool between = plain.hasNodeBetween(a, b);
      ASSERT_EQ(order.hasNodeBetween(a, b), between) << "seed " << seed << ", step " << step;
      between ? ++refusals : ++merges;
      if (between)
        continue;
      order.merge(a, b);
      plain.merge(a, b);
      for (auto &[node, others] : plain.needs) {
        auto found = order.neededBy(node);
        ASSERT_EQ(std::set<unsigned>(found.begin(), found.end()), others) << "seed " << seed;
      }
    }
  }
  EXPECT_GT(merges, 500u);
  EXPECT_GT(refusals, 500u);
}

// A row of nodes, each of which needs the one before, merged in pairs of neighbours: each search sees its
// pair's own surroundings, so the work is in proportion to the row.
TEST(MergeOrder, LooksAtNeighboursOnly) {
  auto stepsOf = [](unsigned length) {
    moe::MergeOrder order;
    std::vector<unsigned> last;
    for (unsigned i = 0; i < length; ++i)
      last = {order.add(last)};
    for (unsigned i = 0; i + 1 < length; i += 2) {
      EXPECT_FALSE(order.hasNodeBetween(i, i + 1));
      order.merge(i, i + 1);
    }
    return order.steps();
  };
  EXPECT_LE(stepsOf(1000), 1000 * 8u);
  EXPECT_LE(stepsOf(4000), 5 * stepsOf(1000));
}
