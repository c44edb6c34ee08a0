// Kernels for the tests of the emulator, written by hand for its interface (runtime/emulator/KernelAbi.h) as the compiler generates
// them: each as a fast and as a checked entry, without relocations. A kernel that can have a fault takes a number `fault` as its
// last parameter; with 0 it is sound. The second argument of an access is its site: each has one of its own.
#include "runtime/emulator/KernelAbi.h"

using namespace moe::emu;

namespace {

template <bool kChecked> struct Gpu {
  ThreadContext *context;

  uint32_t thread() const { return context->tid[0]; }
  uint32_t block() const { return context->ctaid[0]; }
  uint32_t global() const { return block() * context->ntid[0] + thread(); }
  template <typename T> T *shared(uint32_t offset = 0) const {
    return reinterpret_cast<T *>(context->shared + offset);
  }

  template <typename T> T load(const T *from, uint32_t site, uint32_t memory = 0) const {
    if (kChecked)
      context->services->access(context, from, sizeof(T), memory, site);
    return *from;
  }
  template <typename T> void store(T *to, T value, uint32_t site, uint32_t memory = 0) const {
    if (kChecked)
      context->services->access(context, to, sizeof(T), memory | kWrite, site);
    *to = value;
  }
  template <typename T> T loadShared(const T *from, uint32_t site) const {
    return load(from, site, kSharedMemory);
  }
  template <typename T> void storeShared(T *to, T value, uint32_t site) const {
    store(to, value, site, kSharedMemory);
  }

  void barrier(uint32_t site) const { context->services->barrier(context, site); }
  void warpBarrier(uint32_t mask, uint32_t site) const {
    context->services->warpBarrier(context, mask, site);
  }
  float shuffle(uint32_t mask, float value, uint32_t offset, uint32_t clamp, Shuffle kind,
                uint32_t site) const {
    union {
      float value;
      uint32_t bits;
    } word = {value};
    word.bits =
        uint32_t(context->services->shuffle(context, mask, word.bits, offset, clamp, uint32_t(kind), site));
    return word.value;
  }
};

struct alignas(16) Four {
  float values[4];
};

constexpr uint32_t kAll = ~0u;

/// Defines both entries of a kernel, whose body sees `gpu` and `arguments`.
#define KERNEL(name, Arguments)                                                                              \
  template <bool kChecked> static void name##_body(const Gpu<kChecked> gpu, const Arguments &arguments);     \
  extern "C" void name##_fast(ThreadContext *context, const void *arguments) {                               \
    name##_body<false>({context}, *static_cast<const Arguments *>(arguments));                               \
  }                                                                                                          \
  extern "C" void name##_checked(ThreadContext *context, const void *arguments) {                            \
    name##_body<true>({context}, *static_cast<const Arguments *>(arguments));                                \
  }                                                                                                          \
  template <bool kChecked> static void name##_body(const Gpu<kChecked> gpu, const Arguments &arguments)

struct Axpy {
  const float *x;
  float *y;
  int32_t count;
  float a;
};
struct Pair {
  const float *x;
  float *y;
  int32_t fault;
};
struct One {
  float *x;
  int32_t fault;
};
struct Count {
  uint32_t *counter;
  int32_t fault;
};
struct Bytes {
  uint8_t *x;
  int32_t fault;
};
struct Shuffles {
  uint32_t *out; // value and predicate of each lane
  uint32_t mask, offset, clamp, kind;
};
struct Mma {
  const float *a, *b, *c;
  float *d;
};
struct Mixed { // arguments of every size, each at its own alignment
  uint8_t one;
  uint16_t two;
  uint8_t three;
  uint32_t four;
  uint8_t five;
  uint64_t *out;
  uint64_t six;
};
struct Product {
  const float *a, *b;
  float *c;
  int32_t size; // of square matrices, a multiple of 64
};
// Of the small program that tests of the runtime run (TestProgram.h): buffers, then scalars of eight bytes each.
struct Dot {
  const float *x, *w;
  float *y;
  int64_t columns;
  uint64_t bias;
};
struct SquaredLoss {
  const float *y;
  const int32_t *label;
  float *loss, *finite;
  int64_t rows;
  uint64_t *held;
};
struct Sgd {
  const float *x, *y;
  const int32_t *label;
  const float *finite, *oldW;
  float *w;
  const float *oldMomentum;
  float *momentum;
  const uint64_t *lr, *mu;
  int64_t rows, columns;
  const uint64_t *held;
};
struct Scale {
  const float *in;
  float *out;
  uint64_t a;
};
struct MarkCells {
  float *out;
  const int64_t *step, *seed;
};

