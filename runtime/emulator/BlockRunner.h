// Executes one block of a kernel on one thread of the host. Each GPU thread runs until it has to wait for others; only then does it
// need a stack of its own, so threads that never wait run one after another on the same one. Warps are continued in random order,
// and the lanes of a warp from a random one on, both from a seed.
#pragma once

#include "runtime/emulator/Fiber.h"
#include "runtime/emulator/Launch.h"

#include <csignal>

namespace moe::emu {

/// What a thread waits for.
enum class Wait : uint8_t { nothing, barrier, warpBarrier, shuffle, ballot, mma };

struct AsyncCopy {
  void *to;
  const void *from;
  uint32_t bytes, site;
};

struct Warp;
class BlockRunner;

struct Thread : ThreadContext {
  BlockRunner *runner;
  Warp *home;
  Fiber *fiber; // while it runs or waits
  uint32_t index;
  Wait wait;
  uint32_t site, mask;
  // Operands and results of what a warp does together.
  uint32_t value, offset, clamp, kind;
  const float *a, *b, *c;
  float *d;
  uint64_t result;
  // Asynchronous copies that have not landed, and for each committed group, where it ends among all.
  std::vector<AsyncCopy> copies;
  std::vector<size_t> groupEnds;
  size_t landed, groupsLanded;
  // Checked mode.
  Accessor accessor;
  uint32_t known[32];
};

/// Lanes as bits.
struct Warp {
  uint32_t index;
  uint32_t all;     // those of the block's threads
  uint32_t live;    // those that have not ended
  uint32_t fresh;   // not started
  uint32_t ready;   // started, and can be continued
  uint32_t waiting; // wait for other lanes of the warp
  Thread *threads;  // of lane 0
};

class BlockRunner {
public:
  BlockRunner();
  ~BlockRunner();

  /// Executes a block; findings go to the launch.
  void run(LaunchRun &launch, uint64_t block);

  /// The runner whose kernel the calling thread of the host executes.
  static BlockRunner *current();
  /// A signal hit the kernel: `context` is changed so that the kernel is left. False where no kernel was running.
  bool takeFault(int signal, const siginfo_t &info, void *context);

private:
  friend struct ServiceCalls;

  void prepare();
  void start(uint64_t block);
  void runWarp(Warp &warp);
  Thread *nextFresh();
  void finished(Thread &thread);
  static void fiberBody(void *runner, Fiber *fiber);
  Fiber *takeFiber();
  void enter(Fiber &fiber);
  [[noreturn]] static void leaveFaulted();
  void explainFault();
  void explainStandstill();

  // What services do.
  void waitFor(Thread &thread, Wait wait); // returns once it is over
  void tryOpenBarrier();
  bool tryComplete(Thread &thread);
  void complete(Thread &thread, uint32_t lanes);
  void shuffle(Warp &warp, uint32_t lanes);
  void multiply(Warp &warp);
  void land(Thread &thread, size_t end);
  [[noreturn]] void fail(Thread &thread, CUresult code, std::string text);
  /// "kernel 'k', op 'linear fc' at model.mlir:12: thread (0, 0, 0) of block (1, 0, 0)"
  std::string describe(const Thread &thread, uint32_t site) const;
  std::string threadText(uint32_t index) const;
  std::string blockText(uint64_t block) const;

  // The checked mode (BlockChecks.cpp).
  void startChecks();
  void orderBarrier();
  void orderWarp(Warp &warp, uint32_t lanes);
  void checkGlobal(Thread &thread, const void *address, uint32_t bytes, Mode mode, uint32_t site);
  /// Blocks communicate through launches, and within one by the counters that the kernel declares.
  void checkCounter(Thread &thread, const void *address, uint32_t site);
  void checkShared(Thread &thread, const void *address, uint32_t bytes, Mode mode, uint32_t site);
  void checkCopy(Thread &thread, const AsyncCopy &copy);
  void checkLanding(Thread &thread, const AsyncCopy &copy);
  void reportUnwritten();
  /// Does not return, except after a read of memory that was never written.
  void failAccess(Thread &thread, const Conflict &conflict, bool shared, uint64_t at, uint32_t bytes,
                  Mode mode, uint32_t site);

  uint64_t random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    return random_ ^= random_ << 17;
  }

  LaunchRun *launch_ = nullptr;
  uint64_t prepared_ = 0; // the launch that threads_ is set up for
  uint64_t block_ = 0, random_ = 1;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  uint32_t live_ = 0, arrived_ = 0; // threads; those at the barrier
  uint32_t barrierSite_ = 0;
  uint32_t runnable_ = 0; // warps with fresh or ready lanes
  Warp *running_ = nullptr;
  uint32_t firstLane_ = 0;
  Thread *thread_ = nullptr; // that runs now
  bool abandoned_ = false;   // the block failed: its threads are not continued

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber *> freeFibers_;
  Fiber *fiber_ = nullptr; // that runs now
  void *scheduler_ = nullptr;

  std::byte *sharedPages_ = nullptr; // between guards; the block's memory ends at the end of them
  std::byte *shared_ = nullptr;
  uint32_t sharedBytes_ = 0;

  struct Fault {
    int signal;
    std::byte *address;
  } fault_ = {};
  std::byte *lastStack_ = nullptr; // on which a kernel that was hit by a signal is left

  uint32_t stamp_ = 0; // synchronisations of the block
  uint64_t restarts_ = 0;
  std::vector<ShadowPage> sharedShadow_;
};

} // namespace moe::emu
