#include "test/numerics/ThreadedGpu.h"
#include <barrier>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace moe::test {
namespace {

struct Block;

struct Warp {
  explicit Warp(uint32_t lanes) : meeting(lanes), lanes(lanes) {}
  std::barrier<> meeting;
  uint32_t lanes;
  uint32_t words[32];
  const float *a[32], *b[32];
};

struct Thread : emu::ThreadContext {
  Block *block;
};

struct Block {
  Block(uint32_t threads, size_t sharedBytes) : meeting(threads), shared(sharedBytes / 16 + 1) {
    for (uint32_t first = 0; first < threads; first += 32)
      warps.push_back(std::make_unique<Warp>(std::min(32u, threads - first)));
  }
  struct alignas(16) Piece {
    std::byte bytes[16];
  };
  std::barrier<> meeting;
  std::vector<Piece> shared;
  std::vector<std::unique_ptr<Warp>> warps;
  std::mutex lock;
  std::vector<Access> accesses;
};

Block &blockOf(emu::ThreadContext *context) { return *static_cast<Thread *>(context)->block; }
Warp &warpOf(emu::ThreadContext *context) { return *blockOf(context).warps[context->warp]; }

const emu::Services services = {
    .barrier = [](emu::ThreadContext *context, uint32_t) { blockOf(context).meeting.arrive_and_wait(); },
    .warpBarrier = [](emu::ThreadContext *context, uint32_t,
                      uint32_t) { warpOf(context).meeting.arrive_and_wait(); },
    .shuffle = [](emu::ThreadContext *context, uint32_t, uint32_t value, uint32_t offset, uint32_t clamp,
                  uint32_t kind, uint32_t) -> uint64_t {
      Warp &warp = warpOf(context);
      const int lane = int(context->lane), by = int(offset), limit = int(clamp & 31);
      const int segment = int((clamp >> 8) & 31), lowest = lane & segment,
                highest = lowest | (limit & ~segment);
      int from = lane;
      bool isInside = false;
      switch (emu::Shuffle(kind)) {
      case emu::Shuffle::up:
        from = lane - by;
        isInside = from >= highest;
        break;
      case emu::Shuffle::down:
        from = lane + by;
        isInside = from <= highest;
        break;
      case emu::Shuffle::bfly:
        from = lane ^ by;
        isInside = from <= highest;
        break;
      case emu::Shuffle::idx:
        from = lowest | (by & ~segment);
        isInside = from <= highest;
        break;
      }
      warp.words[lane] = value;
      warp.meeting.arrive_and_wait();
      const uint32_t got = warp.words[isInside ? from : lane];
      warp.meeting.arrive_and_wait();
      return got | uint64_t(isInside) << 32;
    },
    .ballot = [](emu::ThreadContext *context, uint32_t, uint32_t predicate, uint32_t) -> uint32_t {
      Warp &warp = warpOf(context);
      warp.words[context->lane] = predicate;
      warp.meeting.arrive_and_wait();
      uint32_t yes = 0;
      for (uint32_t lane = 0; lane < warp.lanes; ++lane)
        yes |= uint32_t(warp.words[lane] != 0) << lane;
      warp.meeting.arrive_and_wait();
      return yes;
    },
    .atomicAdd = [](emu::ThreadContext *, uint32_t *address, uint32_t value, uint32_t) -> uint32_t {
      return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
    },
    .copyAsync = [](emu::ThreadContext *, void *shared, const void *global, uint32_t bytes,
                    uint32_t) { memcpy(shared, global, bytes); },
    .copyCommit = [](emu::ThreadContext *) {},
    .copyWait = [](emu::ThreadContext *, uint32_t) {},
    .mmaTf32 =
        [](emu::ThreadContext *context, const float a[4], const float b[2], const float c[4], float d[4],
           uint32_t) {
          Warp &warp = warpOf(context);
          warp.a[context->lane] = a;
          warp.b[context->lane] = b;
          warp.meeting.arrive_and_wait();
          // Lane 4 g + t has a of rows g and g + 8, columns t and t + 4; b of rows t and t + 4, column g; and sums of
          // rows g and g + 8, columns 2 t and 2 t + 1.
          for (int i = 0; i < 4; ++i) {
            const int row = int(context->lane / 4), column = int(context->lane % 4 * 2) + i % 2;
            double sum = c[i];
            for (int k = 0; k < 8; ++k)
              sum += double(warp.a[row * 4 + k % 4][i / 2 + k / 4 * 2]) * warp.b[column * 4 + k % 4][k / 4];
            d[i] = float(sum);
          }
          warp.meeting.arrive_and_wait();
        },
    .access =
        [](emu::ThreadContext *context, const void *address, uint32_t bytes, uint32_t flags, uint32_t site) {
          Block &block = blockOf(context);
          std::lock_guard lock(block.lock);
          block.accesses.push_back({address, bytes, flags, site});
        },
};

} // namespace

ThreadedGpu::ThreadedGpu(llvm::ArrayRef<char> section) {
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(section.data()), section.size());
  if (!emu::VerifySizePrefixedModuleBuffer(verifier))
    return;
  table = emu::GetSizePrefixedModule(section.data());
  const int file = memfd_create("kernels", 0);
  if (write(file, table->code()->data(), table->code()->size()) == ssize_t(table->code()->size()))
    library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  close(file);
}

ThreadedGpu::~ThreadedGpu() {
  if (library)
    dlclose(library);
}

std::vector<Access> ThreadedGpu::launch(const std::string &name, bool isChecked, uint32_t blocks,
                                        uint32_t threads, const std::vector<uint64_t> &arguments,
                                        uint32_t dynamic) {
  const emu::Kernel *kernel = nullptr;
  for (const emu::Kernel *one : *table->kernels())
    if (one->name()->str() == name)
      kernel = one;
  if (!kernel || threads > kernel->threads())
    return {};
  auto entry =
      reinterpret_cast<emu::Entry>(dlsym(library, (isChecked ? kernel->checked() : kernel->fast())->c_str()));
  if (!entry)
    return {};
  std::vector<Access> accesses;
  for (uint32_t index = 0; index < blocks; ++index) {
    Block block(threads, (kernel->shared() + 15) / 16 * 16 + dynamic);
    std::vector<std::thread> all;
    for (uint32_t thread = 0; thread < threads; ++thread)
      all.emplace_back([&, thread] {
        Thread context{};
        context.tid[0] = thread;
        context.ctaid[0] = index;
        context.ntid[0] = threads;
        context.nctaid[0] = blocks;
        for (int i : {1, 2})
          context.ntid[i] = context.nctaid[i] = 1;
        context.shared = block.shared[0].bytes;
        context.services = &services;
        context.lane = thread % 32;
        context.warp = thread / 32;
        context.block = &block;
        entry(&context, arguments.data());
      });
    for (std::thread &thread : all)
      thread.join();
    accesses.insert(accesses.end(), block.accesses.begin(), block.accesses.end());
  }
  return accesses;
}

} // namespace moe::test