float asFloat(uint64_t bits) {
  union {
    uint32_t bits;
    float value;
  } word = {uint32_t(bits)};
  return word.value;
}

struct Script { // test/fuzz/races/RaceTestMain.cpp
  const uint32_t *steps;
  uint8_t *memory;
  int32_t count;
};
struct Numbers {
  uint64_t *out;
  int32_t number;
};

} // namespace

// y = a x + y
KERNEL(axpy, Axpy) {
  const auto i = int32_t(gpu.global());
  if (i < arguments.count)
    gpu.store(&arguments.y[i], arguments.a * gpu.load(&arguments.x[i], 0) + gpu.load(&arguments.y[i], 1), 2);
}

// x reversed within each block. Fault 1: no barrier. Fault 2: the last half of shared memory is never written.
KERNEL(reverse, One) {
  auto *values = gpu.template shared<float>();
  const uint32_t i = gpu.thread(), last = gpu.context->ntid[0] - 1;
  if (arguments.fault != 2 || i <= last / 2)
    gpu.storeShared(&values[i], gpu.load(&arguments.x[gpu.global()], 3), 4);
  if (arguments.fault != 1)
    gpu.barrier(5);
  gpu.store(&arguments.x[gpu.global()], gpu.loadShared(&values[last - i], 6), 7);
}

// The sum of each block, by a tree in shared memory. Fault: the barrier within the loop is missing.
KERNEL(block_sum, Pair) {
  auto *values = gpu.template shared<float>();
  const uint32_t i = gpu.thread();
  gpu.storeShared(&values[i], gpu.load(&arguments.x[gpu.global()], 8), 9);
  gpu.barrier(10);
  for (uint32_t half = gpu.context->ntid[0] / 2; half; half /= 2) {
    if (i < half)
      gpu.storeShared(&values[i], gpu.loadShared(&values[i], 11) + gpu.loadShared(&values[i + half], 12), 13);
    if (!arguments.fault)
      gpu.barrier(14);
  }
  if (i == 0)
    gpu.store(&arguments.y[gpu.block()], gpu.loadShared(&values[0], 15), 16);
}

// The sum of each warp, by shuffles. Fault: half of the warp ends before.
KERNEL(warp_sum, Pair) {
  float sum = gpu.load(&arguments.x[gpu.global()], 17);
  if (arguments.fault && gpu.context->lane >= 16)
    return;
  for (uint32_t offset = 16; offset; offset /= 2)
    sum += gpu.shuffle(kAll, sum, offset, 31, Shuffle::bfly, 18);
  if (gpu.context->lane == 0)
    gpu.store(&arguments.y[gpu.global() / 32], sum, 19);
}

// y[i] = x[i]. Fault: the last thread of a block writes for the first one of the next block as well.
KERNEL(copy, Pair) {
  const uint32_t i = gpu.global();
  gpu.store(&arguments.y[i], gpu.load(&arguments.x[i], 20), 21);
  if (arguments.fault && gpu.thread() == gpu.context->ntid[0] - 1 && gpu.block() + 1 < gpu.context->nctaid[0])
    gpu.store(&arguments.y[i + 1], 0.0f, 22);
}

// A barrier. Fault 1: half of each warp has ended. Fault 2: the halves are at two barriers. Fault 3: half of each warp is at a
// shuffle of all. Fault 4, which is none: a whole warp has ended.
KERNEL(meet, One) {
  const bool first = gpu.context->lane < 16;
  if (arguments.fault == 1 && !first)
    return;
  if (arguments.fault == 4 && gpu.context->warp == 1)
    return;
  if (arguments.fault == 2 && !first)
    gpu.barrier(23);
  else if (arguments.fault == 3 && !first)
    gpu.shuffle(kAll, 1, 1, 31, Shuffle::bfly, 24);
  else
    gpu.barrier(25);
  gpu.store(&arguments.x[gpu.global()], 1.0f, 26);
}

