// Which pieces of work of the device happen before which: kernels, copies and fills, ordered by streams, events, graphs and by the
// host's waiting. A piece is a position on a chain (a stream, or a branch of a graph), and a clock says for each chain how many of
// its pieces happened before. Each block of a kernel has a number of its own, a *run*, by which accesses to memory are recorded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace moe::emu {

/// For each chain, how many of its pieces of work happened before.
using Clock = std::vector<uint64_t>;

inline void join(Clock &clock, const Clock &other) {
  if (clock.size() < other.size())
    clock.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i)
    clock[i] = std::max(clock[i], other[i]);
}

/// Counts a piece of work on a chain; returns its position, from 1.
inline uint64_t advance(Clock &clock, uint32_t chain) {
  if (clock.size() <= chain)
    clock.resize(chain + 1);
  return ++clock[chain];
}

class Order {
public:
  struct Piece {
    uint64_t position;
    uint32_t firstRun, runs;
    std::string what;
  };

  uint32_t newChain() {
    chains_.emplace_back();
    return uint32_t(chains_.size() - 1);
  }

  /// Whether the numbers of runs end: `restart` begins again, and all that was recorded by them must be forgotten first.
  bool isExhausted(uint64_t runs) const { return next_ + runs > UINT32_MAX; }
  void restart() {
    for (Chain &chain : chains_)
      chain.clear();
    next_ = 1;
    remembered_ = 0;
    large_ = kLarge;
  }

  /// A piece of work is executed now; returns its first run.
  uint32_t begin(uint32_t chain, uint64_t position, uint32_t runs, std::string what) {
    Chain &pieces = chains_[chain];
    pieces.push_back({position, uint32_t(next_), runs, std::move(what)});
    ++remembered_;
    next_ += runs;
    return pieces.back().firstRun;
  }

  /// Whether so many pieces are remembered that it is worth to `forget` those that can matter no more.
  bool isLarge() const { return remembered_ >= large_; }
  /// Forgets the pieces that a clock has. All work that is still to be executed must be behind them.
  void forget(const Clock &behind) {
    for (size_t i = 0; i < std::min(chains_.size(), behind.size()); ++i)
      while (!chains_[i].empty() && chains_[i].front().position <= behind[i]) {
        chains_[i].pop_front();
        --remembered_;
      }
    large_ = std::max<size_t>(kLarge, 2 * remembered_);
  }

  /// All runs below this one happened before a piece of work with this clock.
  uint32_t allBefore(const Clock &clock) const {
    uint64_t least = next_;
    for (size_t i = 0; i < chains_.size(); ++i) {
      uint64_t known = i < clock.size() ? clock[i] : 0;
      auto piece =
          std::upper_bound(chains_[i].begin(), chains_[i].end(), known,
                           [](uint64_t position, const Piece &piece) { return position < piece.position; });
      if (piece != chains_[i].end())
        least = std::min(least, uint64_t(piece->firstRun));
    }
    return uint32_t(least);
  }

  /// The piece of a run; null where it was forgotten, since all that is executed now is after it.
  const Piece *find(uint32_t run, size_t *chain = nullptr) const {
    for (size_t i = 0; i < chains_.size(); ++i) {
      auto piece = std::upper_bound(chains_[i].begin(), chains_[i].end(), run,
                                    [](uint32_t run, const Piece &piece) { return run < piece.firstRun; });
      if (piece == chains_[i].begin())
        continue;
      --piece;
      if (run - piece->firstRun < piece->runs) {
        if (chain)
          *chain = i;
        return &*piece;
      }
    }
    return nullptr;
  }

  bool before(uint32_t run, const Clock &clock) const {
    size_t chain = 0;
    const Piece *piece = find(run, &chain);
    return !piece || (chain < clock.size() && clock[chain] >= piece->position);
  }

private:
  static constexpr size_t kLarge = 4096;
  using Chain = std::deque<Piece>; // ascending positions and runs
  std::vector<Chain> chains_;
  uint64_t next_ = 1;
  size_t remembered_ = 0, large_ = kLarge;
};

} // namespace moe::emu
