// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and the conversions
// to uniform and normal numbers that every part of the project agrees on to the bit: compiled kernels, the
// evaluator, initial values, and the tests' witnesses. docs/architecture.md states the counter's layout. A
// number depends on nothing but (seed, stream, step, index).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace moert {

using PhiloxBlock = std::array<uint32_t, 4>;

constexpr PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * counter[0], b = uint64_t(0xCD9E8D57u) * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key0, uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key1,
               uint32_t(a)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// FNV-1a, 32 bits: the stream of a path.
constexpr uint32_t philoxStream(std::string_view path) {
  uint32_t hash = 0x811C9DC5u;
  for (char c : path)
    hash = (hash ^ uint8_t(c)) * 0x01000193u;
  return hash;
}

/// The step that stands for "initial value".
inline constexpr uint32_t kInitStep = 0xFFFFFFFFu;

/// The four words of the indices 4 * block ... 4 * block + 3.
constexpr PhiloxBlock philoxBlock(uint64_t seed, uint32_t stream, uint32_t step, uint64_t block) {
  return philox({uint32_t(block), uint32_t(block >> 32), stream, step}, uint32_t(seed), uint32_t(seed >> 32));
}

constexpr uint32_t philoxWord(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index) {
  return philoxBlock(seed, stream, step, index / 4)[index % 4];
}

/// [0, 1) in steps of 2^-24: exact in f32 and in f64.
constexpr double philoxUniform(uint32_t word) { return double(word >> 8) * 0x1p-24; }

/// Box-Muller on the pair of words that holds `index`, in f64; `words` is the index's block.
inline double philoxNormal(const PhiloxBlock &words, uint64_t index) {
  unsigned pair = unsigned(index % 4) & 2;
  double radius = std::sqrt(-2 * std::log(1 - philoxUniform(words[pair])));
  double angle = 2 * 3.14159265358979323846 * philoxUniform(words[pair + 1]);
  return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}
inline double philoxNormal(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index) {
  return philoxNormal(philoxBlock(seed, stream, step, index / 4), index);
}

} // namespace moert