// Neighbours within a warp exchange values through shared memory. Fault 1: nothing synchronises them. Fault 2: a shuffle does,
// which orders no memory. Fault 3: the synchronisation is of each half by itself, and the other half is read.
KERNEL(exchange, Pair) {
  auto *values = gpu.template shared<float>();
  const uint32_t i = gpu.thread(), half = gpu.context->lane < 16 ? 0xFFFFu : 0xFFFF0000u;
  gpu.storeShared(&values[i], gpu.load(&arguments.x[gpu.global()], 27), 28);
  if (arguments.fault == 0)
    gpu.warpBarrier(kAll, 29);
  else if (arguments.fault == 2)
    gpu.shuffle(kAll, 0, 1, 31, Shuffle::bfly, 30);
  else if (arguments.fault >= 3)
    gpu.warpBarrier(half, 31);
  // Fault 4, which is none: the half that was synchronised is read.
  gpu.store(&arguments.y[gpu.global()], gpu.loadShared(&values[i ^ (arguments.fault == 3 ? 16 : 1)], 32), 33);
}

// y = x, by asynchronous copies of 16 bytes in two stages. Fault 1: the last wait is missing. Fault 2: the barrier behind it is.
KERNEL(pipeline, Pair) {
  auto *stages = gpu.template shared<Four>();
  const uint32_t threads = gpu.context->ntid[0], i = gpu.thread();
  const auto *from = reinterpret_cast<const Four *>(arguments.x) + gpu.block() * threads * 2;
  auto *to = reinterpret_cast<Four *>(arguments.y) + gpu.block() * threads * 2;
  const Services &services = *gpu.context->services;
  for (uint32_t stage = 0; stage < 2; ++stage) {
    services.copyAsync(gpu.context, &stages[stage * threads + i], &from[stage * threads + i], 16, 34);
    services.copyCommit(gpu.context);
  }
  for (uint32_t stage = 0; stage < 2; ++stage) {
    if (arguments.fault != 1 || stage == 0)
      services.copyWait(gpu.context, 1 - stage);
    if (arguments.fault != 2)
      gpu.barrier(35);
    const Four value = gpu.loadShared(&stages[stage * threads + (threads - 1 - i)], 36);
    gpu.store(&to[stage * threads + (threads - 1 - i)], value, 37);
  }
}

// Four floats at once. Fault: at an address that is no multiple of 16.
KERNEL(vector_copy, Pair) {
  const auto *from = reinterpret_cast<const Four *>(arguments.x + arguments.fault);
  const Four value = gpu.load(from + gpu.global(), 38);
  gpu.store(reinterpret_cast<Four *>(arguments.y) + gpu.global(), value, 39);
}

// Each thread writes a byte of its own. Fault: the byte of its neighbour as well.
KERNEL(bytes, Bytes) {
  gpu.store(&arguments.x[gpu.global()], uint8_t(gpu.thread()), 40);
  if (arguments.fault && gpu.thread())
    gpu.store(&arguments.x[gpu.global() - 1], uint8_t(0), 41);
}

// Counts the threads. Fault: without atomic operations.
KERNEL(count, Count) {
  if (!arguments.fault)
    gpu.context->services->atomicAdd(gpu.context, arguments.counter, 1, 42);
  else
    gpu.store(arguments.counter, gpu.load(arguments.counter, 43) + 1, 44);
}

// Writes behind the dynamic shared memory by `fault` elements.
KERNEL(dynamic, One) {
  auto *values = gpu.template shared<float>();
  gpu.storeShared(&values[gpu.thread() + uint32_t(arguments.fault)], 1.0f, 45);
  gpu.barrier(46);
  gpu.store(&arguments.x[gpu.global()], gpu.loadShared(&values[gpu.thread() + uint32_t(arguments.fault)], 47),
            48);
}

__attribute__((noinline)) static float descend(volatile float *above, int32_t depth) {
  volatile float here[64];
  here[0] = *above + 1;
  return depth ? descend(here, depth - 1) + here[0] : here[0];
}

// Needs as much stack as `fault` calls.
KERNEL(stack, One) {
  volatile float zero = 0;
  gpu.store(&arguments.x[gpu.global()], descend(&zero, arguments.fault) * 0 + 1, 49);
}

KERNEL(shuffles, Shuffles) {
  if (!(arguments.mask >> gpu.context->lane & 1))
    return;
  const uint64_t result =
      gpu.context->services->shuffle(gpu.context, arguments.mask, 100 + gpu.context->lane, arguments.offset,
                                     arguments.clamp, arguments.kind, 50);
  gpu.store(&arguments.out[2 * gpu.global()], uint32_t(result), 51);
  gpu.store(&arguments.out[2 * gpu.global() + 1], uint32_t(result >> 32), 52);
}

