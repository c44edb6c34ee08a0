// Where temporaries lie in the arena. A plan gives each a size and a lifetime in launch numbers; two whose
// lifetimes meet may not share a byte. The packer is deterministic: the same list gives the same offsets on
// every machine, and `moec inspect` shows what a session will take. It aims at the largest sum of sizes alive
// at one launch, which no layout can go below.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moert {

struct PackItem {
  uint64_t bytes;
  uint64_t alignment; // a power of two
  uint32_t first, last;
};

struct Packing {
  std::vector<uint64_t> offsets; // one an item
  uint64_t bytes = 0;            // of the arena
  uint64_t live = 0;             // the lower bound: the largest sum of (aligned) sizes alive together
};

Packing pack(std::span<const PackItem> items);

} // namespace moert
