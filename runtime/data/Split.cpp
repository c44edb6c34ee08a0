#include "runtime/data/Split.h"

#include "runtime/base/Status.h"
#include "runtime/data/RandomState.h"

#include <cstddef>
#include <md5.h>
#include <sys/types.h>

namespace moert {

uint32_t splitSeed(int64_t trialSeed, int64_t domain) {
  std::string text = concat("(", trialSeed, ", ", domain, ")");
  MD5_CTX context;
  uint8_t digest[MD5_DIGEST_LENGTH];
  MD5Init(&context);
  MD5Update(&context, reinterpret_cast<const uint8_t *>(text.data()), text.size());
  MD5Final(digest, &context);
  // The digest is read as one big-endian number, so its lowest 31 bits are in the last four bytes.
  return (uint32_t(digest[12]) << 24 | digest[13] << 16 | digest[14] << 8 | digest[15]) & 0x7fffffffu;
}

Split splitDomain(uint32_t size, double fraction, uint32_t seed) {
  std::vector<uint32_t> keys = RandomState(seed).permutation(size);
  auto cut = keys.begin() + static_cast<std::ptrdiff_t>(size * fraction);
  return {{cut, keys.end()}, {keys.begin(), cut}};
}

} // namespace moert