// The lanes whose number has the bit.
KERNEL(ballots, Count) {
  for (uint32_t bit = 0; bit < 5; ++bit)
    gpu.store(&arguments.counter[gpu.global() * 5 + bit],
              gpu.context->services->ballot(gpu.context, kAll, gpu.context->lane & 1 << bit, 53), 54);
}

KERNEL(mma, Mma) {
  const uint32_t lane = gpu.context->lane, g = lane / 4, t = lane % 4;
  const float a[4] = {gpu.load(&arguments.a[g * 8 + t], 55), gpu.load(&arguments.a[(g + 8) * 8 + t], 55),
                      gpu.load(&arguments.a[g * 8 + t + 4], 55),
                      gpu.load(&arguments.a[(g + 8) * 8 + t + 4], 55)};
  const float b[2] = {gpu.load(&arguments.b[t * 8 + g], 56), gpu.load(&arguments.b[(t + 4) * 8 + g], 56)};
  float d[4];
  for (uint32_t i = 0; i < 4; ++i)
    d[i] = gpu.load(&arguments.c[(g + 8 * (i / 2)) * 8 + t * 2 + i % 2], 57);
  gpu.context->services->mmaTf32(gpu.context, a, b, d, d, 58);
  for (uint32_t i = 0; i < 4; ++i)
    gpu.store(&arguments.d[(g + 8 * (i / 2)) * 8 + t * 2 + i % 2], d[i], 59);
}

KERNEL(mixed, Mixed) {
  const uint64_t values[6] = {arguments.one,  arguments.two,  arguments.three,
                              arguments.four, arguments.five, arguments.six};
  for (uint32_t i = 0; i < 6; ++i)
    gpu.store(&arguments.out[i], values[i], 60);
}

// The indices of each thread, as one number.
KERNEL(indices, Numbers) {
  const ThreadContext &c = *gpu.context;
  const uint32_t block = (c.ctaid[2] * c.nctaid[1] + c.ctaid[1]) * c.nctaid[0] + c.ctaid[0];
  const uint32_t thread = (c.tid[2] * c.ntid[1] + c.tid[1]) * c.ntid[0] + c.tid[0];
  const uint64_t value = uint64_t(block) << 32 | uint64_t(c.warp) << 16 | c.lane;
  gpu.store(&arguments.out[block * c.ntid[0] * c.ntid[1] * c.ntid[2] + thread], value, 61);
}

// A division by the number, which may be 0.
KERNEL(divide, Numbers) { gpu.store(&arguments.out[gpu.global()], uint64_t(1000 / arguments.number), 62); }

// Loads from an address that is no parameter: from memory.
KERNEL(follow, Numbers) {
  const uint64_t address = gpu.load(&arguments.out[0], 63);
  gpu.store(&arguments.out[1], gpu.load(reinterpret_cast<const uint64_t *>(address), 64), 65);
}

// c = a b, in tiles of 64 x 64 by 256 threads: what most of the time of a model goes to.
KERNEL(product, Product) {
  constexpr uint32_t kTile = 64, kDepth = 16;
  auto *as = gpu.template shared<float>(), *bs = gpu.template shared<float>(kTile * kDepth * 4);
  const auto size = uint32_t(arguments.size);
  const uint32_t i = gpu.thread(), row0 = gpu.context->ctaid[1] * kTile, column0 = gpu.block() * kTile;
  const uint32_t row = i / 16 * 4, column = i % 16 * 4;
  float sums[4][4] = {};
  for (uint32_t k0 = 0; k0 < size; k0 += kDepth) {
    // Each thread brings four neighbours of each tile; that of a is transposed.
    const Four a =
        gpu.load(reinterpret_cast<const Four *>(&arguments.a[(row0 + i / 4) * size + k0 + i % 4 * 4]), 66);
    for (uint32_t j = 0; j < 4; ++j)
      gpu.storeShared(&as[(i % 4 * 4 + j) * kTile + i / 4], a.values[j], 67);
    const Four b =
        gpu.load(reinterpret_cast<const Four *>(&arguments.b[(k0 + i / 16) * size + column0 + column]), 68);
    gpu.storeShared(reinterpret_cast<Four *>(&bs[i / 16 * kTile + column]), b, 69);
    gpu.barrier(70);
    for (uint32_t k = 0; k < kDepth; ++k) {
      const Four left = gpu.loadShared(reinterpret_cast<const Four *>(&as[k * kTile + row]), 71);
      const Four right = gpu.loadShared(reinterpret_cast<const Four *>(&bs[k * kTile + column]), 72);
      for (uint32_t y = 0; y < 4; ++y)
        for (uint32_t x = 0; x < 4; ++x)
          sums[y][x] += left.values[y] * right.values[x];
    }
    gpu.barrier(73);
  }
  for (uint32_t y = 0; y < 4; ++y)
    gpu.store(reinterpret_cast<Four *>(&arguments.c[(row0 + row + y) * size + column0 + column]),
              Four{{sums[y][0], sums[y][1], sums[y][2], sums[y][3]}}, 74);
}

