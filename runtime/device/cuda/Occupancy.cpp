#include "runtime/device/cuda/Occupancy.h"

#include <algorithm>

namespace moert::cuda {
namespace {

// In these units warps get registers, multiprocessors' quarters get warps, and blocks get shared memory.
constexpr unsigned kLanes = 32, kRegisterUnit = 256, kQuarters = 4, kSharedUnit = 128;

unsigned ceilDiv(unsigned a, unsigned b) { return (a + b - 1) / b; }

} // namespace

std::optional<Multiprocessor> multiprocessorOf(std::string_view architecture) {
  if (architecture.ends_with('a'))
    architecture.remove_suffix(1);
  constexpr unsigned kKiB = 1024;
  if (architecture == "sm_80")
    return Multiprocessor{64, 32, 64 * kKiB, 164 * kKiB, kKiB};
  if (architecture == "sm_90" || architecture == "sm_100")
    return Multiprocessor{64, 32, 64 * kKiB, 228 * kKiB, kKiB};
  return std::nullopt;
}

unsigned residentBlocks(const Multiprocessor &of, unsigned threads, unsigned registers,
                        unsigned sharedBytes) {
  // A program's numbers may be anything.
  if (threads > of.warps * kLanes || registers > of.registers || sharedBytes > of.sharedBytes)
    return 0;
  const unsigned warps = std::max(1u, ceilDiv(threads, kLanes));
  const unsigned shared = ceilDiv(sharedBytes + of.reservedShared, kSharedUnit) * kSharedUnit;
  unsigned blocks = std::min({of.blocks, of.warps / warps, of.sharedBytes / shared});
  if (registers) {
    const unsigned ofWarp = ceilDiv(registers * kLanes, kRegisterUnit) * kRegisterUnit;
    blocks = std::min(blocks, of.registers / ofWarp / kQuarters * kQuarters / warps);
  }
  return blocks;
}

double occupancy(const Multiprocessor &of, unsigned blocks, unsigned threads) {
  return double(blocks) * ceilDiv(threads, kLanes) / of.warps;
}

} // namespace moert::cuda
