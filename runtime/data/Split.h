// DomainBed's in/out split of a domain (scripts/train.py, lib/misc.py), to the bit.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace moert {

/// lib/misc.py seed_hash((trial_seed, env)): md5 of Python's text of the tuple, modulo 2^31.
uint32_t splitSeed(int64_t trialSeed, int64_t domain);

/// Indices into a domain. Out is the first floor(fraction * n) of the shuffled indices, in is the rest.
struct Split {
  std::vector<uint32_t> in, out;
};
Split splitDomain(uint32_t size, double fraction, uint32_t seed);

} // namespace moert