// The kernels of the small program: a block does what the CPU's kernels do for a unit of work (TestKernels.c), by its first thread.

KERNEL(dot, Dot) {
  if (gpu.thread())
    return;
  const int64_t row = gpu.block();
  float sum = asFloat(arguments.bias);
  for (int64_t column = 0; column < arguments.columns; ++column)
    sum += gpu.load(&arguments.x[row * arguments.columns + column], 75) * gpu.load(&arguments.w[column], 75);
  gpu.store(&arguments.y[row], sum, 75);
}

// A loss that is not finite holds back this update and all later ones.
KERNEL(squared_loss, SquaredLoss) {
  if (gpu.thread())
    return;
  float sum = 0;
  for (int64_t row = 0; row < arguments.rows; ++row) {
    const float difference = gpu.load(&arguments.y[row], 76) - float(gpu.load(&arguments.label[row], 76));
    sum += difference * difference;
  }
  const float loss = sum / float(arguments.rows);
  const bool finite = loss - loss == 0;
  gpu.store(arguments.loss, loss, 76);
  gpu.store(arguments.finite, finite ? 1.0f : 0.0f, 76);
  if (!finite)
    gpu.store(arguments.held, uint64_t(1), 76);
}

KERNEL(sgd, Sgd) {
  if (gpu.thread() || gpu.load(arguments.held, 77) || gpu.load(arguments.finite, 77) == 0)
    return;
  const int64_t column = gpu.block();
  float gradient = 0;
  for (int64_t row = 0; row < arguments.rows; ++row)
    gradient += 2 * (gpu.load(&arguments.y[row], 77) - float(gpu.load(&arguments.label[row], 77))) *
                gpu.load(&arguments.x[row * arguments.columns + column], 77) / float(arguments.rows);
  const float momentum =
      asFloat(gpu.load(arguments.mu, 77)) * gpu.load(&arguments.oldMomentum[column], 77) + gradient;
  gpu.store(&arguments.momentum[column], momentum, 77);
  gpu.store(&arguments.w[column],
            gpu.load(&arguments.oldW[column], 77) - asFloat(gpu.load(arguments.lr, 77)) * momentum, 77);
}

KERNEL(scale, Scale) {
  if (gpu.thread() == 0)
    gpu.store(&arguments.out[gpu.block()], asFloat(arguments.a) * gpu.load(&arguments.in[gpu.block()], 78),
              78);
}

KERNEL(mark, MarkCells) {
  if (gpu.thread() == 0)
    gpu.store(&arguments.out[gpu.block()],
              float(int64_t(gpu.block()) + 1000 * gpu.load(arguments.seed, 79) +
                    1000000 * gpu.load(arguments.step, 79)),
              79);
}

// Each thread does what its script says: an access, then a synchronisation. 32 bytes of shared memory are written first.
KERNEL(script, Script) {
  auto *shared = gpu.template shared<uint8_t>();
  if (gpu.thread() == 0)
    for (uint32_t i = 0; i < 4; ++i)
      gpu.storeShared(reinterpret_cast<uint64_t *>(shared) + i, uint64_t(0), 80);
  gpu.barrier(81);
  for (int32_t i = 0; i < arguments.count; ++i) {
    // Of the script itself no access is announced.
    const uint32_t *step = &arguments.steps[(gpu.global() * uint32_t(arguments.count) + uint32_t(i)) * 2];
    const uint32_t bytes = step[0] >> 8 & 255, offset = step[0] >> 16;
    const bool inShared = step[0] & 2;
    uint8_t *at = (inShared ? shared : arguments.memory) + offset;
    if (step[0] & 1 && kChecked)
      gpu.context->services->access(gpu.context, at, bytes,
                                    (step[0] & 4 ? kWrite : 0) | (inShared ? kSharedMemory : 0), 82);
    if (step[1] == 1)
      gpu.barrier(83);
    else if (step[1])
      gpu.warpBarrier(step[1], 84);
  }
}
