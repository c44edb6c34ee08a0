// kernel-bench [--filter=TEXT] [--rounds=N] [--threads=N] [--level=cpu:x86-64-v3] [--cpu-time]
// [--no-library]: every product, grouped product, attention and convolution that the project promises a speed for, as emitted
// (packing included), products and convolutions beside oneDNN, grouped products beside the product of the same rows with
// one matrix, each between two runs of a register-only multiply-add loop. The machine may be
// shared: what counts are the medians of the kernel's rounds, of the peaks around them and of the rounds'
// ratios to oneDNN. --cpu-time counts what one thread used, for a machine whose cores are taken by others now
// and then. Not a test: it needs an idle machine and minutes.
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/device/cpu/ThreadPool.h"
#include "test/bench/kernels/Peak.h"
#include "test/numerics/GroupRunner.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>

// The library's threads: libgomp, of which clang has no header.
extern "C" void omp_set_num_threads(int);
extern "C" void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);

using namespace moe;
using namespace moe::test;
using Clock = std::chrono::steady_clock;

namespace {
struct Options {
  std::string filter, level = "cpu";
  int rounds = 7, threads = 0;
  bool library = true;
};

bool cpuTime = false;

double now() {
  if (!cpuTime)
    return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

double seconds(const std::function<void()> &work) {
  double begin = now();
  work();
  return now() - begin;
}

/// The pool of the runtime, as a session uses it.
class Threads {
public:
  explicit Threads(int count) : pool(count) {}
  template <typename Body> void run(int64_t units, int64_t grain, Body body) {
    pool.run(
        units, grain,
        [](void *context, int thread, int64_t begin, int64_t end) {
          (*static_cast<Body *>(context))(thread, begin, end);
        },
        &body);
  }

private:
  moert::ThreadPool pool;
};

/// Runs a body once on every thread of whoever is measured.
using OnThreads = std::function<void(const std::function<void()> &)>;

struct Variant {
  std::string name;
  std::function<void()> run;
  OnThreads everywhere;
  std::vector<double> times, peaks;
};

/// The library's threads, which libgomp keeps.
OnThreads libraryThreads(int threads) {
  return [threads](const std::function<void()> &body) {
    GOMP_parallel([](void *body) { (*static_cast<const std::function<void()> *>(body))(); },
                  const_cast<std::function<void()> *>(&body), unsigned(threads), 0);
  };
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const Options &options, const std::string &what, double flops, int threads, int lanes,
             std::vector<Variant> variants) {
  // On the threads that just ran the kernel, so at the clock that it leaves: a loop on registers alone, after
  // a rest, runs at one that no kernel sustains.
  auto peak = [&](const Variant &variant) {
    const long turns = 400000;
    std::atomic<double> done = 0;
    double time = seconds([&] { variant.everywhere([&] { done = moe::bench::runPeak(lanes, turns); }); });
    return done * threads / time;
  };
  // The library's threads spin for milliseconds after their work, ours for less, and would take the cores of
  // whoever is timed next: all sleep by the time that one begins. Woken threads may share a core for some
  // milliseconds, and a rested core's clock does not last: the first runs do not count.
  auto warm = [&](const Variant &variant) {
    if (cpuTime)
      return variant.run();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    for (double begin = now(); now() - begin < 0.05;)
      variant.run();
  };
  for (int round = 0; round < options.rounds; ++round)
    for (Variant &variant : variants) {
      warm(variant);
      variant.peaks.push_back(peak(variant));
      int runs = 0;
      double begin = now(), time = 0;
      for (; time < 0.02; ++runs) {
        variant.run();
        time = now() - begin;
      }
      variant.peaks.push_back(peak(variant));
      variant.times.push_back(time / runs);
    }
  const std::vector<double> first = variants[0].times;
  for (const Variant &variant : variants) {
    // Medians of both: a millisecond of the peak's loop scatters more than the kernel does, and the larger of
    // two such would only grow with their scatter.
    const double time = median(variant.times),
                 best = *std::min_element(variant.times.begin(), variant.times.end());
    const double most = *std::max_element(variant.peaks.begin(), variant.peaks.end());
    printf(
        "%-28s %d thread%s %-7s median %6.1f GFLOP/s %5.1f %% of peak %3.0f | best %6.1f GFLOP/s %5.1f %% of "
        "the best peak %3.0f",
        what.c_str(), threads, threads > 1 ? "s" : " ", variant.name.c_str(), flops / time * 1e-9,
        100 * flops / time / median(variant.peaks), median(variant.peaks) * 1e-9, flops / best * 1e-9,
        100 * flops / best / most, most * 1e-9);
    if (&variant != &variants[0]) {
      std::vector<double> ratios;
      for (auto [theirs, ours] : llvm::zip_equal(variant.times, first))
        ratios.push_back(theirs / ours);
      printf(" | %s is %.2f times as fast", variants[0].name.c_str(), median(ratios));
    }
    printf("\n");
  }
  fflush(stdout);
}

void fill(Memory &memory) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (size_t i = 0; i < memory.bytes / 4; ++i)
    memory.floats()[i] = uniform(random);
}

/// All launches of a group over a pool, one after another.
std::function<void()> launcher(GroupRunner &runner, std::shared_ptr<Threads> pool,
                               std::shared_ptr<std::vector<std::unique_ptr<Memory>>> scratch) {
  return [&runner, pool, scratch] {
    for (const BoundLaunch &launch : runner.launches())
      pool->run(launch.units, launch.grain, [&](int thread, int64_t begin, int64_t end) {
        launch.run(begin, end, (*scratch)[thread]->data);
      });
  };
}

Variant ours(GroupRunner &runner, int threads) {
  auto scratch = std::make_shared<std::vector<std::unique_ptr<Memory>>>();
  for (int i = 0; i < threads; ++i)
    scratch->push_back(std::make_unique<Memory>(runner.scratchBytes(), 0));
  auto pool = std::make_shared<Threads>(threads);
  auto everywhere = [pool, threads](const std::function<void()> &body) {
    pool->run(threads, 1, [&](int, int64_t, int64_t) { body(); });
  };
  return {"moe", launcher(runner, pool, scratch), everywhere, {}, {}};
}

std::string group(const std::string &op, const std::string &a, const std::string &b, const std::string &y) {
  return "flow.program @t {\n flow.entry @e infer {\n %a = flow.input \"a\" : " + a +
         "\n %b = flow.input \"b\" : " + b + "\n %g = flow.group(%a, %b) : (" + a + ", " + b + ") -> " + y +
         " {\n ^bb0(%p: " + a + ", %q: " + b + "):\n %y = flow." + op + " : " + a + ", " + b + " -> " + y +
         "\n flow.yield %y : " + y + "\n }\n flow.output \"y\" %g : " + y + "\n }\n}\n";
}

void benchProducts(const Options &options, const host::CpuTarget &target, int threads) {
  for (int64_t rows : {6304, 1051})
    for (auto [k, n] : {std::pair<int64_t, int64_t>{384, 1536}, {1536, 384}}) {
      auto batched = [](int64_t width) {
        return "tensor<?x" + std::to_string(width) + "xf32, #flow.dims<[N, " + std::to_string(width) + "]>>";
      };
      std::string x = batched(k), y = batched(n),
                  w = "tensor<" + std::to_string(n) + "x" + std::to_string(k) + "xf32>";
      struct {
        const char *name;
        std::string op, a, b, out;
        char ta, tb;
        int64_t m, n, k, lda, ldb;
      } directions[] = {
          {"forward", "contract %p [0, 2], %q [1, 2] -> [0, 1]", x, w, y, 'N', 'T', rows, n, k, k, k},
          {"dX", "contract %p [0, 1], %q [1, 2] -> [0, 2]", y, w, x, 'N', 'N', rows, k, n, n, k},
          {"dW", "contract %p [0, 1], %q [0, 2] -> [1, 2]", y, x, w, 'T', 'N', n, k, rows, n, k}};
      for (auto &d : directions) {
        char what[80];
        snprintf(what, sizeof what, "matmul %ld,%ld,%ld %s", long(rows), long(k), long(n), d.name);
        if (std::string(what).find(options.filter) == std::string::npos)
          continue;
        GroupRunner runner(group(d.op, d.a, d.b, d.out), target, 1, rows, {}, {}, Memory::plain);
        if (!runner.ok())
          exit(1);
        fill(runner.operand(0));
        fill(runner.operand(1));
        std::vector<Variant> variants{ours(runner, threads)};
        Memory out(runner.result(0).bytes);
        if (options.library)
          variants.push_back({"oneDNN",
                              [&] {
                                dnnl_sgemm(d.ta, d.tb, d.m, d.n, d.k, 1, runner.operand(0).floats(), d.lda,
                                           runner.operand(1).floats(), d.ldb, 0, out.floats(), d.n);
                              },
                              libraryThreads(threads),
                              {},
                              {}});
        measure(options, what, 2.0 * rows * k * n, threads, target.lanes(), std::move(variants));
      }
    }
}

/// The offsets of `groups` groups of rows, whose loads are as the weights.
void fillOffsets(Memory &memory, int64_t rows, const std::vector<double> &weights) {
  double all = 0, sum = 0;
  for (double weight : weights)
    all += weight;
  auto *offsets = static_cast<int32_t *>(memory.data);
  *offsets++ = 0;
  for (double weight : weights)
    *offsets++ = int32_t(std::lround(double(rows) * (sum += weight) / all));
}

/// Products of rows with the matrices of their groups, and the gradients of these, beside the products of as many rows with
/// one matrix. All groups have as many rows; or the k-th has 1/k of the first one's; or one has all of them.
void benchGrouped(const Options &options, const host::CpuTarget &target, int threads) {
  const struct {
    const char *name;
    std::vector<double> weights;
  } loads[] = {{"equal", {1, 1, 1, 1, 1, 1}},
               {"Zipf", {1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6}},
               {"one", {0, 0, 1, 0, 0, 0}}};
  for (int64_t rows : {6304, 3152})
    for (auto [k, n] : {std::pair<int64_t, int64_t>{384, 1536}, {1536, 384}}) {
      auto batched = [](int64_t width) {
        return "tensor<?x" + std::to_string(width) + "xf32, #flow.dims<[N, " + std::to_string(width) + "]>>";
      };
      const std::string matrix = std::to_string(n) + "x" + std::to_string(k) + "xf32>";
      const std::string x = batched(k), y = batched(n), w = "tensor<" + matrix, ws = "tensor<6x" + matrix;
      const struct {
        const char *name, *axes, *groupedAxes;
        std::string a, b, out, groupedB, groupedOut;
      } directions[] = {
          {"forward", "%p [0, 2], %q [1, 2] -> [0, 1]", "%p [0, 2], %q [3, 1, 2] -> [0, 1]", x, w, y, ws, y},
          {"dX", "%p [0, 1], %q [1, 2] -> [0, 2]", "%p [0, 1], %q [3, 1, 2] -> [0, 2]", y, w, x, ws, x},
          {"dW", "%p [0, 1], %q [0, 2] -> [1, 2]", "%p [0, 1], %q [0, 2] -> [3, 1, 2]", y, x, w, x, ws}};
      for (const auto &d : directions) {
        char what[80];
        snprintf(what, sizeof what, "grouped %ld,%ld,%ld %s", long(rows), long(k), long(n), d.name);
        if (std::string(what).find(options.filter) == std::string::npos)
          continue;
        GroupRunner dense(group(std::string("contract ") + d.axes, d.a, d.b, d.out), target, 1, rows, {}, {},
                          Memory::plain);
        const std::string o = "tensor<7xi32>", types = d.a + ", " + d.groupedB + ", " + o;
        GroupRunner grouped("flow.program @t {\n flow.entry @e infer {\n %a = flow.input \"a\" : " + d.a +
                                "\n %b = flow.input \"b\" : " + d.groupedB +
                                "\n %o = flow.input \"o\" : " + o + "\n %g = flow.group(%a, %b, %o) : (" +
                                types + ") -> " + d.groupedOut + " {\n ^bb0(%p: " + d.a +
                                ", %q: " + d.groupedB + ", %s: " + o + "):\n %y = flow.grouped_contract " +
                                d.groupedAxes + " row 0 group 3 by %s : " + types + " -> " + d.groupedOut +
                                "\n flow.yield %y : " + d.groupedOut +
                                "\n }\n flow.output \"y\" %g : " + d.groupedOut + "\n }\n}\n",
                            target, 1, rows, {}, {}, Memory::plain);
        if (!dense.ok() || !grouped.ok())
          exit(1);
        for (GroupRunner *runner : {&dense, &grouped}) {
          fill(runner->operand(0));
          fill(runner->operand(1));
        }
        for (const auto &load : loads) {
          fillOffsets(grouped.operand(2), rows, load.weights);
          Variant one = ours(dense, threads);
          one.name = "dense";
          measure(options, std::string(what) + " " + load.name, 2.0 * rows * k * n, threads, target.lanes(),
                  {ours(grouped, threads), one});
        }
      }
    }
}

/// Attention and its gradient, of one packed operand. The FLOPs are those of the two products, and of the four that the gradient
/// needs: scores that it computes again do not count.
void benchAttention(const Options &options, const host::CpuTarget &target, int threads) {
  struct Shape {
    int64_t samples, tokens, heads, size;
  };
  for (Shape s :
       {Shape{16, 197, 6, 64}, Shape{64, 50, 8, 16}, Shape{1, 1024, 6, 64}, Shape{64, 197, 3, 80}}) {
    auto type = [&](int64_t last) {
      return "tensor<?x" + std::to_string(s.tokens) + "x" + std::to_string(last) + "xf32, #flow.dims<[N, " +
             std::to_string(s.tokens) + ", " + std::to_string(last) + "]>>";
    };
    const std::string x = type(3 * s.heads * s.size), y = type(s.heads * s.size), sum = type(s.heads);
    const std::string how = " heads " + std::to_string(s.heads) + " scale 0.125 : ";
    const std::string operands = x + ", " + sum + ", " + y + ", " + sum;
    const std::string inputs = " %x = flow.input \"x\" : " + x + "\n %s = flow.input \"s\" : " + sum +
                               "\n %y = flow.input \"y\" : " + y + "\n %d = flow.input \"d\" : " + sum + "\n";
    const std::string texts[] = {
        " %g:2 = flow.group(%x) : (" + x + ") -> (" + y + ", " + sum + ") {\n ^bb0(%a: " + x +
            "):\n %r:2 = flow.attention %a" + how + "(" + x + ") -> (" + y + ", " + sum +
            ")\n flow.yield %r#0, %r#1 : " + y + ", " + sum + "\n }\n flow.output \"y\" %g#0 : " + y + "\n",
        " %g = flow.group(%x, %s, %y, %d) : (" + operands + ") -> " + x + " {\n ^bb0(%a: " + x +
            ", %b: " + sum + ", %c: " + y + ", %e: " + sum +
            "):\n %r = flow.attention_grad %a from %b, %c, %e" + how + "(" + operands + ") -> " + x +
            "\n flow.yield %r : " + x + "\n }\n flow.output \"y\" %g : " + x + "\n"};
    for (bool gradient : {false, true}) {
      char what[80];
      snprintf(what, sizeof what, "attention %ldx%ld %ldx%ld %s", long(s.samples), long(s.tokens),
               long(s.heads), long(s.size), gradient ? "gradient" : "forward");
      if (std::string(what).find(options.filter) == std::string::npos)
        continue;
      GroupRunner runner("flow.program @t {\n flow.entry @e infer {\n" + inputs + texts[gradient] + " }\n}\n",
                         target, 1, s.samples, {}, {}, Memory::plain);
      if (!runner.ok())
        exit(1);
      for (unsigned i = 0; i < (gradient ? 4 : 1); ++i)
        fill(runner.operand(i));
      const double products = (gradient ? 4 : 2) * 2.0 * s.samples * s.heads * s.tokens * s.tokens * s.size;
      measure(options, what, products, threads, target.lanes(), {ours(runner, threads)});
    }
  }
}

void benchConvolutions(const Options &options, const host::CpuTarget &target, int threads) {
  using namespace dnnl;
  const int64_t batch = 320;
  struct Shape {
    int64_t channels, size, outputs, kernel, stride, pad;
  };
  for (Shape s : {Shape{128, 14, 128, 3, 1, 1}, Shape{64, 28, 128, 3, 2, 1}, Shape{1, 28, 64, 3, 1, 1},
                  Shape{64, 28, 128, 4, 2, 1}, Shape{128, 14, 128, 1, 1, 0}}) {
    const int64_t out = (s.size + 2 * s.pad - s.kernel) / s.stride + 1;
    auto image = [](int64_t c, int64_t n) {
      std::string t = std::to_string(c) + "x" + std::to_string(n) + "x" + std::to_string(n) + "xf32";
      return "tensor<?x" + t + ", #flow.dims<[N, " + std::to_string(c) + ", " + std::to_string(n) + ", " +
             std::to_string(n) + "]>>";
    };
    std::string x = image(s.channels, s.size), y = image(s.outputs, out);
    std::string k = std::to_string(s.kernel), st = std::to_string(s.stride), p = std::to_string(s.pad);
    std::string w = "tensor<" + std::to_string(s.outputs) + "x" + std::to_string(s.channels) + "x" + k + "x" +
                    k + "xf32>";
    std::string tail =
        " %p, %q by [" + st + ", " + st + "] pads [" + p + ", " + p + ", " + p + ", " + p + "]";
    for (int direction = 0; direction < 3; ++direction) {
      const char *names[] = {"forward", "dX", "dW"}, *ops[] = {"conv", "conv_input_grad", "conv_weight_grad"};
      char what[80];
      snprintf(what, sizeof what, "conv %ldx%ld s%ld %ld>%ld @%ld %s", long(s.kernel), long(s.kernel),
               long(s.stride), long(s.channels), long(s.outputs), long(s.size), names[direction]);
      if (std::string(what).find(options.filter) == std::string::npos)
        continue;
      cpu::Layout nhwc{0, 2, 3, 1};
      cpu::GroupLayouts layouts{{nhwc, direction == 2 ? nhwc : cpu::Layout()},
                                {direction == 2 ? cpu::Layout() : nhwc}};
      GroupRunner runner(group(ops[direction] + tail, direction == 1 ? y : x, direction == 2 ? y : w,
                               direction == 0   ? y
                               : direction == 1 ? x
                                                : w),
                         target, 1, batch, layouts, {}, Memory::plain);
      if (!runner.ok())
        exit(1);
      fill(runner.operand(0));
      fill(runner.operand(1));
      std::vector<Variant> variants{ours(runner, threads)};
      engine eng(engine::kind::cpu, 0);
      stream queue(eng);
      // The library in the layout that it likes best, and in ours. Its weights are in its own order already.
      for (bool any : {false, true}) {
        if (!options.library)
          break;
        auto tag = any ? memory::format_tag::any : memory::format_tag::nhwc;
        auto f32 = memory::data_type::f32;
        memory::desc mx({batch, s.channels, s.size, s.size}, f32, tag),
            my({batch, s.outputs, out, out}, f32, tag);
        memory::desc mw({s.outputs, s.channels, s.kernel, s.kernel}, f32, memory::format_tag::any);
        memory::dims strides{s.stride, s.stride}, low{s.pad, s.pad};
        memory::dims high(2, (out - 1) * s.stride + s.kernel - s.size - s.pad);
        convolution_forward::primitive_desc forward(
            {prop_kind::forward_training, algorithm::convolution_direct, mx, mw, my, strides, low, high},
            eng);
        std::string name = any ? "oneDNN any" : "oneDNN nhwc";
        auto run = [&queue](auto primitive, std::unordered_map<int, memory> args) {
          return [=, &queue]() mutable {
            primitive.execute(queue, args);
            queue.wait();
          };
        };
        auto make = [&](const memory::desc &desc) {
          memory m(desc, eng);
          std::memset(m.get_data_handle(), 0, desc.get_size());
          return m;
        };
        if (direction == 0) {
          variants.push_back(
              {name,
               run(convolution_forward(forward), {{DNNL_ARG_SRC, make(forward.src_desc())},
                                                  {DNNL_ARG_WEIGHTS, make(forward.weights_desc())},
                                                  {DNNL_ARG_DST, make(forward.dst_desc())}}),
               libraryThreads(threads),
               {},
               {}});
        } else if (direction == 1) {
          convolution_backward_data::primitive_desc d(
              {algorithm::convolution_direct, mx, mw, my, strides, low, high}, eng, forward);
          variants.push_back(
              {name,
               run(convolution_backward_data(d), {{DNNL_ARG_DIFF_DST, make(d.diff_dst_desc())},
                                                  {DNNL_ARG_WEIGHTS, make(d.weights_desc())},
                                                  {DNNL_ARG_DIFF_SRC, make(d.diff_src_desc())}}),
               libraryThreads(threads),
               {},
               {}});
        } else {
          convolution_backward_weights::primitive_desc d(
              {algorithm::convolution_direct, mx, mw, my, strides, low, high}, eng, forward);
          variants.push_back(
              {name,
               run(convolution_backward_weights(d), {{DNNL_ARG_DIFF_DST, make(d.diff_dst_desc())},
                                                     {DNNL_ARG_SRC, make(d.src_desc())},
                                                     {DNNL_ARG_DIFF_WEIGHTS, make(d.diff_weights_desc())}}),
               libraryThreads(threads),
               {},
               {}});
        }
      }
      measure(options, what, 2.0 * batch * out * out * s.kernel * s.kernel * s.channels * s.outputs, threads,
              target.lanes(), std::move(variants));
    }
  }
}
} // namespace

int main(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    auto value = [&](const char *name) {
      return arg.rfind(name, 0) == 0 ? arg.c_str() + std::strlen(name) : nullptr;
    };
    if (const char *v = value("--filter="))
      options.filter = v;
    else if (const char *v = value("--rounds="))
      options.rounds = std::max(1, atoi(v));
    else if (const char *v = value("--threads="))
      options.threads = atoi(v);
    else if (const char *v = value("--level="))
      options.level = v;
    else if (arg == "--no-library")
      options.library = false;
    else if (arg == "--cpu-time")
      cpuTime = true, options.threads = 1;
    else
      return fprintf(stderr,
                     "expected --filter=, --rounds=, --threads=, --level=, --cpu-time or --no-library, found "
                     "%s\n",
                     argv[i]),
             2;
  }
  std::string error;
  auto target = host::cpuTarget(options.level, error);
  if (!target)
    return fprintf(stderr, "%s\n", error.c_str()), 1;
  for (int threads : {1, 2}) {
    if (options.threads && threads != options.threads)
      continue;
    omp_set_num_threads(threads);
    benchProducts(options, *target, threads);
    benchGrouped(options, *target, threads);
    benchAttention(options, *target, threads);
    benchConvolutions(options, *target, threads);
  }
}
