// A hash of 64 bits as fast as memory is read, of what must be told apart from a mistake and not from an
// attack: the images that a run was started on. Eight lanes take a word each of every 64 bytes; each word
// passes a bijection of its lane, so a single changed word always changes the value. Equal bytes give equal
// values only where they are added in equal pieces, of which all but the last are of whole blocks.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace moert {

class ContentHash {
public:
  static constexpr size_t kBlock = 64;

  /// A piece that ends within a block is filled up with zeros; its length counts, so those are not data.
  void add(std::span<const uint8_t> bytes) {
    size_t whole = bytes.size() / kBlock * kBlock;
    for (size_t at = 0; at < whole; at += kBlock)
      addBlock(bytes.data() + at);
    if (whole < bytes.size()) {
      uint8_t last[kBlock] = {};
      std::memcpy(last, bytes.data() + whole, bytes.size() - whole);
      addBlock(last);
    }
    total_ = mixed(total_, bytes.size());
  }
  void add(uint64_t number) { total_ = mixed(total_, number); }

  uint64_t value() const {
    uint64_t value = total_;
    for (uint64_t lane : lanes_)
      value = mixed(value, lane);
    return mixed(value, 0);
  }

private:
  // Odd multipliers and shifts are bijections. Any constant without a pattern would do: this is 2^64 divided
  // by the golden ratio.
  static uint64_t mixed(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0x9E3779B97F4A7C15;
    return state ^ state >> 32;
  }
  void addBlock(const uint8_t *block) {
    for (size_t i = 0; i < kBlock / 8; ++i) {
      uint64_t word;
      std::memcpy(&word, block + 8 * i, 8);
      lanes_[i] = mixed(lanes_[i], word);
    }
  }
  uint64_t lanes_[kBlock / 8] = {1, 2, 3, 4, 5, 6, 7, 8}; // so that words that change places change the value
  uint64_t total_ = 0;
};

} // namespace moert
