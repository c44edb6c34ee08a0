// numpy's legacy RandomState: MT19937 with the seeding, bounded integers, shuffle and uniform doubles that
// numpy.random.RandomState has kept since 1.x. DomainBed's splits are defined by it, so it is rebuilt here to
// the bit.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace moert {

class RandomState {
public:
  explicit RandomState(uint32_t seed);

  uint32_t next();
  // Uniform in [0, 1) with 53 bits (random_sample).
  double uniform();
  // Uniform in [0, max], by masked rejection (legacy random_interval).
  uint64_t interval(uint64_t max);
  // Fisher-Yates from the end, as RandomState.shuffle does on a list.
  template <typename T> void shuffle(std::vector<T> &values) {
    for (std::size_t i = values.size(); i-- > 1;)
      std::swap(values[i], values[interval(i)]);
  }
  // RandomState.permutation(n).
  std::vector<uint32_t> permutation(uint32_t n);

private:
  void refill();
  std::array<uint32_t, 624> state;
  std::size_t position;
};

} // namespace moert
