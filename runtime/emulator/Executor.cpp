// Arguments with the host's pointers, the order of blocks, and the threads of the host.
#include "runtime/emulator/Executor.h"
#include "runtime/emulator/Faults.h"

#include <cstring>
#include <numeric>
#include <xmmintrin.h>

namespace moe::emu {

namespace {

std::atomic<uint64_t> launches{0};

/// The state of floating-point arithmetic that a GPU has: round to nearest, no flush of denormal numbers, no traps.
class PlainArithmetic {
public:
  PlainArithmetic() : before_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
  ~PlainArithmetic() { _mm_setcsr(before_); }

private:
  unsigned before_;
};

/// Every number below `count` once, in an order that a seed chooses: steps of a length without common divisor.
class Shuffled {
public:
  Shuffled(uint64_t count, uint64_t seed)
      : count_(count), first_(seed % count), step_((seed >> 32) % count | 1) {
    while (std::gcd(step_, count_) != 1)
      ++step_;
  }
  uint64_t operator()(uint64_t i) const {
    return uint64_t((unsigned __int128)(i)*step_ % count_ + first_) % count_;
  }

private:
  uint64_t count_, first_, step_;
};

uint64_t mixed(uint64_t x) { // SplitMix64
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

} // namespace

Executor::Executor(const Settings &settings)
    : settings_(settings), pool_(settings.checked ? 1 : settings.threads) {
  for (int i = 0; i < pool_.threads(); ++i)
    runners_.push_back(std::make_unique<BlockRunner>());
  handleFaults();
}

void Executor::runBlocks(LaunchRun &run, int thread, int64_t begin, int64_t end) {
  PlainArithmetic arithmetic;
  thread_local HandlerStack stack;
  const Shuffled order(run.launch->blocks(), run.seed);
  for (int64_t i = begin; i < end && !run.failed.load(std::memory_order_relaxed); ++i)
    runners_[size_t(thread)]->run(run, order(uint64_t(i)));
}

Findings Executor::run(const Launch &launch, const DeviceMemory &memory, Checker *checker, Piece piece) {
  std::vector<uint64_t> arguments((launch.arguments.size() + 7) / 8); // aligned
  auto *bytes = reinterpret_cast<std::byte *>(arguments.data());
  memcpy(bytes, launch.arguments.data(), launch.arguments.size());
  for (const Parameter &parameter : launch.kernel->parameters) {
    uint64_t address = 0;
    if (!parameter.pointer)
      continue;
    memcpy(&address, bytes + parameter.offset, sizeof address);
    if (address)
      address += uint64_t(memory.distance());
    memcpy(bytes + parameter.offset, &address, sizeof address);
  }
  LaunchRun run;
  run.number = ++launches;
  run.launch = &launch;
  run.entry = checker ? launch.kernel->checked : launch.kernel->fast;
  run.arguments = bytes;
  run.memory = &memory;
  run.checker = checker;
  run.piece = std::move(piece);
  run.seed = mixed(settings_.seed * 0x100000001B3ull + launch.blocks());
  run.lateCopies = settings_.lateCopies;
  struct Call {
    Executor *executor;
    LaunchRun *run;
  } call = {this, &run};
  const auto blocks = int64_t(launch.blocks());
  const int64_t grain = std::max<int64_t>(1, blocks / (8 * pool_.threads()));
  pool_.run(
      blocks, grain,
      [](void *context, int thread, int64_t begin, int64_t end) {
        auto &[executor, run] = *static_cast<Call *>(context);
        executor->runBlocks(*run, thread, begin, end);
      },
      &call);
  if (run.failed)
    return std::move(run.finding);
  if (run.unwritten)
    return std::move(run.unwritten);
  return {};
}

} // namespace moe::emu
