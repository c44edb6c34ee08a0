// The pool gives every unit to exactly one call, at any number of threads, and one launch after another.
#include "runtime/device/cpu/ThreadPool.h"

#include "runtime/data/Batches.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/resource.h>
#include <unistd.h>

namespace moert {
namespace {

struct Count {
  std::vector<std::atomic<int>> seen;
  std::atomic<int64_t> largest{0};
  std::atomic<int> threads{0};
  std::atomic<int64_t> calls{0};
};

void count(void *context, int thread, int64_t begin, int64_t end) {
  auto &counts = *static_cast<Count *>(context);
  for (int64_t i = begin; i < end; ++i)
    counts.seen[size_t(i)].fetch_add(1, std::memory_order_relaxed);
  for (int64_t old = counts.largest;
       end - begin > old && !counts.largest.compare_exchange_weak(old, end - begin);)
    ;
  counts.threads.fetch_or(1 << thread);
  counts.calls.fetch_add(1);
}

TEST(ThreadPool, EveryUnitOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t units : {0, 1, 2, 7, 100, 1001})
      for (int64_t grain : {1, 3, 64}) {
        Count counts{std::vector<std::atomic<int>>(size_t(units)), {}, {}, {}};
        pool.run(units, grain, count, &counts);
        for (auto &seen : counts.seen)
          ASSERT_EQ(seen.load(), 1);
        if (threads > 1)
          EXPECT_LE(counts.largest, std::min(grain, (units + threads - 1) / threads));
      }
  }
}

// Ranges whose ends are sums, up to the largest number of units that there is.
TEST(ThreadPool, UnitsUpToTheEndOfTheirType) {
  for (int threads : {1, 2, 3})
    for (int64_t units : {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2 + 1})
      for (int64_t grain : {INT64_MAX, INT64_MAX / 5}) {
        ThreadPool pool(threads);
        struct Ranges {
          std::mutex mutex;
          std::vector<std::pair<int64_t, int64_t>> all;
        } ranges;
        pool.run(
            units, grain,
            [](void *raw, int, int64_t begin, int64_t end) {
              auto &ranges = *static_cast<Ranges *>(raw);
              std::lock_guard lock(ranges.mutex);
              ranges.all.push_back({begin, end});
            },
            &ranges);
        std::sort(ranges.all.begin(), ranges.all.end());
        int64_t at = 0;
        for (auto [begin, end] : ranges.all) {
          EXPECT_EQ(begin, at);
          EXPECT_GT(end, begin);
          at = end;
        }
        EXPECT_EQ(at, units) << threads << " threads, grain " << grain;
      }
}

TEST(ThreadPool, GrainsOfAShareAreEqual) {
  ThreadPool pool(2);
  Count counts{std::vector<std::atomic<int>>(66), {}, {}, {}};
  pool.run(66, 22, count, &counts); // 17, 17, 17 and 15, not three of 22
  EXPECT_EQ(counts.largest, 17);
  // 28 units of at most 4 are eight grains of 3 and 4, and not seven, of which one thread would have four.
  Count odd{std::vector<std::atomic<int>>(28), {}, {}, {}};
  pool.run(28, 4, count, &odd);
  EXPECT_EQ(odd.largest, 4);
  EXPECT_EQ(odd.calls, 8);
}

TEST(ThreadPool, ManySmallLaunches) {
  ThreadPool pool(4);
  struct Context {
    std::atomic<int64_t> sum{0};
  } context;
  constexpr int launches = 20000;
  for (int i = 0; i < launches; ++i)
    pool.run(
        1 + i % 9, 1,
        [](void *raw, int, int64_t begin, int64_t end) {
          static_cast<Context *>(raw)->sum.fetch_add(end - begin, std::memory_order_relaxed);
        },
        &context);
  int64_t expected = 0;
  for (int i = 0; i < launches; ++i)
    expected += 1 + i % 9;
  EXPECT_EQ(context.sum, expected);
}

#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
// Where there is no memory for the threads' own records, the caller works alone.
TEST(ThreadPool, NoMemoryLeavesTheCaller) {
  auto alone = [] {
    rlimit limit{};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = rlim_t(8) << 30; // the records of INT_MAX threads take 16 GiB
    setrlimit(RLIMIT_AS, &limit);
    ThreadPool pool(INT_MAX);
    Count counts{std::vector<std::atomic<int>>(7)};
    pool.run(7, 2, count, &counts);
    Prefetch batches([](uint64_t index, Batch &batch) { batch.label = {int32_t(index)}; }, 0, 2, INT_MAX);
    bool made = batches.next()->label[0] == 0 && batches.next()->label[0] == 1 && !batches.next();
    bool all = std::all_of(counts.seen.begin(), counts.seen.end(), [](auto &seen) { return seen == 1; });
    _exit(pool.threads() == 1 && all && made ? 0 : 1);
  };
  EXPECT_EXIT(alone(), testing::ExitedWithCode(0), "");
}
#endif

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(2);
  struct Meeting {
    std::atomic<int> begun{0}, met{0};
  };
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5)); // workers sleep by now
    // Each of two grains waits for the other to begin, which only another thread can.
    Meeting meeting;
    pool.run(
        2, 1,
        [](void *raw, int, int64_t, int64_t) {
          auto &meeting = *static_cast<Meeting *>(raw);
          ++meeting.begun;
          auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
          while (meeting.begun < 2 && std::chrono::steady_clock::now() < deadline)
            std::this_thread::yield();
          meeting.met += meeting.begun == 2;
        },
        &meeting);
    ASSERT_EQ(meeting.met, 2) << "the sleeping worker did not help within 20 s";
  }
}

} // namespace
} // namespace moert
