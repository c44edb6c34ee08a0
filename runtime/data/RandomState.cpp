// MT19937 (Matsumoto and Nishimura, 1998) behind numpy's legacy interface. Nothing here may change: a split
// made with another bit would silently be another experiment.
#include "runtime/data/RandomState.h"

namespace moert {

RandomState::RandomState(uint32_t seed) : position(624) {
  for (uint32_t i = 0; i < 624; ++i) {
    state[i] = seed;
    seed = 1812433253u * (seed ^ (seed >> 30)) + i + 1;
  }
}

void RandomState::refill() {
  for (std::size_t i = 0; i < 624; ++i) {
    uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % 624] & 0x7fffffffu);
    state[i] = state[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
  }
  position = 0;
}

uint32_t RandomState::next() {
  if (position == 624)
    refill();
  uint32_t y = state[position++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

double RandomState::uniform() {
  uint32_t high = next() >> 5, low = next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

uint64_t RandomState::interval(uint64_t max) {
  if (max == 0)
    return 0;
  uint64_t mask = max;
  for (int shift = 1; shift < 64; shift *= 2)
    mask |= mask >> shift;
  for (;;) {
    uint64_t value = next();
    if (max > 0xffffffffu)
      value = (value << 32) | next();
    if ((value &= mask) <= max)
      return value;
  }
}

std::vector<uint32_t> RandomState::permutation(uint32_t n) {
  std::vector<uint32_t> values(n);
  for (uint32_t i = 0; i < n; ++i)
    values[i] = i;
  shuffle(values);
  return values;
}

} // namespace moert
