// Edits of a model's text by whole tokens. Random bytes hardly get beyond the first line of a parser; a text
// whose tokens were deleted, doubled, moved or replaced by others of the language gets far, and is wrong in
// the ways in which people are.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe::test {

/// The same numbers on every machine: a 64-bit generator (SplitMix64).
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t below(size_t end) { return end ? size_t(next() % end) : 0; }

private:
  uint64_t state;
};

/// The text as tokens, of which blanks and comments are some: together they are the text.
std::vector<std::string> tokensOf(std::string_view text);

/// The text after one to three edits. `words` are tokens to put in.
std::string mutated(std::string_view text, const std::vector<std::string> &words, Random &random);

} // namespace moe::test
