// Best fit over several orders. An item goes into the smallest gap that holds it among the placed items that
// it meets in time (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020,
// greedy by size). The order decides how good that gets, and no order is best for every plan, so several are
// tried: by size, by size times lifetime, by lifetime, by birth. Where the best stays more than a few percent
// above the bound, a fixed number of moves that put an item which sticks out earlier in the order are tried
// too.
#include "runtime/plan/Packer.h"

#include <algorithm>
#include <numeric>

namespace moert {

namespace {

// A line of cache and, in practice, the alignment of every item: sizes are counted in it, so that a sum of
// sizes is what a layout can reach.
constexpr uint64_t kGranule = 64;

// Placing takes time with the square of the items: of more than these, one order is tried.
constexpr size_t kManyItems = 8192;

uint64_t alignUp(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

class Packer {
public:
  explicit Packer(std::span<const PackItem> items);
  Packing run();

private:
  /// Lays all items out in this order; gives up above `limit` bytes.
  uint64_t place(const std::vector<uint32_t> &order, uint64_t limit, std::vector<uint64_t> &offsets);
  void consider(const std::vector<uint32_t> &order);
  void improve();
  uint64_t largestLive() const;

  std::vector<PackItem> items_;
  /// What a search for a gap looks at, side by side in memory.
  struct Placed {
    uint64_t offset, end;
    uint32_t first, last;
  };
  std::vector<Placed> placed_; // by offset
  std::vector<uint64_t> trial_;
  std::vector<uint32_t> bestOrder_;
  Packing best_;
};

Packer::Packer(std::span<const PackItem> items) : items_(items.begin(), items.end()) {
  for (PackItem &item : items_) {
    item.alignment = std::max(item.alignment, kGranule);
    item.bytes = alignUp(item.bytes, kGranule);
  }
  best_.offsets.resize(items_.size());
  best_.bytes = UINT64_MAX;
  best_.live = largestLive();
}

uint64_t Packer::largestLive() const {
  struct Event {
    uint32_t launch;
    bool dies;
    uint64_t bytes;
  };
  std::vector<Event> events;
  for (const PackItem &item : items_) {
    events.push_back({item.first, false, item.bytes});
    events.push_back({item.last, true, item.bytes});
  }
  std::sort(events.begin(), events.end(), [](const Event &a, const Event &b) {
    return a.launch != b.launch ? a.launch < b.launch : a.dies < b.dies; // both ends are inside a lifetime
  });
  uint64_t live = 0, most = 0;
  for (const Event &event : events) {
    live += event.dies ? -event.bytes : event.bytes;
    most = std::max(most, live);
  }
  return most;
}

uint64_t Packer::place(const std::vector<uint32_t> &order, uint64_t limit, std::vector<uint64_t> &offsets) {
  placed_.clear();
  uint64_t total = 0;
  for (uint32_t index : order) {
    const PackItem &item = items_[index];
    if (item.bytes == 0) {
      offsets[index] = 0;
      continue;
    }
    uint64_t end = 0, bestOffset = UINT64_MAX, bestGap = UINT64_MAX;
    for (const Placed &other : placed_) {
      if (other.last < item.first || other.first > item.last)
        continue;
      uint64_t begin = alignUp(end, item.alignment);
      if (other.offset >= begin && other.offset - begin >= item.bytes && other.offset - begin < bestGap) {
        bestGap = other.offset - begin;
        bestOffset = begin;
      }
      end = std::max(end, other.end);
    }
    if (bestOffset == UINT64_MAX)
      bestOffset = alignUp(end, item.alignment);
    offsets[index] = bestOffset;
    total = std::max(total, bestOffset + item.bytes);
    if (total >= limit)
      return UINT64_MAX;
    placed_.insert(
        std::upper_bound(placed_.begin(), placed_.end(), bestOffset,
                         [](uint64_t offset, const Placed &other) { return offset < other.offset; }),
        {bestOffset, bestOffset + item.bytes, item.first, item.last});
  }
  return total;
}

void Packer::consider(const std::vector<uint32_t> &order) {
  trial_.resize(items_.size());
  uint64_t bytes = place(order, best_.bytes, trial_);
  if (bytes >= best_.bytes)
    return;
  best_.bytes = bytes;
  best_.offsets = trial_;
  bestOrder_ = order;
}

void Packer::improve() {
  // Work, not time, bounds the search: the result must not depend on the machine's speed.
  uint64_t budget = 10'000'000 / (uint64_t(items_.size()) * items_.size() + 1);
  uint32_t random = 1;
  for (uint64_t move = 0; move < std::min<uint64_t>(budget, 2000); ++move) {
    if (best_.bytes <= best_.live + best_.live / 25)
      return;
    // Which items end above the bound? One of them goes before a random one.
    std::vector<uint32_t> high;
    for (uint32_t at = 0; at < bestOrder_.size(); ++at)
      if (best_.offsets[bestOrder_[at]] + items_[bestOrder_[at]].bytes > best_.live)
        high.push_back(at);
    auto next = [&](size_t below) {
      random = random * 1664525u + 1013904223u; // Numerical Recipes' linear congruence
      return size_t((uint64_t(random) * below) >> 32);
    };
    uint32_t from = high[next(high.size())];
    if (from == 0)
      continue;
    std::vector<uint32_t> order = bestOrder_;
    size_t to = next(from);
    std::rotate(order.begin() + long(to), order.begin() + from, order.begin() + from + 1);
    consider(order);
  }
}

Packing Packer::run() {
  std::vector<uint32_t> order(items_.size());
  auto by = [&](auto key) {
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return std::pair(key(a), b) > std::pair(key(b), a); });
    consider(order);
  };
  auto life = [&](uint32_t i) { return uint64_t(items_[i].last) - items_[i].first + 1; };
  by([&](uint32_t i) { return items_[i].bytes; });
  if (items_.size() > kManyItems)
    return best_;
  by([&](uint32_t i) { return double(items_[i].bytes) * double(life(i)); });
  by([&](uint32_t i) { return std::pair(life(i), items_[i].bytes); });
  by([&](uint32_t i) { return std::pair(~items_[i].first, items_[i].bytes); });
  by([&](uint32_t i) { return std::pair(items_[i].last, items_[i].bytes); });
  improve();
  if (items_.empty())
    best_.bytes = 0;
  return best_;
}

} // namespace

Packing pack(std::span<const PackItem> items) { return Packer(items).run(); }

} // namespace moert
