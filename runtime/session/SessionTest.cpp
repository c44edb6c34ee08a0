// The small program in sessions: what it computes, at several batch sizes and thread counts; that prepared
// values follow the parameters; poison and the NaN trap; and that a step never allocates.
#include "runtime/session/Session.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "test/support/TestProgram.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <new>
#include <thread>
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#include <sanitizer/allocator_interface.h>
#endif

// Counts what any thread of the process allocates: a step must allocate nothing. Sanitizers bring an operator new of their
// own, and that of the thread sanitizer cannot be replaced, so there their hook counts.
static std::atomic<int64_t> allocations = 0;
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static constexpr bool kSanitizer = true;
static const int hooked = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void *, size_t) { ++allocations; }, [](const volatile void *) {});
#else
static constexpr bool kSanitizer = false;
static const int hooked = 1;
// The forms for arrays and those that do not throw call these.
void *operator new(size_t bytes) {
  ++allocations;
  if (void *memory = malloc(bytes ? bytes : 1))
    return memory;
  throw std::bad_alloc();
}
void *operator new(size_t bytes, std::align_val_t alignment) {
  ++allocations;
  size_t unit = std::max(size_t(alignment), sizeof(void *));
  if (void *memory = aligned_alloc(unit, (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { free(memory); }
void operator delete(void *memory, size_t) noexcept { free(memory); }
void operator delete(void *memory, std::align_val_t) noexcept { free(memory); }
void operator delete(void *memory, size_t, std::align_val_t) noexcept { free(memory); }
#endif

namespace moert::test {
namespace {

struct Bench {
  std::shared_ptr<const Program> program;
  std::shared_ptr<States> states;
  std::shared_ptr<Device> device;

  /// Of the CPU: the state itself.
  Tensor state(size_t i) const { return states->host()->tensor(i); }

  std::unique_ptr<Session> open(const char *entry, Binding binding, Session::Options options = {}) {
    Result<std::unique_ptr<Session>> session =
        Session::open(program, states, device, entry, binding, options);
    EXPECT_TRUE(session.ok()) << session.status().message();
    return session.ok() ? *std::move(session) : nullptr;
  }
};

Bench bench(int threads = 2, TestProgram source = testProgram()) {
  Bench out;
  Result<std::shared_ptr<const Program>> program = Program::verify(source.encode(), "p.moe");
  EXPECT_TRUE(program.ok()) << program.status().message();
  out.program = *program;
  out.device = *openCpu(threads);
  out.states = *States::create(out.program, out.device, 1);
  return out;
}

void fill(Session &session) {
  std::span<float> image = session.input("image")->as<float>();
  for (size_t i = 0; i < image.size(); ++i)
    image[i] = float(int(i * 7 % 11) - 5) / 8;
  if (Result<Tensor> label = session.input("label"))
    for (size_t i = 0; i < label->as<int32_t>().size(); ++i)
      label->as<int32_t>()[i] = int32_t(i % 2);
}

TEST(Session, Infers) {
  Bench b = bench();
  std::unique_ptr<Session> main = b.open("main", {2, 3});
  ASSERT_TRUE(main);
  EXPECT_EQ(main->input("image")->shape, (std::vector<int64_t>{6, 3}));
  fill(*main);
  main->setSeed(3);
  ASSERT_TRUE(main->run({.step = 2, .progress = 0.5}).ok());
  std::span<float> w = b.state(kW).as<float>(), x = main->input("image")->as<float>();
  for (int row = 0; row < 6; ++row) {
    float sum = 0.25f;
    for (int column = 0; column < 3; ++column)
      sum += x[size_t(row * 3 + column)] * (2 * w[size_t(column)]);
    EXPECT_FLOAT_EQ(main->output("logits")->as<float>()[size_t(row)], 0.5f * sum);
    EXPECT_EQ(main->output("mark")->as<float>()[size_t(row)], 2003000.0f + float(row));
  }
}

// Launches without a kernel: a copy and a fill of the outputs, on each device that runs on the CPU.
TEST(Session, CopiesAndFills) {
  for (const char *device : {"cpu", "isolated"}) {
    SCOPED_TRACE(device);
    TestProgram p = testProgram();
    moe::fb::PlanT &main = *p.table.targets[0]->plans[kMain];
    main.step[1]->work.Set(moe::fb::CopyT());
    main.step[1]->scalars.clear();
    main.step[1]->buffers = {kMLogits, kMY};
    moe::fb::FillT fill;
    fill.bits = 0x3fc00000; // 1.5
    main.step[2]->work.Set(std::move(fill));
    main.step[2]->scalars.clear();
    std::shared_ptr<const Program> program = *Program::verify(p.encode(), "p.moe");
    std::shared_ptr<Device> opened = *openDevice({device, 2});
    std::shared_ptr<States> states = *States::create(program, opened, 1);
    std::unique_ptr<Session> session =
        *Session::open(program, states, opened, "main", {2, 3}, {.profile = true});
    session->resetProfile();
    test::fill(*session);
    ASSERT_TRUE(session->run({}).ok());
    HostStates host = *states->host();
    std::span<float> w = host.tensor(kW).as<float>(), x = session->input("image")->as<float>();
    for (int row = 0; row < 6; ++row) {
      float sum = 0.25f;
      for (int column = 0; column < 3; ++column)
        sum += x[size_t(row * 3 + column)] * 2 * w[size_t(column)];
      EXPECT_FLOAT_EQ(session->output("logits")->as<float>()[size_t(row)], sum);
      EXPECT_EQ(session->output("mark")->as<float>()[size_t(row)], 1.5f);
    }
    EXPECT_EQ(session->profile().launches[2].kernel, "copy");
    EXPECT_EQ(session->profile().launches[3].kind, "fill");
  }
}

TEST(Session, Trains) {
  Bench b = bench();
  std::unique_ptr<Session> train = b.open("train", {2, 4}), main = b.open("main", {1, 1});
  fill(*train);
  fill(*main);
  ASSERT_TRUE(main->run({.progress = 1}).ok());
  float before = main->output("logits")->as<float>()[0], first = 0;
  for (uint64_t step = 0; step < 100; ++step) {
    ASSERT_TRUE(train->run({.step = step}).ok());
    if (step == 0)
      first = *train->scalarOutput("loss");
  }
  EXPECT_LT(*train->scalarOutput("loss"), first);
  EXPECT_EQ(*train->scalarOutput("finite"), 1);
  ASSERT_TRUE(main->run({.progress = 1}).ok());
  float sum = 0.25f;
  for (size_t i = 0; i < 3; ++i)
    sum += main->input("image")->as<float>()[i] * (2 * b.state(kW).as<float>()[i]);
  EXPECT_FLOAT_EQ(main->output("logits")->as<float>()[0], sum)
      << "prepared weights must follow the parameters";
  EXPECT_NE(before, sum);
}

TEST(Session, ScalarsTakeEffect) {
  Bench b = bench();
  std::unique_ptr<Session> train = b.open("train", {1, 4});
  fill(*train);
  std::span<float> w = b.state(kW).as<float>();
  std::vector<float> before(w.begin(), w.end());
  ASSERT_TRUE(train->setScalar("optimizer.lr", 0).ok());
  ASSERT_TRUE(train->run({}).ok());
  EXPECT_TRUE(std::equal(w.begin(), w.end(), before.begin()));
  Status unknown = train->setScalar("optimizer.rl", 1);
  EXPECT_NE(unknown.message().find("did you mean 'optimizer.lr'"), std::string::npos) << unknown.message();
  EXPECT_FALSE(train->setScalar("progress", 1).ok()) << "progress is a run's, not a recipe's";
}

TEST(Session, NothingChangesWhenTheLossIsNotFinite) {
  Bench b = bench();
  std::unique_ptr<Session> train = b.open("train", {1, 4});
  fill(*train);
  train->input("image")->as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  std::span<float> w = b.state(kW).as<float>();
  std::vector<float> before(w.begin(), w.end());
  ASSERT_TRUE(train->run({}).ok());
  EXPECT_EQ(*train->scalarOutput("finite"), 0);
  EXPECT_TRUE(std::equal(w.begin(), w.end(), before.begin()));
}

TEST(Session, SameBytesForAnyThreadCount) {
  auto run = [](int threads) {
    Bench b = bench(threads);
    std::unique_ptr<Session> train = b.open("train", {3, 40});
    fill(*train);
    for (uint64_t step = 0; step < 20; ++step)
      EXPECT_TRUE(train->run({.step = step}).ok());
    std::span<float> w = b.state(kW).as<float>();
    return std::vector<float>(w.begin(), w.end());
  };
  EXPECT_EQ(run(1), run(2));
  EXPECT_EQ(run(1), run(3));
}

TEST(Session, ArenaMovesUnderOpenSessions) {
  Bench b = bench();
  std::unique_ptr<Session> small = b.open("train", {1, 2});
  fill(*small);
  ASSERT_TRUE(small->run({}).ok());
  std::unique_ptr<Session> large = b.open("train", {8, 4096});
  fill(*large);
  ASSERT_TRUE(large->run({}).ok());
  ASSERT_TRUE(small->run({}).ok());
  EXPECT_TRUE(std::isfinite(*small->scalarOutput("loss")));
  EXPECT_GT(large->memory().arena, small->memory().arena);
  EXPECT_GE(small->memory().arena, small->memory().live);
}

TEST(Session, PoisonChangesNothingThatIsRight) {
  for (bool poison : {false, true}) {
    Bench b = bench();
    Session::Options options;
    options.poison = poison;
    std::unique_ptr<Session> train = b.open("train", {1, 4}, options), main = b.open("main", {1, 4}, options);
    fill(*train);
    fill(*main);
    for (uint64_t step = 0; step < 3; ++step) {
      ASSERT_TRUE(train->run({.step = step}).ok());
      ASSERT_TRUE(main->run({.step = step, .progress = 1}).ok());
      ASSERT_TRUE(main->run({.step = step, .progress = 1}).ok()) << "what prepare made must survive a run";
    }
    static float loss, logit;
    if (!poison) {
      loss = *train->scalarOutput("loss");
      logit = main->output("logits")->as<float>()[3];
    } else {
      EXPECT_EQ(*train->scalarOutput("loss"), loss);
      EXPECT_EQ(main->output("logits")->as<float>()[3], logit);
    }
  }
}

TEST(Session, PoisonShowsAReadOfWhatNobodyWrote) {
  TestProgram p = testProgram();
  // The first launch of main computes one row only; the next one reads all of them.
  p.table.targets[0]->plans[kMain]->step[0]->work.AsCpuKernel()->units = kOne;
  Bench b = bench(1, std::move(p));
  Session::Options options;
  options.poison = true;
  std::unique_ptr<Session> main = b.open("main", {1, 4}, options);
  fill(*main);
  ASSERT_TRUE(main->run({.progress = 1}).ok());
  EXPECT_FALSE(std::isnan(main->output("logits")->as<float>()[0]));
  EXPECT_TRUE(std::isnan(main->output("logits")->as<float>()[3]));
}

TEST(Session, TrapNamesTheLaunch) {
  Bench b = bench();
  Session::Options options;
  options.trapNan = true;
  std::unique_ptr<Session> train = b.open("train", {1, 4}, options);
  fill(*train);
  EXPECT_TRUE(train->run({}).ok());
  train->input("image")->as<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  Status status = train->run({.step = 41});
  ASSERT_FALSE(status.ok());
  for (const char *words : {"step 42", "'linear'", "fc", "linear.mlir:3", "%y", "element 2"})
    EXPECT_NE(status.message().find(words), std::string::npos) << words << " in " << status.message();
}

// The NaN is in a state's own new value, so the launch that shows it has written over the old ones.
TEST(Session, ATrappedStepChangesNoState) {
  Bench b = bench();
  Session::Options options;
  options.trapNan = true;
  std::unique_ptr<Session> train = b.open("train", {1, 4}, options);
  fill(*train);
  ASSERT_TRUE(train->run({}).ok());
  b.state(kMomentum).as<float>()[1] = std::numeric_limits<float>::quiet_NaN();
  std::span<float> w = b.state(kW).as<float>();
  std::vector<float> before(w.begin(), w.end());
  Status status = train->run({.step = 1});
  EXPECT_NE(status.message().find("'sgd'"), std::string::npos) << status.message();
  EXPECT_TRUE(std::equal(w.begin(), w.end(), before.begin()));
  EXPECT_TRUE(std::isfinite(b.state(kMomentum).as<float>()[0]));
}

TEST(Session, Profiles) {
  Bench b = bench();
  Session::Options options;
  options.profile = true;
  std::unique_ptr<Session> main = b.open("main", {1, 4}, options);
  fill(*main);
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(main->run({}).ok());
  ASSERT_EQ(main->profile().launches.size(), 4u);
  EXPECT_EQ(main->profile().launches[0].runs, 1u) << "parameters did not change: one prepare";
  EXPECT_EQ(main->profile().launches[1].runs, 5u);
  EXPECT_EQ(main->profile().launches[1].kernel, "dot");
  EXPECT_GT(main->profile().launches[1].seconds, 0);
  main->resetProfile();
  EXPECT_EQ(main->profile().runs, 0u);
}

TEST(Session, StepsDoNotAllocate) {
  Bench b = bench();
  // Enough rows that a sleeping worker is awake before the caller has taken them all.
  std::unique_ptr<Session> train = b.open("train", {5, 20000}), main = b.open("main", {1, 64});
  fill(*train);
  fill(*main);
  auto allocatedBySteps = [&] {
    int64_t before = allocations;
    for (uint64_t step = 0; step < 20; ++step)
      if (!train->run({.step = step}).ok() || !main->run({.step = step}).ok())
        ADD_FAILURE();
    return allocations - before;
  };
  // A sanitizer allocates for a thread that starts, which a worker may do behind the first steps.
  for (int i = 0; kSanitizer && i < 50 && allocatedBySteps(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(allocatedBySteps(), 0);
  int64_t before = allocations;
  ASSERT_GT(hooked, 0) << "the sanitizer has no place for another hook";
  operator delete(operator new(1));
  EXPECT_EQ(allocations, before + 1) << "what allocates is counted";
}

TEST(Session, NamesWhatExists) {
  Bench b = bench();
  std::unique_ptr<Session> train = b.open("train", {1, 1});
  EXPECT_NE(train->input("imge").status().message().find("did you mean 'image'"), std::string::npos);
  EXPECT_NE(train->output("accuracy").status().message().find("loss, finite"), std::string::npos);
  EXPECT_FALSE(Session::open(b.program, b.states, b.device, "test", {1, 1}).ok());
  EXPECT_FALSE(Session::open(b.program, b.states, b.device, "train", {0, 1}).ok());
  EXPECT_FALSE(openCpu(-1).ok());
}

TEST(Memory, MoreThanTheMachineHas) {
  Memory memory;
  Status status = memory.allocate(size_t(1) << 60);
  EXPECT_EQ(status.exitCode(), 1);
  EXPECT_NE(status.message().find("MiB of memory, found 1099511627776; use a smaller batch"),
            std::string::npos)
      << status.message();
}

TEST(Device, AFailedReserveLeavesWhatItHad) {
  CpuWorkers workers(2);
  ASSERT_TRUE(workers.reserve(5000).ok());
  std::byte *first = workers.scratch(0);
  EXPECT_FALSE(workers.reserve(size_t(1) << 46).ok());
  EXPECT_EQ(workers.scratch(0), first);
  EXPECT_EQ(workers.scratch(1) - workers.scratch(0), 8192);
  ASSERT_TRUE(workers.reserve(20000).ok());
  EXPECT_EQ(workers.scratch(1) - workers.scratch(0), 20480);
  EXPECT_EQ(workers.scratchBytes(), 2 * 20480u);
}

TEST(Session, MemoryUseWithoutASession) {
  Bench b = bench();
  std::unique_ptr<Session> train = b.open("train", {5, 64});
  Result<Session::MemoryUse> use = memoryUse(*b.program, 0, "train", {5, 64}, 2);
  ASSERT_TRUE(use.ok());
  EXPECT_EQ(use->arena, train->memory().arena);
  EXPECT_EQ(use->state, train->memory().state);
  EXPECT_EQ(use->ports, train->memory().ports);
}

} // namespace
} // namespace moert::test
