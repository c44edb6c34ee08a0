// race-test [--seed S] [--cases N]: random scripts of accesses and synchronisations for the threads of a kernel. Whether a script has a
// race is decided here by the definition: two threads touch a byte, one of them writes, and neither access is ordered before the
// other. The emulator has to decide the same, in every order in which it runs the threads. A case that fails prints the arguments
// that run it alone.
#include "test/support/EmulatedGpu.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>

using namespace moert::test;
using namespace moert::cuda;

namespace {

struct Step {
  bool touches = false, shared = false, write = false;
  uint32_t bytes = 0, offset = 0;
  uint32_t sync =
      0; // behind the access: 0 none, 1 the block's barrier, otherwise the mask of a warp synchronisation
};

struct Case {
  uint32_t blocks, threads, count;
  std::vector<std::vector<Step>> steps; // of each thread of all blocks
};

Case draw(std::mt19937_64 &random) {
  auto below = [&](uint32_t n) { return uint32_t(random() % n); };
  Case made;
  made.blocks = 1 + below(2);
  made.threads = 1 + below(70);
  made.count = 1 + below(6);
  made.steps.assign(made.blocks * made.threads, std::vector<Step>(made.count));
  const uint32_t all = made.blocks * made.threads;
  const bool parts = below(2); // synchronisations of parts of warps
  for (uint32_t i = 0; i < made.count; ++i) {
    const uint32_t sync = below(3);
    uint32_t half[3]; // of the lanes of each warp
    for (uint32_t &mask : half)
      mask = uint32_t(random());
    for (uint32_t t = 0; t < all; ++t) {
      const uint32_t lane = t % made.threads % 32, warp = t % made.threads / 32;
      const uint32_t lanes = std::min(32u, made.threads - warp * 32);
      const uint32_t whole = lanes == 32 ? ~0u : (1u << lanes) - 1;
      const uint32_t own = half[warp] >> lane & 1 ? half[warp] : ~half[warp];
      uint32_t &step = made.steps[t][i].sync;
      step = sync == 1 ? 1 : sync == 2 ? (parts ? own : ~0u) & whole : 0;
      if (step == 1 && sync == 2)
        step = 0; // lane 0 with itself, which is written as the block's barrier is
    }
  }
  auto access = [&](uint32_t thread, uint32_t at, bool shared, bool write, uint32_t bytes, uint32_t offset) {
    Step &step = made.steps[thread][at];
    step.touches = true;
    step.shared = shared;
    step.write = write;
    step.bytes = bytes;
    step.offset = offset;
  };
  if (below(2)) {
    // A few accesses of one word, mostly by threads near one another, so that what is remembered of it matters.
    const uint32_t near = 1 + below(all), readers = 1 + below(4), place = below(2);
    for (uint32_t i = 0; i < readers; ++i)
      access(below(near), below(made.count), place, false, 4, 8);
    access(below(near), made.count - 1 - below(std::min(made.count, 2u)), place, true, 4, 8);
    return made;
  }
  // Few accesses everywhere, so that both sound scripts and races are common.
  const uint32_t rarity = 1 + below(made.threads * 2), writes = 2 + below(8);
  for (uint32_t t = 0; t < all; ++t)
    for (uint32_t i = 0; i < made.count; ++i)
      if (below(rarity) == 0) {
        const uint32_t bytes = 1u << below(4);
        access(t, i, below(2), below(writes) == 0, bytes, below(32 / bytes) * bytes);
      }
  return made;
}

/// By clocks: for each thread, how many steps of each other thread are ordered before what it does next.
bool hasRace(const Case &script) {
  const uint32_t all = script.blocks * script.threads;
  struct Access {
    uint32_t thread, time;
    const Step *step;
    std::vector<uint32_t> known;
  };
  std::vector<Access> accesses;
  std::vector<std::vector<uint32_t>> known(all, std::vector<uint32_t>(all));
  for (uint32_t i = 0; i < script.count; ++i) {
    for (uint32_t t = 0; t < all; ++t) {
      known[t][t] = i + 1;
      if (script.steps[t][i].touches)
        accesses.push_back({t, i + 1, &script.steps[t][i], known[t]});
    }
    std::vector<std::vector<uint32_t>> next = known;
    for (uint32_t t = 0; t < all; ++t)
      for (uint32_t u = 0; u < all; ++u) {
        const uint32_t sync = script.steps[t][i].sync;
        const uint32_t mine = t % script.threads, other = u % script.threads;
        const bool together = sync && t / script.threads == u / script.threads &&
                              (sync == 1 || (mine / 32 == other / 32 && sync >> other % 32 & 1));
        for (uint32_t k = 0; together && k < all; ++k)
          next[t][k] = std::max(next[t][k], known[u][k]);
      }
    known = std::move(next);
  }
  for (const Access &a : accesses)
    for (const Access &b : accesses) {
      const bool overlap =
          a.step->offset < b.step->offset + b.step->bytes && b.step->offset < a.step->offset + a.step->bytes;
      const bool samePlace = a.step->shared == b.step->shared &&
                             (!a.step->shared || a.thread / script.threads == b.thread / script.threads);
      if (a.thread != b.thread && samePlace && overlap && (a.step->write || b.step->write) &&
          b.known[a.thread] < a.time && a.known[b.thread] < b.time)
        return true;
    }
  return false;
}

/// CUDA_SUCCESS, or the error.
CUresult emulate(const Case &script, int seed, std::string &finding) {
  EmulatedGpu gpu({{"", "checked"}, {"SEED", std::to_string(seed)}});
  std::vector<uint32_t> words;
  for (const std::vector<Step> &steps : script.steps)
    for (const Step &step : steps) {
      words.push_back(uint32_t(step.touches) | uint32_t(step.shared) << 1 | uint32_t(step.write) << 2 |
                      step.bytes << 8 | step.offset << 16);
      words.push_back(step.sync);
    }
  CUdeviceptr steps = gpu.put(words), memory = gpu.put(std::vector<uint8_t>(32));
  CUresult result = gpu.run("script", script.blocks, script.threads, steps, memory, int32_t(script.count));
  finding = gpu.finding();
  return result;
}

} // namespace

int main(int count, char **arguments) {
  uint64_t seed = 1, cases = 200;
  for (int i = 1; i + 1 < count; i += 2) {
    if (!strcmp(arguments[i], "--seed"))
      seed = strtoull(arguments[i + 1], nullptr, 10);
    else if (!strcmp(arguments[i], "--cases"))
      cases = strtoull(arguments[i + 1], nullptr, 10);
  }
  uint64_t races = 0, wrong = 0;
  for (uint64_t i = 0; i < cases; ++i) {
    std::mt19937_64 random(seed + i);
    const Case script = draw(random);
    const bool expected = hasRace(script);
    races += expected;
    for (int order = 0; order < 3; ++order) {
      std::string finding;
      const CUresult result = emulate(script, order, finding);
      const bool found = result == CUDA_ERROR_LAUNCH_FAILED && finding.starts_with("race: ");
      if (found == expected && (found || result == CUDA_SUCCESS))
        continue;
      ++wrong;
      printf("race-test --seed %llu --cases 1: expected %s, found '%s' in order %d\n",
             static_cast<unsigned long long>(seed + i), expected ? "a race" : "none", finding.c_str(), order);
      break;
    }
  }
  printf("%llu scripts, %llu with a race, %llu wrong\n", static_cast<unsigned long long>(cases),
         static_cast<unsigned long long>(races), static_cast<unsigned long long>(wrong));
  return wrong != 0;
}
